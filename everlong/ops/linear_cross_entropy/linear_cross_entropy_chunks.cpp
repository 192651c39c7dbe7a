#include "everlong/ops/linear_cross_entropy/linear_cross_entropy_chunks.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "everlong/kernels/cpu/cross_entropy.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops::linear_cross_entropy_chunks {
namespace {

int64_t tokens_per_chunk(const Inputs& in) {
  if (in.options.tokens_per_chunk > 0) return in.options.tokens_per_chunk;
  constexpr int64_t kLogitBytes = int64_t{64} << 20, kFewest = 512;
  return std::max(kFewest, kLogitBytes / (in.weight.size(0) * in.hidden.element_size()));
}

template <class T>
void run_kernel(const kernels::CrossEntropyRows& rows, T* logits, bool gradient) {
  if (gradient) {
    kernels::cross_entropy_backward(rows, logits, parallel_for);
  } else {
    kernels::cross_entropy(rows, logits, parallel_for);
  }
}

double total_of(const at::Tensor& losses) {
  double sum = 0;
  const float* values = losses.const_data_ptr<float>();
  for (int64_t i = 0; i < losses.numel(); ++i) sum += static_cast<double>(values[i]);
  return sum;
}

}  // namespace

Outputs compute(const Inputs& in, const Wanted& wanted) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const int64_t num_tokens = in.hidden.size(0), vocab_size = in.weight.size(0),
                chunk = std::min(tokens_per_chunk(in), std::max<int64_t>(1, num_tokens));
  const auto fp32 = in.hidden.options().dtype(at::kFloat);
  const at::Tensor bias = in.bias.defined() ? in.bias.to(at::kFloat).contiguous() : at::Tensor();
  const at::Tensor losses = at::empty({num_tokens}, fp32), logits = at::empty({chunk, vocab_size}, in.hidden.options());
  const at::Tensor weight_t = in.weight.t();

  Outputs out;
  if (wanted.hidden) out.grad_hidden = at::empty({num_tokens, in.hidden.size(1)}, in.hidden.options());
  if (wanted.weight) out.grad_weight = at::zeros(in.weight.sizes(), fp32);
  if (wanted.bias) out.grad_bias = at::zeros({vocab_size}, fp32);

  const bool mean = in.options.reduction == LossReduction::mean;
  for (int64_t begin = 0; begin < num_tokens; begin += chunk) {
    const int64_t len = std::min(chunk, num_tokens - begin);
    const at::Tensor tokens = in.hidden.narrow(0, begin, len);
    at::Tensor part = logits.narrow(0, 0, len);
    at::mm_out(part, tokens, weight_t);
    const kernels::CrossEntropyRows rows{.num_rows = len,
                                         .vocab_size = vocab_size,
                                         .row_stride = vocab_size,
                                         .targets = in.targets.const_data_ptr<int64_t>() + begin,
                                         .ignore_index = in.options.ignore_index,
                                         .bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr,
                                         .losses = losses.data_ptr<float>() + begin,
                                         .grad_scale = mean ? 1 / static_cast<float>(in.num_targets) : 1.0f};
    if (part.scalar_type() == at::kFloat) {
      run_kernel(rows, part.data_ptr<float>(), wanted.any());
    } else {
      run_kernel(rows, static_cast<uint16_t*>(part.data_ptr()), wanted.any());
    }
    if (wanted.hidden) {
      at::Tensor target = out.grad_hidden.narrow(0, begin, len);
      at::mm_out(target, part, in.weight);
    }
    if (wanted.weight && part.scalar_type() == at::kFloat) out.grad_weight.addmm_(part.t(), tokens);
    if (wanted.weight && part.scalar_type() != at::kFloat) out.grad_weight.add_(at::mm(part.t(), tokens));
    if (wanted.bias) out.grad_bias.add_(at::sum(part, {0}, /*keepdim=*/false, at::kFloat));
  }

  if (in.options.reduction == LossReduction::none) {
    out.loss = losses;
  } else {
    const double count = static_cast<double>(in.num_targets), sum = total_of(losses);
    out.loss = at::scalar_tensor(!mean ? sum : in.num_targets == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / count, fp32);
  }
  return out;
}

}  // namespace everlong::ops::linear_cross_entropy_chunks
