#include <cmath>
#include <limits>

#include "everlong/ops/chunk_attention/chunk_attention.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

/// Which keys of a piece a query may attend, [R, query_len, key_len] bool (R = 1 where all rows agree).
at::Tensor attended_keys(const AttentionPiece& piece, const at::Tensor& places, const at::Tensor& keys, const at::Tensor& valid,
                         const ChunkAttentionOptions& options) {
  at::Tensor attended = at::ones({1, piece.query_len, piece.key_len}, keys.options().dtype(at::kBool));
  if (options.causal) attended = (keys <= places.unsqueeze(1)).unsqueeze(0);
  if (!valid.defined()) return attended;
  const bool may_ignore_mask = options.function == AttentionFunction::softmax && !options.causal && options.attend_if_all_masked;
  at::Tensor usable = valid;
  if (may_ignore_mask) usable = usable | ~usable.any(1, /*keepdim=*/true);
  return attended & usable.unsqueeze(1);
}

at::Tensor softmax_weights(const at::Tensor& scores, const at::Tensor& attended) {
  const at::Tensor sees_nothing = ~attended.any(-1, /*keepdim=*/true);
  const at::Tensor masked = scores.masked_fill(~attended, -std::numeric_limits<double>::infinity()).masked_fill(sees_nothing, 0);
  return at::softmax(masked, -1).masked_fill(sees_nothing, 0);
}

at::Tensor elementwise_weights(const at::Tensor& scores, const at::Tensor& attended, AttentionFunction function) {
  at::Tensor weights;
  if (function == AttentionFunction::relu2) {
    weights = at::relu(scores).square();
  } else {
    weights = 0.5 * (1 + at::erf((scores - kernels::kLaplaceMean) / (kernels::kLaplaceDeviation * std::sqrt(2.0))));
  }
  return weights.masked_fill(~attended, 0);
}

/// What the products of an element-wise function are divided by: [1, query_len, 1] if causal, else [R, 1, 1].
at::Tensor divisor(const at::Tensor& places, const at::Tensor& valid, const AttentionPiece& piece, bool causal) {
  if (causal) return (places + 1).view({1, -1, 1});
  if (valid.defined()) return valid.sum(1).clamp_min(1).view({-1, 1, 1});
  return at::full({1, 1, 1}, piece.key_len, places.options());
}

at::Tensor dropout_factors(const AttentionPiece& piece, int64_t first_row, int64_t num_rows, int64_t seq_len, const ChunkAttentionOptions& options) {
  const at::Tensor factors = at::empty({num_rows, piece.query_len, piece.key_len}, at::kFloat);
  float* values = factors.mutable_data_ptr<float>();
  for (int64_t row = 0; row < num_rows; ++row) {
    for (int64_t i = 0; i < piece.query_len; ++i, values += piece.key_len) {
      kernels::attention_dropout_factors(options.dropout, options.dropout_seed,
                                         options.dropout_first_query + (first_row + row) * seq_len + piece.query_begin + i,
                                         {values, static_cast<size_t>(piece.key_len)});
    }
  }
  return factors;
}

}  // namespace

at::Tensor chunk_attention_reference(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias,
                                     std::span<const AttentionPiece> pieces, const ChunkAttentionOptions& options) {
  const auto compute = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(2))));
  at::Tensor output = at::zeros({q.size(0), q.size(1), v.size(2)}, v.options().dtype(compute));

  for (const AttentionPiece& piece : pieces) {
    const int64_t first_row = piece.row < 0 ? 0 : piece.row, num_rows = piece.row < 0 ? q.size(0) : 1;
    const auto part = [&](const at::Tensor& x, int64_t begin, int64_t len) { return x.narrow(0, first_row, num_rows).narrow(1, begin, len); };
    const at::Tensor places = at::arange(piece.query_len, q.options().dtype(at::kLong)) + piece.first_place();
    const at::Tensor keys = at::arange(piece.key_len, places.options());
    at::Tensor valid;
    if (options.key_valid) valid = part(*options.key_valid, piece.key_begin, piece.key_len);
    const at::Tensor attended = attended_keys(piece, places, keys, valid, options);

    at::Tensor scores =
        at::matmul(part(q, piece.query_begin, piece.query_len).to(compute), part(k, piece.key_begin, piece.key_len).to(compute).transpose(1, 2));
    const bool softmax = options.function == AttentionFunction::softmax;
    scores = softmax ? scores * scale : scores / divisor(places, valid, piece, options.causal);
    if (bias.defined()) scores = scores + bias.index({keys - places.unsqueeze(1) + (bias.size(0) - 1) / 2}).to(compute);
    at::Tensor weights = softmax ? softmax_weights(scores, attended) : elementwise_weights(scores, attended, options.function);
    if (options.dropout > 0) weights = weights * dropout_factors(piece, first_row, num_rows, q.size(1), options).to(weights.options());

    const at::Tensor result = at::matmul(weights, part(v, piece.key_begin, piece.key_len).to(compute));
    part(output, piece.query_begin, piece.query_len).copy_(result);
  }
  return output.to(q.scalar_type());
}

}  // namespace everlong::ops
