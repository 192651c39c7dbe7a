#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/transformer/config.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::transformer::Config;

TEST(Transformer, ParameterCountOfLlama7B) {
  const Config llama;  // the defaults are Llama 7B's
  EXPECT_EQ(llama.parameter_count(), 6738415616);
}

TEST(Transformer, UnevenHeadsAreRefused) {
  Config config;
  config.num_attention_heads = 6;
  config.num_key_value_heads = 4;
  EXPECT_THROW(config.validate(), InvalidArgument);
  config.num_key_value_heads = 3;
  config.head_dim = 5;
  EXPECT_THROW(config.validate(), InvalidArgument);
}

TEST(Transformer, AttentionIsTheSoftmaxOfRotatedKeysAndQueries) {
  // One layer, one head, by hand: the module against its equations.
  const at::NoGradGuard no_grad;
  auto config = models::find_architecture("transformer").tiny_config();
  for (const char* key : {"num_hidden_layers", "num_attention_heads", "num_key_value_heads"}) config->fields().set(key, int64_t{1});
  const auto model = tiny_model(*config);
  const auto tokens = random_tokens(*model, 1, 7);
  std::map<std::string, at::Tensor> w;
  for (const auto& item : model->named_parameters()) w.emplace(item.key(), item.value());
  const auto norm = [](const at::Tensor& x, const at::Tensor& weight) { return x / (x.square().mean(-1, true) + 1e-6).sqrt() * weight; };
  const auto rotated = [](const at::Tensor& x) {
    const int64_t half = x.size(-1) / 2;
    at::Tensor y = at::empty_like(x);
    for (int64_t t = 0; t < x.size(0); ++t)
      for (int64_t r = 0; r < half; ++r) {
        const double angle = static_cast<double>(t) * std::pow(10000.0, -static_cast<double>(r) / static_cast<double>(half));
        const double a = x[t][r].item<double>(), b = x[t][r + half].item<double>();
        y[t][r] = a * std::cos(angle) - b * std::sin(angle);
        y[t][r + half] = b * std::cos(angle) + a * std::sin(angle);
      }
    return y;
  };
  const std::string layer = "model.layers.0.";
  at::Tensor x = w.at("model.embedding.weight").index_select(0, tokens[0]);
  const at::Tensor u = norm(x, w.at(layer + "attention_norm.weight"));
  const at::Tensor q = rotated(u.mm(w.at(layer + "attention.q_proj.weight").t())), k = rotated(u.mm(w.at(layer + "attention.k_proj.weight").t()));
  const at::Tensor hidden_future = at::ones({7, 7}, at::kBool).triu(1);
  const at::Tensor weights = (q.mm(k.t()) / std::sqrt(24.0)).masked_fill(hidden_future, -INFINITY).softmax(-1);
  x = x + weights.mm(u.mm(w.at(layer + "attention.v_proj.weight").t())).mm(w.at(layer + "attention.o_proj.weight").t());
  const at::Tensor z = norm(x, w.at(layer + "ffn_norm.weight"));
  x = x + (at::silu(z.mm(w.at(layer + "ffn.gate_proj.weight").t())) * z.mm(w.at(layer + "ffn.up_proj.weight").t())).mm(w.at(layer + "ffn.down_proj.weight").t());
  const at::Tensor logits = norm(x, w.at("model.norm.weight")).mm(w.at("head.output.weight").t());
  EXPECT_LT((model->forward({.tokens = tokens}).logits[0] - logits).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace everlong::testing
