#include "everlong/models/transformer/config.h"

#include <map>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/transformer/model.h"

namespace everlong::models::transformer {

Fields Config::fields() {
  Fields fields;
  const NumberRange probability{.min = 0, .max = 0.999};
  fields.add("vocab_size", vocab_size, "tokens in the vocabulary (V)", {.min = 1})
      .add("hidden_size", hidden_size, "model width (D)", {.min = 1})
      .add("intermediate_size", intermediate_size, "feed-forward width (F)", {.min = 1})
      .add("num_hidden_layers", num_hidden_layers, "blocks", {.min = 1})
      .add("num_attention_heads", num_attention_heads, "query heads (H)", {.min = 1})
      .add("num_key_value_heads", num_key_value_heads, "key and value heads; null = num_attention_heads", {.min = 1})
      .add("head_dim", head_dim, "width of a head (K); null = hidden_size / num_attention_heads", {.min = 2})
      .add("max_position_embeddings", max_position_embeddings, "longest sequence of the original training; no limit here", {.min = 1})
      .add("initializer_range", initializer_range, "standard deviation of initial matrices", {.min = 0})
      .add("rms_norm_eps", rms_norm_eps, "added to the mean square before its root", {.min = 0})
      .add("tie_word_embeddings", tie_word_embeddings, "output matrix = token embedding")
      .add("rope_theta", rope_theta, "base of the rotary frequencies", {.min = 1})
      .add("attention_bias", attention_bias, "biases in the attention projections")
      .add("mlp_bias", mlp_bias, "biases in the feed-forward network")
      .add("attention_dropout", attention_dropout, "dropout on attention weights", probability)
      .add("hidden_dropout", hidden_dropout, "dropout on the output of each half of a block", probability)
      .add("pad_token_id", pad_token_id, "padding; -1 = none", {.min = -1})
      .add("bos_token_id", bos_token_id, "begins a sequence; -1 = none", {.min = -1})
      .add("eos_token_id", eos_token_id, "ends a sequence; -1 = none", {.min = -1});
  return fields;
}

void Config::validate() const {
  require(num_attention_heads % key_value_heads() == 0, [&] {
    return Complaint{.where = "transformer config",
                     .expected = "num_attention_heads to be a multiple of num_key_value_heads",
                     .got = fmt::format("{} and {}", num_attention_heads, key_value_heads())};
  });
  require(head_width() >= 2 && head_width() % 2 == 0, [&] {
    return Complaint{.where = "transformer config", .expected = "an even head width >= 2 (rotary positions)", .got = fmt::format("{}", head_width())};
  });
}

std::shared_ptr<Model> Config::build() const {
  validate();
  return std::make_shared<TransformerModel>(*this);
}

std::vector<checkpoint::NameRule> Config::name_rules(Task /*task*/) const {
  std::vector<checkpoint::NameRule> rules = {{"model.embedding.weight", "model.embed_tokens.weight"},
                                             {"model.norm.weight", "model.norm.weight"},
                                             {"head.output.weight", "lm_head.weight"},
                                             {"model.layers.*.attention_norm.weight", "model.layers.*.input_layernorm.weight"},
                                             {"model.layers.*.ffn_norm.weight", "model.layers.*.post_attention_layernorm.weight"}};
  for (const std::string kind : {"weight", "bias"}) {
    for (const std::string name : {"q_proj", "k_proj", "v_proj", "o_proj"})
      rules.push_back({"model.layers.*.attention." + name + "." + kind, "model.layers.*.self_attn." + name + "." + kind});
    for (const std::string name : {"gate_proj", "up_proj", "down_proj"})
      rules.push_back({"model.layers.*.ffn." + name + "." + kind, "model.layers.*.mlp." + name + "." + kind});
  }
  return rules;
}

int64_t Config::parameter_count() const {
  const int64_t D = hidden_size, Q = num_attention_heads * head_width(), KV = key_value_heads() * head_width(), F = intermediate_size;
  const int64_t attention = D * (2 * Q + 2 * KV) + (attention_bias ? Q + 2 * KV + D : 0);
  const int64_t ffn = 3 * D * F + (mlp_bias ? 2 * F + D : 0);
  return vocab_size * D * (tie_word_embeddings ? 1 : 2) + num_hidden_layers * (attention + ffn + 2 * D) + D;
}

int64_t Config::state_bytes_per_row(int64_t position, int64_t element_bytes) const {
  return num_hidden_layers * position * 2 * key_value_heads() * head_width() * element_bytes + position + 8;
}

int64_t Config::activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const {
  const int64_t D = hidden_size, Q = num_attention_heads * head_width(), KV = key_value_heads() * head_width(), F = intermediate_size;
  const int64_t layer = (6 * D + 5 * Q + 4 * KV + 4 * F) * element_bytes + 2 * D * 4;
  return num_tokens * (checkpointed ? num_hidden_layers * D * element_bytes + layer : num_hidden_layers * layer);
}

std::unique_ptr<ArchitectureConfig> make_config() { return std::make_unique<Config>(); }

std::unique_ptr<ArchitectureConfig> tiny_config() {
  auto config = std::make_unique<Config>();
  config->vocab_size = 37;
  config->hidden_size = 24;
  config->intermediate_size = 32;
  config->num_hidden_layers = 2;
  config->num_attention_heads = 4;
  config->num_key_value_heads = 2;
  config->bos_token_id = config->eos_token_id = -1;
  return config;
}

const std::map<std::string, std::string>& presets() {
  static const std::map<std::string, std::string> all = {
      {"transformer-small",
       "hidden_size=256 intermediate_size=768 num_hidden_layers=4 num_attention_heads=4 tie_word_embeddings=true bos_token_id=-1 eos_token_id=-1"}};
  return all;
}

}  // namespace everlong::models::transformer
