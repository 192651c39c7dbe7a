#include "everlong/nn/chunk_window.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/torch.h"
#include "everlong/tensor/view.h"

namespace everlong::nn {
namespace {

int64_t within_chunk(int64_t position, int64_t chunk_size) { return chunk_size > 0 ? position % chunk_size : position; }

at::Tensor cat_rows(const at::Tensor& slot, const at::Tensor& fresh, const ChunkWindow& window) {
  std::vector<int64_t> shape = fresh.sizes().vec();
  shape[1] = window.past;
  at::Tensor past = at::zeros(shape, fresh.options());
  for (int64_t row = 0; row < fresh.size(0); ++row) {
    const int64_t len = window.row_past[static_cast<size_t>(row)];
    if (len > 0) past[row].narrow(0, window.past - len, len).copy_(slot[row].narrow(0, 0, len));
  }
  return at::cat({past, fresh}, 1);
}

/// Rows that the memory behind a slot has room for: a slot that grows is a view of a larger tensor.
int64_t capacity_of(const at::Tensor& slot) {
  if (slot.numel() == 0) return slot.size(1);
  const int64_t width = slot.numel() / (slot.size(0) * slot.size(1));
  const int64_t needed = (slot.storage_offset() + slot.size(0) * slot.stride(0)) * slot.element_size();
  const bool dense = slot.dim() == 2 || (slot.dim() == 3 && slot.stride(2) == 1);
  const bool whole = dense && slot.stride(1) == width && std::cmp_less_equal(needed, slot.storage().nbytes());
  return whole ? slot.stride(0) / width : slot.size(1);
}

/// The past of a cache without end with room for `count` entries after it, in the memory behind the slot; with none left, in a tensor of twice the
/// size.
at::Tensor grown(const at::Tensor& slot, int64_t count, int64_t past, at::ScalarType dtype) {
  constexpr int64_t kLeast = 64;
  const int64_t total = past + count;
  std::vector<int64_t> shape = slot.sizes().vec();
  if (slot.scalar_type() == dtype && total <= capacity_of(slot)) {
    shape[1] = total;
    return plain_view(slot, shape, slot.strides());
  }
  shape[1] = std::max({kLeast, 2 * past, total});
  const at::Tensor room = at::empty(shape, slot.options().dtype(dtype));
  room.narrow(1, 0, past).copy_(slot.narrow(1, 0, past));
  return room.narrow(1, 0, total);
}

/// Whether the first `count` flags of a row are all set.
bool all_true(const at::Tensor& flags, int64_t row, int64_t count) {
  if (!flags.is_cpu() || flags.stride(1) != 1) return flags[row].narrow(0, 0, count).all().item<bool>();
  return std::memchr(flags.const_data_ptr<bool>() + row * flags.stride(0), 0, static_cast<size_t>(count)) == nullptr;
}

std::optional<at::Tensor> window_valid(const ChunkWindow& window, const SequencePlan& plan, const std::optional<at::Tensor>& valid,
                                       const at::Tensor& past_valid) {
  // Columns that no row has read (left of a short past) are not seen by any piece; only real padding needs a mask.
  bool padded = valid && !valid->all().item<bool>();
  for (int64_t row = 0; row < plan.batch_size && past_valid.defined() && !padded; ++row) {
    const int64_t len = window.row_past[static_cast<size_t>(row)];
    padded = len > 0 && !all_true(past_valid, row, len);
  }
  if (!padded) return std::nullopt;
  const at::Tensor fresh = valid ? valid->to(at::kBool) : at::ones({plan.batch_size, plan.seq_len}, past_valid.options());
  return window.past > 0 ? cat_rows(past_valid, fresh, window) : fresh;
}

}  // namespace

ChunkWindow plan_window(const SequencePlan& plan, int64_t chunk_size, const std::optional<at::Tensor>& valid, const at::Tensor& past_valid) {
  ChunkWindow window;
  window.chunk_size = chunk_size;
  window.uniform = plan.uniform();
  for (size_t row = 0; row < plan.start_position.size(); ++row) {
    window.row_past.push_back(within_chunk(plan.start_position[row], chunk_size));
    window.row_keep.push_back(within_chunk(plan.end_position[row], chunk_size));
  }
  ops::ChunkPlanOptions options{.past_len = window.row_past};
  if (chunk_size > 0) options.chunk_size = chunk_size;
  if (plan.restart) options.document_starts = plan.document_starts();
  ops::ChunkPlan chunks = ops::plan_chunks(plan.batch_size, plan.seq_len, options);
  window.past = chunks.cache_len;
  window.pieces = std::move(chunks.pieces);
  window.longest = chunks.max_key_len;
  window.valid = window_valid(window, plan, valid, past_valid);
  return window;
}

at::Tensor with_room(const at::Tensor& slot, int64_t count, const ChunkWindow& window, at::ScalarType dtype) {
  if (!window.uniform || !slot.defined() || !is_inference()) return {};
  const int64_t total = window.past + count;
  if (window.chunk_size > 0) return total <= slot.size(1) ? plain_narrow(slot, 1, 0, total) : at::Tensor();
  return count <= window.past ? grown(slot, count, window.past, dtype) : at::Tensor();
}

ChunkWindow plan_sliding_window(const SequencePlan& plan, int64_t window_size, const std::optional<at::Tensor>& valid, const at::Tensor& past_valid) {
  ChunkWindow window;
  window.chunk_size = window_size;
  window.uniform = plan.uniform();
  for (size_t row = 0; row < plan.start_position.size(); ++row) {
    window.row_past.push_back(std::min(plan.start_position[row], window_size));
    window.row_keep.push_back(std::min(plan.end_position[row], window_size));
    window.past = std::max(window.past, window.row_past.back());
  }
  for (const Segment& segment : plan.segments) {
    if (window.uniform && segment.row > 0) break;
    const int64_t past = segment.begin == 0 ? window.row_past[static_cast<size_t>(segment.row)] : 0;
    for (int64_t first = 0; first < segment.len; first += window_size) {
      const int64_t queries = std::min(window_size, segment.len - first), oldest = std::max(first - window_size + 1, -past);
      window.pieces.push_back({.row = window.uniform ? -1 : segment.row,
                               .query_begin = segment.begin + first,
                               .query_len = queries,
                               .key_begin = window.past + segment.begin + oldest,
                               .key_len = first + queries - oldest});
      window.longest = std::max(window.longest, window.pieces.back().key_len);
    }
  }
  window.valid = window_valid(window, plan, valid, past_valid);
  return window;
}

at::Tensor with_past(const at::Tensor& slot, const at::Tensor& fresh, const ChunkWindow& window) {
  if (const at::Tensor all = with_room(slot, fresh.size(1), window, fresh.scalar_type()); all.defined()) {
    all.narrow(1, window.past, fresh.size(1)).copy_(fresh);
    return all.to(fresh.scalar_type());
  }
  if (window.past == 0) return fresh;
  if (window.uniform) return at::cat({slot.narrow(1, 0, window.past).to(fresh.scalar_type()), fresh}, 1);
  return cat_rows(slot, fresh, window);
}

at::Tensor kept(const at::Tensor& slot, const at::Tensor& all, const ChunkWindow& window, const SequencePlan& plan) {
  const int64_t longest = *std::max_element(window.row_keep.begin(), window.row_keep.end());
  const int64_t size = window.chunk_size > 0 ? window.chunk_size : longest;
  if (window.chunk_size == 0 && window.uniform) return all;
  if (slot.defined() && slot.is_alias_of(all)) {  // with_past() wrote the new entries in place
    if (longest == 0) slot.zero_();
    return slot;
  }
  std::vector<int64_t> shape = all.sizes().vec();
  shape[1] = size;
  at::Tensor next = at::zeros(shape, all.options());
  if (window.uniform) {
    if (longest > 0) next.narrow(1, 0, longest).copy_(all.narrow(1, all.size(1) - longest, longest));
    return next;
  }
  for (int64_t row = 0; row < plan.batch_size; ++row) {
    const int64_t len = window.row_keep[static_cast<size_t>(row)];
    const int64_t end = window.past + plan.length[static_cast<size_t>(row)];
    if (len > 0) next[row].narrow(0, 0, len).copy_(all[row].narrow(0, end - len, len));
  }
  return next;
}

SlotUpdate kept_flags(Slot slot, const at::Tensor& slot_value, const std::optional<at::Tensor>& valid, const ChunkWindow& window,
                      const SequencePlan& plan, at::Device device) {
  at::Tensor all = valid ? at::Tensor() : with_room(slot_value, plan.seq_len, window, at::kBool);
  if (all.defined()) {
    plain_narrow(all, 1, window.past, plan.seq_len).fill_(true);
  } else {
    all = with_past(slot_value, valid ? *valid : at::ones({plan.batch_size, plan.seq_len}, at::TensorOptions(at::kBool).device(device)), window);
  }
  return {.slot = slot, .value = kept(slot_value, all, window, plan)};
}

}  // namespace everlong::nn
