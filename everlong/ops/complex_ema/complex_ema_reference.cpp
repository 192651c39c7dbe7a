#include "everlong/ops/complex_ema/complex_ema.h"

#include <vector>

#include <ATen/ATen.h>

namespace everlong::ops {

ComplexEmaResult complex_ema_reference(const at::Tensor& x, const at::Tensor& q, const at::Tensor& c, const at::Tensor& omega,
                                       const ComplexEmaOptions& options) {
  const auto batch_size = x.size(0), seq_len = x.size(1), model_dim = x.size(2), ema_ndim = q.size(1);
  const at::Tensor q_re = q.select(-1, 0), q_im = q.select(-1, 1), c_re = c.select(-1, 0), c_im = c.select(-1, 1);
  at::Tensor h = options.state ? *options.state : at::zeros({batch_size, model_dim, ema_ndim, 2}, q.options());
  std::vector<at::Tensor> outputs(static_cast<size_t>(seq_len));

  for (int64_t i = 0; i < seq_len; ++i) {
    const int64_t t = options.reverse ? seq_len - 1 - i : i;
    const at::Tensor input = x.select(1, t).to(h.dtype());
    at::Tensor before = h;
    if (options.restart) before = h.masked_fill(options.restart->select(1, t).view({batch_size, 1, 1, 1}), 0);
    const at::Tensor re = before.select(-1, 0), im = before.select(-1, 1);
    const at::Tensor h_re = q_re * re - q_im * im + input.unsqueeze(-1), h_im = q_re * im + q_im * re;
    const at::Tensor next = at::stack({h_re, h_im}, -1), output = (c_re * h_re - c_im * h_im).sum(-1) + omega * input;
    if (options.lengths) {
      const at::Tensor valid = *options.lengths > t;
      h = at::where(valid.view({batch_size, 1, 1, 1}), next, h);
      outputs[static_cast<size_t>(t)] = at::where(valid.view({batch_size, 1}), output, at::zeros({}, h.options()));
    } else {
      h = next;
      outputs[static_cast<size_t>(t)] = output;
    }
  }
  return {at::stack(outputs, 1).to(x.dtype()), h};
}

}  // namespace everlong::ops
