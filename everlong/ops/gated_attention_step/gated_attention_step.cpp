#include "everlong/ops/gated_attention_step/gated_attention_step.h"

#include "everlong/base/error.h"
#include "everlong/kernels/cpu/gated_attention_step.h"
#include "everlong/ops/linear/linear.h"
#include "everlong/ops/query_attention/cached_rows.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"
#include "everlong/tensor/view.h"

namespace everlong::ops {
namespace {

using kernels::GatedAttentionShape;

bool dense(const at::Tensor& tensor, at::ScalarType dtype) { return tensor.is_cpu() && tensor.scalar_type() == dtype && tensor.is_contiguous(); }

bool dense_matrix(const GatedAttentionParameters::Product& product, at::ScalarType dtype) {
  return dense(product.matrix.weight, dtype) && dense(product.bias, at::kFloat);
}

GatedAttentionShape shape_of(const at::Tensor& x, const GatedAttentionMemory& memory) {
  return {.batch_size = x.size(0),
          .model_dim = x.size(2),
          .value_dim = memory.values.size(2),
          .z_dim = memory.keys.size(2),
          .ema_ndim = memory.ema.size(2),
          .num_keys = memory.keys.size(1)};
}

void check(const at::Tensor& normed, const GatedAttentionParameters& p, const GatedAttentionMemory& memory, const GatedAttentionShape& s) {
  const auto demand = [](const char* name, const at::Tensor& tensor, const char* axes, at::IntArrayRef sizes) {
    require_shape("gated_attention_step", name, tensor, axes, sizes);
  };
  const int64_t D = s.model_dim, U = s.value_dim, Z = s.z_dim, mixed = 2 * D + Z + U;
  demand("normed", normed, "[B, 1, D]", {s.batch_size, 1, D});
  demand("value.weight", p.value.matrix.weight, "[U, D]", {U, D});
  demand("value.bias", p.value.bias, "[U]", {U});
  demand("mixed.weight", p.mixed.matrix.weight, "[2 D + Z + U, D]", {mixed, D});
  demand("mixed.bias", p.mixed.bias, "[2 D + Z + U]", {mixed});
  demand("output.weight", p.output.matrix.weight, "[D, U]", {D, U});
  demand("output.bias", p.output.bias, "[D]", {D});
  demand("ema_q", p.ema_q, "[D, N]", {D, s.ema_ndim});
  demand("ema_c", p.ema_c, "[D, N]", {D, s.ema_ndim});
  demand("ema_residual", p.ema_residual, "[D]", {D});
  demand("qk_scale", p.qk_scale, "[2, Z]", {2, Z});
  demand("qk_offset", p.qk_offset, "[2, Z]", {2, Z});
  demand("ema", memory.ema, "[B, D, N]", {s.batch_size, D, s.ema_ndim});
  demand("keys", memory.keys, "[B, A, Z]", {s.batch_size, s.num_keys, Z});
  demand("values", memory.values, "[B, A, U]", {s.batch_size, s.num_keys, U});
  require(p.relative_bias.dim() == 1 && p.relative_bias.size(0) % 2 == 1 && p.relative_bias.size(0) >= 2 * s.num_keys - 1, [&] {
    return Complaint{.where = "gated_attention_step",
                     .expected = "relative_bias [2 A' - 1] with A' at least the " + std::to_string(s.num_keys) + " keys",
                     .got = describe(p.relative_bias)};
  });
}

template <class T>
const T* data(const at::Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

template <class T>
kernels::LearnedMatrix<T> matrix_of(const GatedAttentionParameters::Product& product) {
  return {data<T>(product.matrix.weight), data<float>(product.bias), product.matrix.packed};
}

template <class T>
void run(const GatedAttentionShape& shape, const at::Tensor& x, const at::Tensor& normed, const GatedAttentionParameters& p,
         const GatedAttentionMemory& memory, at::Tensor& y) {
  const at::Tensor workspace = at::empty({kernels::gated_attention_workspace(shape, sizeof(T))}, at::kByte);
  kernels::gated_attention_step(kernels::GatedAttentionStep<T>{.shape = shape,
                                                               .function = p.function,
                                                               .x = data<T>(x),
                                                               .normed = data<T>(normed),
                                                               .value = matrix_of<T>(p.value),
                                                               .mixed = matrix_of<T>(p.mixed),
                                                               .output = matrix_of<T>(p.output),
                                                               .ema_q = data<float>(p.ema_q),
                                                               .ema_c = data<float>(p.ema_c),
                                                               .omega = data<float>(p.ema_residual),
                                                               .scale = data<float>(p.qk_scale),
                                                               .offset = data<float>(p.qk_offset),
                                                               .relative_bias = data<float>(p.relative_bias) + p.relative_bias.size(0) / 2,
                                                               .ema_state = memory.ema.mutable_data_ptr<float>(),
                                                               .keys = cached_rows<T>(memory.keys),
                                                               .values = cached_rows<T>(memory.values),
                                                               .y = static_cast<T*>(y.mutable_data_ptr()),
                                                               .workspace = workspace.mutable_data_ptr()},
                                parallel_for);
}

}  // namespace

bool has_gated_attention_step(const at::Tensor& x, const GatedAttentionParameters& p, const GatedAttentionMemory& memory) {
  const at::ScalarType dtype = x.scalar_type();
  if (!decodes(x) || x.dim() != 3 || x.size(1) != 1) return false;
  for (const auto* product : {&p.value, &p.mixed, &p.output})
    if (!dense_matrix(*product, dtype)) return false;
  for (const at::Tensor* tensor : {&p.ema_q, &p.ema_c, &p.ema_residual, &p.qk_scale, &p.qk_offset, &p.relative_bias, &memory.ema})
    if (!dense(*tensor, at::kFloat)) return false;
  return dense_rows(memory.keys, dtype) && dense_rows(memory.values, dtype);
}

at::Tensor gated_attention_step(const at::Tensor& x, const at::Tensor& normed, const GatedAttentionParameters& parameters,
                                const GatedAttentionMemory& memory) {
  const GatedAttentionShape shape = shape_of(x, memory);
  check(normed, parameters, memory, shape);
  const at::Tensor from = x.contiguous(), input = as_dtype(normed, x.scalar_type()).contiguous();
  at::Tensor y = at::empty(x.sizes(), x.options());
  if (x.scalar_type() == at::kFloat) {
    run<float>(shape, from, input, parameters, memory, y);
  } else {
    run<uint16_t>(shape, from, input, parameters, memory, y);
  }
  return y;
}

}  // namespace everlong::ops
