#pragma once
// The state that a model carries from one call to the next, as plain data.
//
// A module never hides what it remembers. It registers slots in the model's StateLayout when it is built, exactly as it registers
// parameters, and reads and writes them through a State that the caller hands in and gets back. Everything that one can do with a
// state (fork a session, drop a row of a batch, spill to disk, truncate back-propagation) is therefore written once, here.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

namespace everlong::nn {

enum class SlotKind {
  recurrent,  ///< summed or filtered over all time: fp32 whatever the compute dtype, fp64 when computing in fp64
  cache,      ///< keys, values: kept in the compute dtype
  flag,       ///< bool
  statistic,  ///< means and sums over all time: fp64 whatever the compute dtype
  count,      ///< int64
};

/// What one slot holds for one row of a batch.
struct SlotSpec {
  std::string name;            ///< "layers.3.ema.h": unique, stable on disk
  std::vector<int64_t> shape;  ///< without the batch axis, e.g. [D, N]; the first axis is 0 for a growing slot
  SlotKind kind = SlotKind::recurrent;
  bool grows = false;      ///< first axis lengthens with the sequence (a full key/value cache)
  bool of_memory = false;  ///< first axis is as long as the encoder states that the row attends to; 0 before any were read

  [[nodiscard]] bool free_length() const { return grows || of_memory; }
};

/// Names a slot of a StateLayout; cheap to copy, meaningless for another layout.
enum class Slot : int32_t {};

/// A slot and its value after a call.
struct SlotUpdate {
  Slot slot;
  at::Tensor value;
};

class State;

/// The schema of a model's state: known before any tensor exists.
class StateLayout {
 public:
  /// Registers a slot while the model is being built.
  /// Errors   InvalidArgument if the name is taken or a dimension is negative
  Slot add(SlotSpec spec);

  /// Whose states these are: a state of another owner is refused. Set once, to the fingerprint of the model's configuration.
  void set_owner(std::string owner) { owner_ = std::move(owner); }
  [[nodiscard]] const std::string& owner() const { return owner_; }

  /// Allocates the state of `batch_size` rows that have read nothing: zeros, position 0.
  [[nodiscard]] State fresh(int64_t batch_size, at::Device device, at::ScalarType compute_dtype) const;

  /// Puts a state together from tensors in the order of slots().
  /// Errors   StateError if a tensor's shape or dtype is not the slot's
  [[nodiscard]] State assemble(std::vector<at::Tensor> tensors, at::Tensor position) const;

  /// The state after a call that updated every slot. Errors  StateError if a slot was left out
  [[nodiscard]] State next(std::vector<SlotUpdate> updates, const std::vector<int64_t>& positions) const;

  /// Checks that `state` was made by this layout. Errors  StateError with both owners or the first slot that differs
  void check(const State& state) const;

  /// Checks that every growing slot holds what its rows have read. Errors  StateError naming the slot
  void check_positions(const State& state) const;

  /// Bytes one row takes, growing slots counted at `position` tokens, without encoder states: what planners, servers and docs quote.
  [[nodiscard]] int64_t bytes_per_row(int64_t position, at::ScalarType compute_dtype) const;

  [[nodiscard]] const std::vector<SlotSpec>& slots() const { return slots_; }
  [[nodiscard]] bool bounded() const;

 private:
  std::vector<SlotSpec> slots_;
  std::string owner_;
};

/// Everything a model remembers of `batch_size` sequences. Move-only: a copy of 100 MB has a name, clone().
/// Threads  distinct states may be used concurrently; one state by one thread at a time
class State {
 public:
  State() = default;  ///< no state: the sequences start with the next call
  State(State&&) noexcept = default;
  State& operator=(State&&) noexcept = default;

  [[nodiscard]] bool empty() const { return !position_.defined(); }
  [[nodiscard]] int64_t batch_size() const { return position_.size(0); }

  /// Tokens read so far of each row's document. Shapes  [B] int64 on the CPU. Rows may be at different positions.
  [[nodiscard]] const at::Tensor& position() const { return position_; }
  [[nodiscard]] std::vector<int64_t> positions() const;
  void set_positions(const std::vector<int64_t>& positions);

  /// The tensor of a slot. Shapes  [B, ...] as its SlotSpec says.
  at::Tensor& operator[](Slot slot) { return tensors_[static_cast<size_t>(slot)]; }
  const at::Tensor& operator[](Slot slot) const { return tensors_[static_cast<size_t>(slot)]; }
  [[nodiscard]] const std::vector<at::Tensor>& tensors() const { return tensors_; }

  [[nodiscard]] State clone() const;                         ///< deep copy: fork a session
  [[nodiscard]] State select(const at::Tensor& rows) const;  ///< [B'] int64, repeats allowed: beams, batches re-packed
  [[nodiscard]] State to(at::Device device) const;
  void detach_();                         ///< cuts the graph: the boundary of truncated BPTT
  void restart_(const at::Tensor& rows);  ///< [B] bool: these rows begin a new document
  [[nodiscard]] int64_t bytes() const;

 private:
  friend class StateLayout;
  template <class F>
  [[nodiscard]] State mapped(const F& transform) const;

  std::vector<at::Tensor> tensors_;
  at::Tensor position_;
  std::string owner_;
};

}  // namespace everlong::nn
