#include "everlong/tensor/device.h"

#include <dlfcn.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong {

bool cuda_available() {
  static const bool available = [] {
    // Without a driver the CUDA libraries need not even be installed; with one, loading them registers the device with ATen.
    if (dlopen("libcuda.so.1", RTLD_LAZY) == nullptr) return false;
    if (!at::globalContext().hasCUDA() && dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_GLOBAL) == nullptr) return false;
    return at::globalContext().hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0;
  }();
  return available;
}

at::Device resolve_device(std::string_view name) {
  if (name == "auto") return cuda_available() ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (name == "cpu") return at::kCPU;
  if (!name.starts_with("cuda"))
    throw InvalidArgument({.where = "--device", .expected = "auto, cpu or cuda", .got = std::string(name)});
  if (!cuda_available())
    throw Unsupported({.where = "--device", .expected = "a CUDA device and the CUDA libraries of PyTorch", .hint = "use --device cpu"});
  return at::Device(std::string(name));
}

at::ScalarType resolve_dtype(std::string_view name) {
  if (name == "f32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "f64") return at::kDouble;
  if (name == "f16")
    throw Unsupported({.where = "dtype", .expected = "f32, bf16 or f64", .got = "f16", .hint = "recurrent states overflow and stall in half precision; use bf16"});
  throw InvalidArgument({.where = "dtype", .expected = "f32, bf16 or f64", .got = std::string(name)});
}

std::string_view dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat: return "f32";
    case at::kBFloat16: return "bf16";
    case at::kDouble: return "f64";
    default: return c10::toString(dtype);
  }
}

at::ScalarType accumulate_dtype(at::ScalarType compute_dtype) { return compute_dtype == at::kDouble ? at::kDouble : at::kFloat; }

}  // namespace everlong
