#pragma once
// Memory that nobody wrote must be visible in a test.

namespace everlong::testing {

/// Fills the tensors that torch allocates while it lives with NaN (integers: their maximum), so that an output or scratch value that was
/// never written shows up. Restores torch's settings after.
/// Reaches  at::empty and its family; not memory that bypasses torch
class PoisonAllocations {
 public:
  PoisonAllocations();
  ~PoisonAllocations();
  PoisonAllocations(const PoisonAllocations&) = delete;
  PoisonAllocations& operator=(const PoisonAllocations&) = delete;

 private:
  bool fill_;
  bool deterministic_;
  bool warn_only_;
};

}  // namespace everlong::testing
