#include "everlong/ops/linear/linear.h"

#include "everlong/kernels/cpu/matvec.h"
#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

bool few_rows(const at::Tensor& x, const at::Tensor& w) {
  const bool dtype = x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16;
  if (!is_inference() || !dtype || !x.is_cpu() || x.numel() == 0 || !w.is_contiguous()) return false;
  return x.numel() / x.size(-1) <= kernels::kMatVecRows;
}

template <class T>
void multiply(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias, at::Tensor& y) {
  const auto data = [](const at::Tensor& tensor) { return tensor.defined() ? static_cast<const T*>(tensor.const_data_ptr()) : nullptr; };
  kernels::matvec(kernels::MatVec<T>{.num_rows = x.numel() / x.size(-1),
                                     .in_features = w.size(1),
                                     .out_features = w.size(0),
                                     .x = data(x),
                                     .w = data(w),
                                     .bias = data(bias),
                                     .y = static_cast<T*>(y.mutable_data_ptr())},
                  parallel_for);
}

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  const at::Tensor matrix = w.to(x.scalar_type()), offset = bias.defined() ? bias.to(x.scalar_type()) : bias;
  if (!few_rows(x, matrix)) return at::linear(x, matrix, offset);
  std::vector<int64_t> shape = x.sizes().vec();
  TORCH_CHECK(shape.back() == w.size(1), "linear: ", x.sizes(), " does not fit a matrix of ", w.sizes());
  shape.back() = w.size(0);
  at::Tensor y = at::empty(shape, x.options());
  if (x.scalar_type() == at::kFloat) {
    multiply<float>(x.contiguous(), matrix, offset, y);
  } else {
    multiply<uint16_t>(x.contiguous(), matrix, offset, y);
  }
  return y;
}

}  // namespace everlong::ops
