#include "everlong/models/megalodon/attention.h"

#include <limits>

#include <ATen/CPUGeneratorImpl.h>

#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

/// Which keys of a piece each query may see before any is dropped. Shapes  returns [R, query_len, key_len] bool
at::Tensor visible_keys(const ops::AttentionPiece& piece, const at::Tensor& valid, bool causal, const at::TensorOptions& options) {
  const at::Tensor places = (at::arange(piece.query_len, options.dtype(at::kLong)) + piece.first_place()).unsqueeze(1);
  const at::Tensor keys = at::arange(piece.key_len, options.dtype(at::kLong));
  const at::Tensor visible = (causal ? keys <= places : at::ones({piece.query_len, piece.key_len}, options.dtype(at::kBool))).unsqueeze(0);
  return valid.defined() ? visible & valid.unsqueeze(1) : visible;
}

}  // namespace

at::Tensor dropkey_attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, const LayerCall& call, bool causal,
                             const ops::DropoutSpec& dropout) {
  const auto wide = accumulate_dtype(query.scalar_type());
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(dropout.seed);
  at::Tensor output = at::zeros({query.size(0), query.size(1), value.size(2)}, value.options());
  for (const ops::AttentionPiece& piece : call.pieces) {
    const int64_t first = piece.row < 0 ? 0 : piece.row, rows = piece.row < 0 ? query.size(0) : 1;
    const auto part = [&](const at::Tensor& x, int64_t begin, int64_t len) { return x.narrow(0, first, rows).narrow(1, begin, len); };
    at::Tensor scores =
        at::matmul(part(query, piece.query_begin, piece.query_len), part(key, piece.key_begin, piece.key_len).transpose(1, 2)).to(wide);
    if (call.distance_bias.defined()) {
      const at::Tensor places = (at::arange(piece.query_len, at::kLong) + piece.first_place()).unsqueeze(1);
      const at::Tensor distance = at::arange(piece.key_len, at::kLong) - places + (call.distance_bias.size(0) - 1) / 2;
      scores = scores + call.distance_bias.index({distance.to(scores.device())});
    }
    const at::Tensor valid = call.key_valid ? part(*call.key_valid, piece.key_begin, piece.key_len) : at::Tensor();
    const at::Tensor stays = at::empty(scores.sizes(), at::kBool).bernoulli_(1 - dropout.p, generator).to(scores.device());
    const at::Tensor seen = visible_keys(piece, valid, causal, scores.options()) & stays, blind = ~seen.any(-1, /*keepdim=*/true);
    const at::Tensor open = scores.masked_fill(~seen, -std::numeric_limits<double>::infinity()).masked_fill(blind, 0);
    const at::Tensor weights = at::softmax(open, -1).masked_fill(blind, 0).to(value.scalar_type());
    part(output, piece.query_begin, piece.query_len).copy_(at::matmul(weights, part(value, piece.key_begin, piece.key_len)));
  }
  return output;
}

}  // namespace everlong::models::megalodon
