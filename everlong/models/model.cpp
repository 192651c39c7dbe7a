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
  const bool shaped = input.tokens.defined() && input.tokens.dim() == 2 && input.tokens.size(1) >= 1 && input.tokens.scalar_type() == at::kLong;
  require(shaped, [&] { return Complaint{.where = "forward", .expected = "tokens [B, T] int64 with T >= 1", .got = describe(input.tokens)}; });
  for (const auto* extra : {&input.valid, &input.document_ids, &input.token_types})
    if (*extra) require_shape("forward", "valid, document_ids and token_types", **extra, "[B, T]", input.tokens.sizes());
  if (state.empty()) return;
  if (capabilities().streaming == Streaming::none)
    throw Unsupported({.where = "forward", .expected = "a model that streams", .got = "a state for a bidirectional model", .hint = "give it the whole sequence"});
  layout_.check(state);
  require(state.batch_size() == input.tokens.size(0), [&] {
    return Complaint{.where = "forward",
                     .expected = fmt::format("a state of {} rows", input.tokens.size(0)),
                     .got = fmt::format("{} rows", state.batch_size()),
                     .hint = "State::select() picks and repeats rows"};
  });
}

void Model::trace_hidden(const ModelInput& input, size_t layer, const at::Tensor& hidden) {
  if (input.trace != nullptr) (*input.trace)(fmt::format("hidden.{}", layer), hidden);
}

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace everlong::models
