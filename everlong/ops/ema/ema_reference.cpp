#include "everlong/ops/ema/ema.h"

#include <vector>

#include <ATen/ATen.h>

namespace everlong::ops {

EmaResult ema_reference(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const EmaOptions& options) {
  const auto batch_size = x.size(0), seq_len = x.size(1), model_dim = x.size(2), ema_ndim = q.size(1);
  at::Tensor h = options.state ? *options.state : at::zeros({batch_size, model_dim, ema_ndim}, q.options());
  std::vector<at::Tensor> outputs(static_cast<size_t>(seq_len));

  for (int64_t i = 0; i < seq_len; ++i) {
    const int64_t t = options.reverse ? seq_len - 1 - i : i;
    at::Tensor before = h, input = x.select(1, t).to(h.dtype()).unsqueeze(-1);
    if (options.restart) before = h.masked_fill(options.restart->select(1, t).view({batch_size, 1, 1}), 0);
    if (options.lengths) {
      const at::Tensor valid = (*options.lengths > t).view({batch_size, 1, 1});
      h = at::where(valid, q * before + input, h);
      outputs[static_cast<size_t>(t)] = at::where(valid, c * h, at::zeros({}, h.options())).sum(-1);
    } else {
      h = q * before + input;
      outputs[static_cast<size_t>(t)] = (c * h).sum(-1);
    }
  }
  return {at::stack(outputs, 1).to(x.dtype()), h};
}

}  // namespace everlong::ops
