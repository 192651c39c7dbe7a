#include "everlong/ops/ema/ema_kernel.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "everlong/base/error.h"
#include "everlong/kernels/cpu/ema.h"
#include "everlong/kernels/cuda/ema.h"
#include "everlong/ops/ema/ema_tensors.h"
#include "everlong/tensor/parallel.h"

namespace everlong::ops {
namespace {

EmaArguments dense(const EmaArguments& arguments) {
  return {channels_last(arguments.x),
          arguments.q.contiguous(),
          arguments.c.contiguous(),
          contiguous_or_undefined(arguments.state),
          contiguous_or_undefined(arguments.restart),
          contiguous_or_undefined(arguments.lengths),
          arguments.reverse};
}

void* current_stream(const at::Device& device) { return c10::impl::VirtualGuardImpl(device.type()).getStream(device).native_handle(); }

void check_launch(const char* error) {
  if (error != nullptr) throw Unsupported({.where = "ema", .expected = "the CUDA kernel to start", .got = error});
}

}  // namespace

bool ema_has_kernel(const at::Tensor& x) {
  if (x.scalar_type() != at::kFloat && x.scalar_type() != at::kBFloat16) return false;
  return x.is_cpu() || (x.is_cuda() && kernels::cuda::ema_is_compiled());
}

EmaResult ema_kernel_forward(const EmaArguments& given) {
  const c10::OptionalDeviceGuard guard(given.x.is_cuda() ? std::optional(given.x.device()) : std::nullopt);
  const EmaArguments a = dense(given);
  const auto shape = ema_shape_of(a);
  const EmaResult result = {at::empty(a.x.sizes(), a.x.options()), at::empty({shape.batch_size, shape.model_dim, shape.ema_ndim}, a.q.options())};
  const int64_t scratch = a.x.is_cuda() ? kernels::cuda::ema_forward_workspace(shape) : kernels::ema_forward_workspace(shape);
  const at::Tensor workspace = at::empty({scratch}, a.q.options());
  const kernels::EmaForward call = {.shape = shape,
                                    .x = rows_of<const void*>(a.x),
                                    .y = rows_of<void*>(result.output),
                                    .q = a.q.data_ptr<float>(),
                                    .c = a.c.data_ptr<float>(),
                                    .state_in = data_or_null<float>(a.state),
                                    .state_out = result.state.data_ptr<float>(),
                                    .workspace = workspace.data_ptr<float>()};
  if (a.x.is_cuda()) {
    check_launch(kernels::cuda::ema_forward(call, current_stream(a.x.device())));
  } else {
    kernels::ema_forward(call, parallel_for);
  }
  return result;
}

EmaGradients ema_kernel_backward(const EmaArguments& given, const at::Tensor& dy, const at::Tensor& dstate, EmaWanted wanted) {
  const c10::OptionalDeviceGuard guard(given.x.is_cuda() ? std::optional(given.x.device()) : std::nullopt);
  const EmaArguments a = dense(given);
  const auto shape = ema_shape_of(a);
  const at::Tensor dense_dy = dy.defined() ? channels_last(dy) : at::zeros_like(a.x), dense_dstate = contiguous_or_undefined(dstate);
  EmaGradients gradients;
  if (wanted.inputs) gradients.x = at::empty(a.x.sizes(), a.x.options());
  if (wanted.inputs && a.state.defined()) gradients.state = at::empty_like(a.state);
  if (wanted.parameters) gradients.q = at::empty_like(a.q);
  if (wanted.parameters) gradients.c = at::empty_like(a.c);
  const int64_t scratch = a.x.is_cuda() ? kernels::cuda::ema_backward_workspace(shape) : kernels::ema_backward_workspace(shape);
  const at::Tensor workspace = at::empty({scratch}, a.q.options());
  const kernels::EmaBackward call = {.shape = shape,
                                     .x = rows_of<const void*>(a.x),
                                     .dy = rows_of<const void*>(dense_dy),
                                     .dx = rows_of<void*>(gradients.x),
                                     .q = a.q.data_ptr<float>(),
                                     .c = a.c.data_ptr<float>(),
                                     .state_in = data_or_null<float>(a.state),
                                     .dstate_out = data_or_null<float>(dense_dstate),
                                     .dstate_in = data_or_null<float>(gradients.state),
                                     .dq = data_or_null<float>(gradients.q),
                                     .dc = data_or_null<float>(gradients.c),
                                     .workspace = workspace.data_ptr<float>()};
  if (a.x.is_cuda()) {
    check_launch(kernels::cuda::ema_backward(call, current_stream(a.x.device())));
  } else {
    kernels::ema_backward(call, parallel_for);
  }
  return gradients;
}

}  // namespace everlong::ops
