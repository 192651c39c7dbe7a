#include "everlong/ops/query_attention/query_attention.h"

#include "everlong/base/error.h"
#include "everlong/ops/query_attention/cached_rows.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

using kernels::QueryAttentionShape;

template <class T>
void run(const QueryAttentionShape& shape, const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, at::Tensor& y) {
  const at::Tensor workspace = at::empty({kernels::query_attention_workspace(shape, sizeof(T))}, at::kByte);
  kernels::query_attention(kernels::QueryAttention<T>{.shape = shape,
                                                      .query = static_cast<const T*>(query.const_data_ptr()),
                                                      .keys = cached_rows<const T>(keys),
                                                      .values = cached_rows<const T>(values),
                                                      .y = static_cast<T*>(y.mutable_data_ptr()),
                                                      .workspace = workspace.mutable_data_ptr()},
                           parallel_for);
}

}  // namespace

at::Tensor query_attention_reference(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, int64_t num_heads) {
  const at::NoGradGuard no_grad;
  const int64_t B = keys.size(0), H = num_heads, z = keys.size(2) / H, e = values.size(2) / H;
  const auto wide = accumulate_dtype(query.scalar_type());
  at::Tensor output = at::empty({B, 1, values.size(2)}, values.options());
  const bool by_row = B <= H;  // the heads of one row, like the rows of one head, are a batch of products that needs no copy
  for (int64_t i = 0; i < (by_row ? B : H); ++i) {
    const auto heads = [&](const at::Tensor& x, int64_t width) {
      return by_row ? x[i].unflatten(-1, {H, width}).transpose(0, 1) : x.narrow(2, i * width, width);
    };
    const at::Tensor scores = at::bmm(heads(query, z), heads(keys, z).transpose(1, 2));
    const at::Tensor weights = at::softmax(scores, -1, wide).to(values.scalar_type());
    const at::Tensor attended = at::bmm(weights, heads(values, e));
    heads(output, e).copy_(attended);
  }
  return output;
}

at::Tensor query_attention(const at::Tensor& query, const at::Tensor& keys, const at::Tensor& values, int64_t num_heads) {
  const int64_t B = query.size(0), A = keys.size(1), H = num_heads;
  require_shape("query_attention", "keys", keys, "[B, A, H z]", {B, A, query.size(2)});
  require_shape("query_attention", "values", values, "[B, A, H e]", {B, A, values.size(2)});
  require(query.size(1) == 1 && A >= 1 && H >= 1 && keys.size(2) % H == 0 && values.size(2) % H == 0, [&] {
    return Complaint{.where = "query_attention",
                     .expected = "one query, at least one key, and widths that " + std::to_string(H) + " heads divide",
                     .got = describe(query) + ", " + describe(keys) + ", " + describe(values)};
  });
  const auto dtype = query.scalar_type();
  if (!query.is_cpu() || dtype == at::kDouble || !dense_rows(keys, dtype) || !dense_rows(values, dtype))
    return query_attention_reference(query, keys, values, num_heads);
  const QueryAttentionShape shape{.batch_size = B, .num_heads = H, .key_dim = keys.size(2) / H, .value_dim = values.size(2) / H, .num_keys = A};
  at::Tensor y = at::empty({B, 1, values.size(2)}, values.options());
  if (dtype == at::kFloat) {
    run<float>(shape, query.contiguous(), keys, values, y);
  } else {
    run<uint16_t>(shape, query.contiguous(), keys, values, y);
  }
  return y;
}

}  // namespace everlong::ops
