#include "everlong/nn/state.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

at::ScalarType slot_dtype(SlotKind kind, at::ScalarType compute_dtype) {
  if (kind == SlotKind::flag) return at::kBool;
  if (kind == SlotKind::cache) return compute_dtype;
  if (kind == SlotKind::statistic) return at::kDouble;
  if (kind == SlotKind::count) return at::kLong;
  return compute_dtype == at::kDouble ? at::kDouble : at::kFloat;
}

bool dtype_fits(SlotKind kind, at::ScalarType dtype) {
  if (kind == SlotKind::flag) return dtype == at::kBool;
  if (kind == SlotKind::cache) return at::isFloatingType(dtype);
  if (kind == SlotKind::statistic) return dtype == at::kDouble;
  if (kind == SlotKind::count) return dtype == at::kLong;
  return dtype == at::kFloat || dtype == at::kDouble;
}

bool shape_fits(const SlotSpec& spec, at::IntArrayRef sizes) {
  if (sizes.size() != spec.shape.size() + 1) return false;
  for (size_t i = 0; i < spec.shape.size(); ++i)
    if (!(spec.free_length() && i == 0) && sizes[i + 1] != spec.shape[i]) return false;
  return true;
}

}  // namespace

Slot StateLayout::add(SlotSpec spec) {
  const bool taken = std::any_of(slots_.begin(), slots_.end(), [&](const SlotSpec& other) { return other.name == spec.name; });
  require(!taken, [&] { return Complaint{.where = "state layout", .expected = "a slot name that is not taken", .got = spec.name}; });
  for (const int64_t size : spec.shape)
    require(size >= 0, [&] { return Complaint{.where = spec.name, .expected = "dimensions >= 0", .got = fmt::format("{}", size)}; });
  slots_.push_back(std::move(spec));
  return static_cast<Slot>(slots_.size() - 1);
}

State StateLayout::fresh(int64_t batch_size, at::Device device, at::ScalarType compute_dtype) const {
  State state;
  for (const SlotSpec& spec : slots_) {
    std::vector<int64_t> shape{batch_size};
    shape.insert(shape.end(), spec.shape.begin(), spec.shape.end());
    state.tensors_.push_back(at::zeros(shape, at::TensorOptions().dtype(slot_dtype(spec.kind, compute_dtype)).device(device)));
  }
  state.position_ = at::zeros({batch_size}, at::kLong);
  state.owner_ = owner_;
  return state;
}

State StateLayout::assemble(std::vector<at::Tensor> tensors, at::Tensor position) const {
  State state;
  state.tensors_ = std::move(tensors);
  state.position_ = std::move(position);
  state.owner_ = owner_;
  check(state);
  return state;
}

State StateLayout::next(std::vector<SlotUpdate> updates, const std::vector<int64_t>& positions) const {
  State state;
  state.tensors_.resize(slots_.size());
  for (SlotUpdate& update : updates) state[update.slot] = std::move(update.value);
  for (size_t i = 0; i < slots_.size(); ++i)
    if (!state.tensors_[i].defined()) throw StateError({.where = slots_[i].name, .expected = "a value after the call", .got = "none"});
  state.set_positions(positions);
  state.owner_ = owner_;
  return state;
}

void StateLayout::check(const State& state) const {
  if (state.owner_ != owner_)
    throw StateError({.where = "state",
                      .expected = fmt::format("a state of the model with fingerprint {}", owner_),
                      .got = state.owner_,
                      .hint = "a state belongs to the configuration that made it; start with initial_state()"});
  if (state.tensors_.size() != slots_.size())
    throw StateError({.where = "state", .expected = fmt::format("{} slots", slots_.size()), .got = fmt::format("{}", state.tensors_.size())});
  for (size_t i = 0; i < slots_.size(); ++i) {
    const at::Tensor& tensor = state.tensors_[i];
    const bool rows_fit = tensor.dim() > 0 && tensor.size(0) == state.batch_size();
    if (!rows_fit || !shape_fits(slots_[i], tensor.sizes()) || !dtype_fits(slots_[i].kind, tensor.scalar_type()))
      throw StateError({.where = slots_[i].name,
                        .expected = fmt::format("[{}, {}]", state.batch_size(), fmt::join(slots_[i].shape, ", ")),
                        .got = describe(tensor)});
  }
}

void StateLayout::check_positions(const State& state) const {
  const auto positions = state.positions();
  const int64_t furthest = positions.empty() ? 0 : *std::max_element(positions.begin(), positions.end());
  for (size_t i = 0; i < slots_.size(); ++i) {
    const int64_t len = slots_[i].grows ? state.tensors_[i].size(1) : furthest;
    if (len != furthest)
      throw StateError({.where = slots_[i].name,
                        .expected = fmt::format("{} entries, the position of the furthest row", furthest),
                        .got = fmt::format("{}", len)});
  }
}

int64_t StateLayout::bytes_per_row(int64_t position, at::ScalarType compute_dtype) const {
  int64_t bytes = static_cast<int64_t>(sizeof(int64_t));
  for (const SlotSpec& spec : slots_) {
    int64_t elements = 1;
    for (size_t i = 0; i < spec.shape.size(); ++i) elements *= spec.grows && i == 0 ? position : spec.shape[i];
    bytes += elements * static_cast<int64_t>(c10::elementSize(slot_dtype(spec.kind, compute_dtype)));
  }
  return bytes;
}

bool StateLayout::bounded() const {
  return std::none_of(slots_.begin(), slots_.end(), [](const SlotSpec& spec) { return spec.grows; });
}

std::vector<int64_t> State::positions() const {
  const int64_t* data = position_.const_data_ptr<int64_t>();
  return {data, data + position_.size(0)};
}

void State::set_positions(const std::vector<int64_t>& positions) { position_ = at::tensor(positions, at::kLong); }

template <class F>
State State::mapped(const F& transform) const {
  State result;
  result.tensors_.reserve(tensors_.size());
  for (const at::Tensor& tensor : tensors_) result.tensors_.push_back(transform(tensor));
  result.position_ = position_;
  result.owner_ = owner_;
  return result;
}

State State::clone() const {
  State copy = mapped([](const at::Tensor& tensor) { return tensor.clone(); });
  if (position_.defined()) copy.position_ = position_.clone();
  return copy;
}

State State::select(const at::Tensor& rows) const {
  State chosen = mapped([&](const at::Tensor& tensor) { return tensor.index_select(0, rows.to(tensor.device())); });
  chosen.position_ = position_.index_select(0, rows.to(at::kCPU));
  return chosen;
}

State State::to(at::Device device) const {
  return mapped([&](const at::Tensor& tensor) {
    return tensor.to(device, tensor.scalar_type(), false, true);
  });  // never shares storage: slots are written in place
}

void State::detach_() {
  for (at::Tensor& tensor : tensors_) tensor = tensor.detach();
}

void State::restart_(const at::Tensor& rows) {
  if (empty() || !rows.any().item<bool>()) return;
  for (at::Tensor& tensor : tensors_) {
    std::vector<int64_t> shape(static_cast<size_t>(tensor.dim()), 1);
    shape[0] = batch_size();
    tensor = tensor.masked_fill(rows.to(tensor.device()).view(shape), 0);
  }
  position_ = position_.masked_fill(rows.to(at::kCPU), 0);
}

int64_t State::bytes() const {
  int64_t bytes = position_.defined() ? static_cast<int64_t>(position_.nbytes()) : 0;
  for (const at::Tensor& tensor : tensors_) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

}  // namespace everlong::nn
