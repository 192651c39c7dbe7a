#include "everlong/ops/complex_ema/complex_ema_kernel.h"

#include <ATen/ATen.h>

#include "everlong/kernels/cpu/complex_ema.h"
#include "everlong/tensor/parallel.h"

namespace everlong::ops {
namespace {

using kernels::Rows;

/// The tensor with contiguous channels, copied only where it must be.
at::Tensor channels_last(const at::Tensor& rows) { return rows.stride(2) == 1 && rows.stride(1) >= rows.size(2) ? rows : rows.contiguous(); }

template <class Pointer>
Rows<Pointer> rows_of(const at::Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {tensor.data_ptr(), tensor.stride(0), tensor.stride(1)};
}

template <class T>
T* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.data_ptr<T>() : nullptr;
}

kernels::EmaShape shape_of(const ComplexEmaArguments& arguments) {
  return {.batch_size = arguments.x.size(0),
          .seq_len = arguments.x.size(1),
          .model_dim = arguments.x.size(2),
          .ema_ndim = arguments.q.size(1),
          .element = arguments.x.scalar_type() == at::kBFloat16 ? kernels::Element::kBFloat16 : kernels::Element::kFloat,
          .reverse = arguments.reverse,
          .restart = data_or_null<bool>(arguments.restart),
          .lengths = data_or_null<int64_t>(arguments.lengths)};
}

at::Tensor contiguous_or_undefined(const at::Tensor& tensor) { return tensor.defined() ? tensor.contiguous() : tensor; }

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
  const auto shape = shape_of(a);
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
  const auto shape = shape_of(a);
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
