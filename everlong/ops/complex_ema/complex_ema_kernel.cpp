#include "everlong/ops/complex_ema/complex_ema_kernel.h"

#include <ATen/ATen.h>

#include "everlong/kernels/cpu/complex_ema.h"
#include "everlong/ops/ema/ema_tensors.h"
#include "everlong/tensor/parallel.h"

namespace everlong::ops {
namespace {

ComplexEmaArguments dense(const ComplexEmaArguments& arguments) {
  return {channels_last(arguments.x),
          arguments.q.contiguous(),
          arguments.c.contiguous(),
          arguments.omega.contiguous(),
          contiguous_or_undefined(arguments.state),
          contiguous_or_undefined(arguments.restart),
          contiguous_or_undefined(arguments.lengths),
          arguments.reverse};
}

}  // namespace

bool complex_ema_has_kernel(const at::Tensor& x) { return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16); }

ComplexEmaResult complex_ema_kernel_forward(const ComplexEmaArguments& given) {
  const ComplexEmaArguments a = dense(given);
  const auto shape = ema_shape_of(a);
  const ComplexEmaResult result = {at::empty(a.x.sizes(), a.x.options()),
                                   at::empty({shape.batch_size, shape.model_dim, shape.ema_ndim, 2}, a.q.options())};
  const at::Tensor workspace = at::empty({kernels::complex_ema_forward_workspace(shape)}, a.q.options());
  kernels::complex_ema_forward({.shape = shape,
                                .x = rows_of<const void*>(a.x),
                                .y = rows_of<void*>(result.output),
                                .q = a.q.data_ptr<float>(),
                                .c = a.c.data_ptr<float>(),
                                .omega = a.omega.data_ptr<float>(),
                                .state_in = data_or_null<float>(a.state),
                                .state_out = result.state.data_ptr<float>(),
                                .workspace = workspace.data_ptr<float>()},
                               parallel_for);
  return result;
}

ComplexEmaGradients complex_ema_kernel_backward(const ComplexEmaArguments& given, const at::Tensor& dy, const at::Tensor& dstate,
                                                ComplexEmaWanted wanted) {
  const ComplexEmaArguments a = dense(given);
  const auto shape = ema_shape_of(a);
  const at::Tensor dense_dy = dy.defined() ? channels_last(dy) : at::zeros_like(a.x), dense_dstate = contiguous_or_undefined(dstate);
  ComplexEmaGradients gradients;
  if (wanted.inputs) gradients.x = at::empty(a.x.sizes(), a.x.options());
  if (wanted.inputs && a.state.defined()) gradients.state = at::empty_like(a.state);
  if (wanted.parameters) {
    gradients.q = at::empty_like(a.q);
    gradients.c = at::empty_like(a.c);
    gradients.omega = at::empty_like(a.omega);
  }
  const at::Tensor workspace = at::empty({kernels::complex_ema_backward_workspace(shape)}, a.q.options());
  kernels::complex_ema_backward({.shape = shape,
                                 .x = rows_of<const void*>(a.x),
                                 .dy = rows_of<const void*>(dense_dy),
                                 .dx = rows_of<void*>(gradients.x),
                                 .q = a.q.data_ptr<float>(),
                                 .c = a.c.data_ptr<float>(),
                                 .omega = a.omega.data_ptr<float>(),
                                 .state_in = data_or_null<float>(a.state),
                                 .dstate_out = data_or_null<float>(dense_dstate),
                                 .dstate_in = data_or_null<float>(gradients.state),
                                 .dq = data_or_null<float>(gradients.q),
                                 .dc = data_or_null<float>(gradients.c),
                                 .domega = data_or_null<float>(gradients.omega),
                                 .workspace = workspace.data_ptr<float>()},
                                parallel_for);
  return gradients;
}

}  // namespace everlong::ops
