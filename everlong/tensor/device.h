#pragma once
// Where and in which precision to compute, from what a person asked for.

#include <string_view>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace everlong {

/// Resolves "auto", "cpu" or "cuda" ("cuda:1"). "auto" is CUDA where this build and this machine have it.
/// Errors   InvalidArgument for any other word; Unsupported for cuda where there is none, with the reason
[[nodiscard]] at::Device resolve_device(std::string_view name);

/// True if a CUDA device can be used; loads the CUDA part of libtorch on the first call.
[[nodiscard]] bool cuda_available();

/// Resolves "f32", "bf16" or "f64".
/// Errors   InvalidArgument for any other word; Unsupported for f16: a recurrence loses too much in 11 bits of mantissa and 5 of exponent
[[nodiscard]] at::ScalarType resolve_dtype(std::string_view name);
[[nodiscard]] std::string_view dtype_name(at::ScalarType dtype);

/// Accumulators and recurrent states: fp64 for fp64, else fp32.
[[nodiscard]] at::ScalarType accumulate_dtype(at::ScalarType compute_dtype);

}  // namespace everlong
