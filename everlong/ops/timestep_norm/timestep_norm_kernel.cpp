#include "everlong/ops/timestep_norm/timestep_norm_kernel.h"

#include <ATen/ATen.h>
#include <ATen/core/DimVector.h>

#include "everlong/kernels/cpu/timestep_norm.h"
#include "everlong/ops/ema/ema_tensors.h"
#include "everlong/tensor/parallel.h"

namespace everlong::ops {
namespace {

TimestepNormArguments dense(TimestepNormArguments a) {
  a.x = channels_last(a.x);
  for (at::Tensor* tensor : {&a.weight, &a.bias, &a.count, &a.mean, &a.variance, &a.restart, &a.lengths, &a.mask})
    *tensor = contiguous_or_undefined(*tensor);
  return a;
}

/// Of dense arguments, whose memory it points to.
kernels::TimestepNormShape shape_of(const TimestepNormArguments& a) {
  return {.batch_size = a.x.size(0),
          .seq_len = a.x.size(1),
          .model_dim = a.x.size(2),
          .num_groups = a.num_groups,
          .element = element_of(a.x),
          .count_cap = a.count_cap,
          .eps = a.eps,
          .restart = data_or_null<bool>(a.restart),
          .lengths = data_or_null<int64_t>(a.lengths),
          .mask = data_or_null<bool>(a.mask),
          .count_in = data_or_null<int64_t>(a.count),
          .mean_in = data_or_null<double>(a.mean)};
}

}  // namespace

bool timestep_norm_has_kernel(const at::Tensor& x) { return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16); }

TimestepNormForward timestep_norm_kernel_forward(const TimestepNormArguments& given, bool save) {
  const TimestepNormArguments a = dense(given);
  const auto shape = shape_of(a);
  const auto f64 = a.x.options().dtype(at::kDouble);
  const at::DimVector per_row = {shape.batch_size, shape.num_groups}, per_token = {shape.batch_size, shape.seq_len, shape.num_groups};
  TimestepNormForward forward = {.result = {.output = at::empty(a.x.sizes(), a.x.options()),
                                            .state = {.count = at::empty({shape.batch_size}, a.x.options().dtype(at::kLong)),
                                                      .mean = at::empty(per_row, f64),
                                                      .variance = at::empty(per_row, f64)}}};
  if (save) forward.saved = {.mean = at::empty(per_token, f64), .rstd = at::empty(per_token, a.weight.options())};
  kernels::timestep_norm_forward({.shape = shape,
                                  .x = rows_of<const void*>(a.x),
                                  .y = rows_of<void*>(forward.result.output),
                                  .weight = a.weight.data_ptr<float>(),
                                  .bias = a.bias.data_ptr<float>(),
                                  .variance_in = data_or_null<double>(a.variance),
                                  .count_out = forward.result.state.count.data_ptr<int64_t>(),
                                  .mean_out = forward.result.state.mean.data_ptr<double>(),
                                  .variance_out = forward.result.state.variance.data_ptr<double>(),
                                  .mean = data_or_null<double>(forward.saved.mean),
                                  .rstd = data_or_null<float>(forward.saved.rstd)},
                                 parallel_for);
  return forward;
}

TimestepNormGradients timestep_norm_kernel_backward(const TimestepNormArguments& given, const TimestepNormSaved& saved, const at::Tensor& dy,
                                                    const at::Tensor& dmean, const at::Tensor& dvariance) {
  const TimestepNormArguments a = dense(given);
  const auto shape = shape_of(a);
  const at::Tensor dense_dy = dy.defined() ? channels_last(dy) : at::zeros_like(a.x);
  const at::Tensor dense_dmean = contiguous_or_undefined(dmean), dense_dvariance = contiguous_or_undefined(dvariance);
  TimestepNormGradients gradients = {
      .x = at::empty(a.x.sizes(), a.x.options()), .weight = at::empty_like(a.weight), .bias = at::empty_like(a.weight)};
  if (a.mean.defined()) gradients.mean = at::empty_like(a.mean);
  if (a.mean.defined()) gradients.variance = at::empty_like(a.mean);
  const at::Tensor workspace = at::empty({kernels::timestep_norm_backward_workspace(shape)}, a.x.options().dtype(at::kDouble));
  kernels::timestep_norm_backward({.shape = shape,
                                   .x = rows_of<const void*>(a.x),
                                   .dy = rows_of<const void*>(dense_dy),
                                   .dx = rows_of<void*>(gradients.x),
                                   .weight = a.weight.data_ptr<float>(),
                                   .mean = saved.mean.data_ptr<double>(),
                                   .rstd = saved.rstd.data_ptr<float>(),
                                   .dmean_out = data_or_null<double>(dense_dmean),
                                   .dvariance_out = data_or_null<double>(dense_dvariance),
                                   .dmean_in = data_or_null<double>(gradients.mean),
                                   .dvariance_in = data_or_null<double>(gradients.variance),
                                   .dweight = gradients.weight.data_ptr<float>(),
                                   .dbias = gradients.bias.data_ptr<float>(),
                                   .workspace = workspace.data_ptr<double>()},
                                  parallel_for);
  return gradients;
}

}  // namespace everlong::ops
