#pragma once

#include <cstdint>

namespace everlong::bench {

/// What of a model is timed. "encode" is without the memory that scores and gradients take.
enum class ModelPhase : uint8_t { all, encode, infer, train };

}  // namespace everlong::bench
