#include "everlong/kernels/cuda/ema.h"

namespace everlong::kernels::cuda {
namespace {

constexpr const char* kAbsent = "a build without CUDA kernels (configure with -DEVERLONG_CUDA=ON)";

}  // namespace

bool ema_is_compiled() { return false; }
int64_t ema_forward_workspace(const EmaShape& /*shape*/) { return 0; }
int64_t ema_backward_workspace(const EmaShape& /*shape*/) { return 0; }
const char* ema_forward(const EmaForward& /*call*/, void* /*stream*/) { return kAbsent; }
const char* ema_backward(const EmaBackward& /*call*/, void* /*stream*/) { return kAbsent; }

}  // namespace everlong::kernels::cuda
