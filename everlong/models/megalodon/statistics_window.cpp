// tsn_policy = upstream_window: what the release's evaluation of long texts does to the statistics of its norms.

#include <algorithm>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/model.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

constexpr int64_t kChunksAtOnce = 2;  // chunks after which the release looks whether a text has become long
constexpr int64_t kLongChunks = 8;    // from so many on

/// Whether the statistics are taken again when a row has read `position` tokens.
bool ends_window(int64_t position, int64_t chunk_size) {
  return position >= kLongChunks * chunk_size && position % (kChunksAtOnce * chunk_size) == 0;
}

/// Tokens up to the next place where the statistics of some row are taken again, at most `left`.
int64_t piece_len(const std::vector<int64_t>& positions, int64_t chunk_size, int64_t left) {
  const int64_t period = kChunksAtOnce * chunk_size;
  for (const int64_t position : positions) left = std::min(left, std::max(kLongChunks * chunk_size, position / period * period + period) - position);
  return left;
}

bool is_statistic(const std::string& slot) { return slot.ends_with(".count") || slot.ends_with(".mean") || slot.ends_with(".variance"); }

void refuse(const char* got, const char* hint) {
  throw Unsupported({.where = "megalodon", .expected = "whole rows of tokens with tsn_policy = upstream_window", .got = got, .hint = hint});
}

}  // namespace

/// The last tokens of every row, the call's own included.
at::Tensor MegalodonModel::recent_tokens(const LayerCall& call, const at::Tensor& tokens) const {
  const int64_t B = tokens.size(0), kept = config_.recent_len();
  const at::Tensor before = call.state.empty() ? at::zeros({B, kept}, tokens.options()) : call.state[recent_slot_];
  const at::Tensor lengths = at::tensor(call.plan.length, at::kLong).to(tokens.device());
  const at::Tensor places = at::arange(kept, lengths.options()).unsqueeze(0) + lengths.unsqueeze(1);
  return at::cat({before, tokens}, 1).gather(1, places);
}

void MegalodonModel::take_statistics_again(nn::State& state) {
  std::vector<int64_t> rows;
  const auto positions = state.positions();
  for (size_t row = 0; row < positions.size(); ++row)
    if (ends_window(positions[row], config_.chunk_size)) rows.push_back(static_cast<int64_t>(row));
  if (rows.empty()) return;
  const at::NoGradGuard no_grad;
  const at::Tensor index = at::tensor(rows, at::kLong).to(state[recent_slot_].device());
  const nn::State again = read({.tokens = state[recent_slot_].index_select(0, index)}, {}).state;
  for (size_t i = 0; i < layout_.slots().size(); ++i) {
    const auto slot = static_cast<nn::Slot>(i);
    if (is_statistic(layout_.slots()[i].name)) state[slot] = state[slot].index_copy(0, index, again[slot]);
  }
}

ModelOutput MegalodonModel::read_in_windows(const ModelInput& input, nn::State state) {
  if (input.embeddings) refuse("embeddings", "pass tokens: the model reads its last ones a second time");
  if (is_training()) return read(input, std::move(state));
  if (input.document_ids) refuse("packed documents", "one document a row, or tsn_policy = exact");
  if (input.valid && !input.valid->all().item<bool>()) refuse("padding", "rows of one length, or tsn_policy = exact");
  const int64_t T = input.seq_len();
  const bool one_by_one = T == 1;  // as the release, which decodes without looking back
  if (state.empty()) state = layout_.fresh(input.batch_size(), input.tokens.device(), compute_dtype());
  std::vector<at::Tensor> hidden;
  for (int64_t begin = 0; begin < T;) {
    const int64_t len = one_by_one ? 1 : piece_len(state.positions(), config_.chunk_size, T - begin);
    ModelOutput output = read({.tokens = input.tokens.narrow(1, begin, len), .trace = input.trace}, std::move(state));
    hidden.push_back(std::move(output.hidden));
    state = std::move(output.state);
    if (!one_by_one) take_statistics_again(state);
    begin += len;
  }
  return {.hidden = hidden.size() == 1 ? hidden.front() : at::cat(hidden, 1), .state = std::move(state)};
}

}  // namespace everlong::models::megalodon
