#include "everlong/ops/linear/linear.h"

#include "everlong/kernels/cpu/matvec.h"
#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"
#include "everlong/tensor/view.h"

namespace everlong::ops {
namespace {

template <class T>
void multiply(const at::Tensor& x, const at::Tensor& w, const kernels::PackedMatrix& packed, const at::Tensor& bias, bool silu, const at::Tensor& residual, at::Tensor& y) {
  const auto data = [](const at::Tensor& tensor) { return tensor.defined() ? static_cast<const T*>(tensor.const_data_ptr()) : nullptr; };
  kernels::matvec(kernels::MatVec<T>{.num_rows = x.numel() / x.size(-1),
                                     .in_features = w.size(1),
                                     .out_features = w.size(0),
                                     .x = data(x),
                                     .w = data(w),
                                     .packed = packed,
                                     .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                                     .silu = silu,
                                     .residual = data(residual),
                                     .y = static_cast<T*>(y.mutable_data_ptr())},
                  parallel_for);
}

at::Tensor finished(const at::Tensor& product, const LinearFinish& finish) {
  const at::Tensor y = finish.silu ? at::silu(product) : product;
  return finish.residual.defined() ? y + finish.residual : y;
}

}  // namespace

bool decodes(const at::Tensor& x) {
  const bool dtype = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  return is_inference() && dtype && x.is_cpu() && x.numel() > 0 && x.numel() / x.size(-1) <= kernels::kMatVecRows;
}

at::Tensor linear(const at::Tensor& x, const Matrix& learned, const at::Tensor& bias, const LinearFinish& finish) {
  const at::Tensor& w = learned.weight;
  const at::Tensor matrix = as_dtype(w, x.scalar_type());
  std::vector<int64_t> shape = x.sizes().vec();
  TORCH_CHECK(shape.back() == w.size(1), "linear: ", x.sizes(), " does not fit a matrix of ", w.sizes());
  shape.back() = w.size(0);
  if (finish.residual.defined()) require_shape("linear", "residual", finish.residual, "[*, out]", shape);
  if (!decodes(x) || !matrix.is_contiguous()) return finished(at::linear(x, matrix, as_dtype(bias, x.scalar_type())), finish);

  const auto dense = [](const at::Tensor& tensor, at::ScalarType dtype) { return tensor.defined() ? as_dtype(tensor, dtype).contiguous() : tensor; };
  const at::Tensor offset = dense(bias, at::kFloat), residual = dense(finish.residual, x.scalar_type());
  if (offset.defined()) require_shape("linear", "bias", offset, "[out]", {w.size(0)});
  at::Tensor y = at::empty(shape, x.options());
  if (x.scalar_type() == at::kFloat) {
    multiply<float>(x.contiguous(), matrix, {}, offset, finish.silu, residual, y);
  } else {
    multiply<uint16_t>(x.contiguous(), matrix, w.is_same(matrix) ? learned.packed : kernels::PackedMatrix(), offset, finish.silu, residual, y);
  }
  return y;
}

}  // namespace everlong::ops
