#pragma once
// The damped EMA on device memory: the structs of the CPU kernels, with device pointers, and a stream.

#include "everlong/kernels/cpu/ema.h"

namespace everlong::kernels::cuda {

/// Whether this build holds the kernels (EVERLONG_CUDA); without them the calls below return an error.
[[nodiscard]] bool ema_is_compiled();

[[nodiscard]] int64_t ema_forward_workspace(const EmaShape& shape);
[[nodiscard]] int64_t ema_backward_workspace(const EmaShape& shape);

/// As the CPU kernels of the same name, asynchronously on `stream` (a cudaStream_t) of the current device.
/// Errors   a static text if the launch was refused, else null
[[nodiscard]] const char* ema_forward(const EmaForward& call, void* stream);
[[nodiscard]] const char* ema_backward(const EmaBackward& call, void* stream);

}  // namespace everlong::kernels::cuda
