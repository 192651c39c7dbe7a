#include "tests/support/torch/poison.h"

#include <ATen/Context.h>

namespace everlong::testing {

PoisonAllocations::PoisonAllocations()
    : fill_(at::globalContext().deterministicFillUninitializedMemory()),
      deterministic_(at::globalContext().deterministicAlgorithms()),
      warn_only_(at::globalContext().deterministicAlgorithmsWarnOnly()) {
  // The fill is part of deterministic mode; warn_only keeps operations without a deterministic form usable.
  at::globalContext().setDeterministicFillUninitializedMemory(true);
  at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
}

PoisonAllocations::~PoisonAllocations() {
  at::globalContext().setDeterministicFillUninitializedMemory(fill_);
  at::globalContext().setDeterministicAlgorithms(deterministic_, warn_only_);
}

}  // namespace everlong::testing
