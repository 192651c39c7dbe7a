#include "everlong/ops/chunk_attention/product.h"

#include <algorithm>
#include <bit>

#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

at::Tensor padded(const at::Tensor& matrix, int64_t rows, int64_t columns) {
  if (matrix.size(1) == rows && matrix.size(2) == columns) return matrix;
  const at::Tensor result = at::zeros({1, rows, columns}, matrix.options());
  result.narrow(1, 0, matrix.size(1)).narrow(2, 0, matrix.size(2)).copy_(matrix);
  return result;
}

}  // namespace

int64_t round_length(int64_t size) {
  constexpr int64_t kLeast = 64;
  const int64_t unit = std::max(kLeast, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size))) / 4);
  return (size + unit - 1) / unit * unit;
}

void product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b) {
  at::Tensor target = out;
  const int64_t rows = a.size(1), inner = a.size(2), columns = b.size(2);
  const int64_t padded_rows = round_length(rows), padded_inner = round_length(inner), padded_columns = round_length(columns);
  const bool ragged = padded_rows != rows || padded_inner != inner || padded_columns != columns;
  // One row is a token that is decoded: it is cheaper as it is.
  if (!ragged || a.size(0) != 1 || rows == 1 || a.scalar_type() != at::kBFloat16 || !a.device().is_cpu()) {
    at::bmm_out(target, a, b);
    return;
  }
  const at::Tensor whole = at::bmm(padded(a, padded_rows, padded_inner), padded(b, padded_inner, padded_columns));
  target.copy_(whole.narrow(1, 0, rows).narrow(2, 0, columns));
}

}  // namespace everlong::ops
