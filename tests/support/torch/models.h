#pragma once
// Small models and inputs for the tests of every room above nn/.

#include <memory>

#include <ATen/core/Tensor.h>

#include "everlong/models/heads/causal_lm.h"
#include "everlong/models/registry.h"

namespace everlong::testing {

/// The registry entry's tiny configuration with some fields changed.
using Overrides = std::vector<std::pair<std::string, ConfigValue>>;
std::unique_ptr<models::ArchitectureConfig> tiny_config(std::string_view architecture, const Overrides& overrides = {});

/// The registry entry's tiny model with random weights, in fp64 unless told otherwise, in evaluation mode.
/// Weights are moved away from their initial values, so that no bias, scale or projection is trivially zero or one.
std::shared_ptr<models::CausalLm> tiny_model(const models::ArchitectureConfig& config, at::ScalarType dtype = at::kDouble, uint64_t seed = 1);

/// Random tokens. Shapes  [B, T] int64
at::Tensor random_tokens(const models::CausalLm& model, int64_t batch_size, int64_t seq_len, uint64_t seed = 2);

/// Logits of all tokens, read in pieces of the given lengths with the state carried between them, and the final state.
models::CausalLm::Logits read_in_pieces(models::CausalLm& model, const at::Tensor& tokens, const std::vector<int64_t>& pieces);

/// Cuts `total` into random positive lengths.
std::vector<int64_t> random_pieces(int64_t total, uint64_t seed);

/// Largest absolute difference between slots and positions of two states; infinity if their shapes differ.
double state_difference(const nn::State& a, const nn::State& b);

}  // namespace everlong::testing
