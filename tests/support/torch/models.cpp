#include "tests/support/torch/models.h"

#include <limits>

#include "everlong/base/rng.h"
#include "everlong/tensor/torch.h"

namespace everlong::testing {

std::unique_ptr<models::ArchitectureConfig> tiny_config(std::string_view architecture, const Overrides& overrides) {
  auto config = models::find_architecture(architecture).tiny_config();
  for (const auto& [key, value] : overrides) config->fields().set(key, value);
  return config;
}

std::shared_ptr<models::CausalLm> tiny_model(const models::ArchitectureConfig& config, at::ScalarType dtype, uint64_t seed) {
  at::manual_seed(seed);
  auto model = std::make_shared<models::CausalLm>(config);
  {
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : model->parameters()) parameter.add_(at::randn_like(parameter), 0.15);
  }
  if (dtype == at::kDouble) model->to(at::kDouble);
  model->model().set_compute_dtype(dtype);
  model->eval();
  return model;
}

at::Tensor random_tokens(const models::CausalLm& model, int64_t batch_size, int64_t seq_len, uint64_t seed) {
  CounterRng rng(seed, 0);
  at::Tensor tokens = at::empty({batch_size, seq_len}, at::kLong);
  for (int64_t i = 0; i < tokens.numel(); ++i)
    tokens.mutable_data_ptr<int64_t>()[i] = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(model.model().vocab_size())));
  return tokens;
}

models::CausalLm::Logits read_in_pieces(models::CausalLm& model, const at::Tensor& tokens, const std::vector<int64_t>& pieces) {
  nn::State state = model.model().initial_state(tokens.size(0));
  std::vector<at::Tensor> logits;
  int64_t begin = 0;
  for (const int64_t len : pieces) {
    auto read = model.forward({.tokens = tokens.narrow(1, begin, len)}, std::move(state));
    logits.push_back(read.logits);
    state = std::move(read.state);
    begin += len;
  }
  return {.logits = at::cat(logits, 1), .state = std::move(state)};
}

std::vector<int64_t> random_pieces(int64_t total, uint64_t seed) {
  CounterRng rng(seed, 1);
  std::vector<int64_t> pieces;
  while (total > 0) {
    const auto len = std::min<int64_t>(total, 1 + static_cast<int64_t>(rng.next_below(9)));
    pieces.push_back(len);
    total -= len;
  }
  return pieces;
}

double state_difference(const nn::State& a, const nn::State& b) {
  if (a.tensors().size() != b.tensors().size() || !at::equal(a.position(), b.position())) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.tensors().size(); ++i) {
    if (a.tensors()[i].sizes() != b.tensors()[i].sizes()) return std::numeric_limits<double>::infinity();
    if (a.tensors()[i].numel() == 0) continue;
    largest = std::max(largest, (a.tensors()[i].to(at::kDouble) - b.tensors()[i].to(at::kDouble)).abs().max().item<double>());
  }
  return largest;
}

}  // namespace everlong::testing
