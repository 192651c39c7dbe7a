#include "everlong/models/model.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

nn::State Model::initial_state(int64_t batch_size) const {
  return layout_.fresh(batch_size, embedding_weight().device(), compute_dtype_);
}

void Model::check_input(const ModelInput& input, const nn::State& state) const {
  require(input.tokens.defined() != input.embeddings.has_value(),
          [] { return Complaint{.where = "forward", .expected = "either tokens or embeddings", .got = "both or neither"}; });
  if (input.embeddings) {
    require_shape("forward", "embeddings", *input.embeddings, "[B, T, D]", {-1, -1, hidden_size()});
  } else {
    const bool shaped = input.tokens.dim() == 2 && input.tokens.size(1) >= 1 && input.tokens.scalar_type() == at::kLong;
    require(shaped, [&] { return Complaint{.where = "forward", .expected = "tokens [B, T] int64 with T >= 1", .got = describe(input.tokens)}; });
  }
  for (const auto* extra : {&input.valid, &input.document_ids, &input.token_types})
    if (*extra) require_shape("forward", "valid, document_ids and token_types", **extra, "[B, T]", {input.batch_size(), input.seq_len()});
  check_memory(input);
  if (state.empty()) return;
  if (capabilities().streaming == Streaming::none)
    throw Unsupported({.where = "forward", .expected = "a model that streams", .got = "a state for a bidirectional model", .hint = "give it the whole sequence"});
  layout_.check(state);
  require(state.batch_size() == input.batch_size(), [&] {
    return Complaint{.where = "forward",
                     .expected = fmt::format("a state of {} rows", input.batch_size()),
                     .got = fmt::format("{} rows", state.batch_size()),
                     .hint = "State::select() picks and repeats rows"};
  });
}

void Model::check_memory(const ModelInput& input) const {
  if (!input.memory) return;
  if (!capabilities().cross_attention)
    throw Unsupported({.where = "forward", .expected = "a model with cross-attention", .got = "encoder states", .hint = "set add_cross_attention = true"});
  require_shape("forward", "memory", *input.memory, "[B, S, D]", {input.batch_size(), -1, -1});
  if (input.memory_valid) require_shape("forward", "memory_valid", *input.memory_valid, "[B, S]", {input.batch_size(), input.memory->size(1)});
}

void Model::trace_hidden(const ModelInput& input, size_t layer, const at::Tensor& hidden) {
  if (input.trace != nullptr) (*input.trace)(fmt::format("hidden.{}", layer), hidden);
}

at::Tensor last_hidden(const at::Tensor& hidden, const std::optional<at::Tensor>& valid) {
  if (!valid) return hidden.size(1) == 1 ? hidden : hidden.narrow(1, hidden.size(1) - 1, 1);
  const at::Tensor places = at::arange(1, hidden.size(1) + 1, at::TensorOptions(at::kLong).device(hidden.device()));
  const at::Tensor last = (valid->ne(0).to(at::kLong) * places).argmax(1);
  return hidden.gather(1, last.view({-1, 1, 1}).expand({-1, 1, hidden.size(2)}));
}

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace everlong::models
