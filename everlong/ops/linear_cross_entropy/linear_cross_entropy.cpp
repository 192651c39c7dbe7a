#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"

#include <string>

#include "everlong/base/error.h"
#include "everlong/ops/linear_cross_entropy/linear_cross_entropy_chunks.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

constexpr std::string_view kWhere = "linear_cross_entropy";

std::string shape_text(const at::Tensor& x) {
  if (!x.defined()) return "an undefined tensor";
  std::string text = "[";
  for (int64_t i = 0; i < x.dim(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(x.size(i));
  return text + "] " + at::toString(x.scalar_type()) + " on " + x.device().str();
}

void check_inputs(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& targets,
                  const LinearCrossEntropyOptions& options) {
  const auto check = [](bool ok, const char* expected, const at::Tensor& x) {
    require(ok, [&] { return Complaint{kWhere, expected, shape_text(x)}; });
  };
  check(hidden.defined() && hidden.dim() >= 1 && hidden.is_floating_point(), "floating-point hidden [*, D]", hidden);
  const auto dtype = hidden.scalar_type();
  if (dtype == at::kHalf) throw Unsupported({kWhere, "hidden in float32, bfloat16 or float64", "float16", "use bfloat16"});
  check(weight.defined() && weight.dim() == 2 && weight.size(0) >= 1 && weight.size(1) == hidden.size(-1), "weight [V, D] with the D of hidden",
        weight);
  check(weight.scalar_type() == dtype && weight.device() == hidden.device(), "weight of the dtype and device of hidden", weight);
  check(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)), "bias [V] with the V of weight", bias);
  check(!bias.defined() || (bias.is_floating_point() && bias.device() == hidden.device()), "floating-point bias on the device of hidden", bias);
  check(targets.defined() && targets.scalar_type() == at::kLong && targets.device() == hidden.device(), "int64 targets on the device of hidden",
        targets);
  check(targets.sizes() == hidden.sizes().slice(0, static_cast<size_t>(hidden.dim()) - 1), "targets [*] with the leading sizes of hidden", targets);
  require(options.tokens_per_chunk >= 0, [&] { return Complaint{kWhere, "tokens_per_chunk >= 0", std::to_string(options.tokens_per_chunk)}; });
}

/// Counts the targets that are not ignored; each must be a token.
int64_t count_targets(const at::Tensor& targets, int64_t ignore_index, int64_t vocab_size) {
  int64_t count = 0;
  const int64_t* values = targets.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < targets.numel(); ++i) {
    if (values[i] == ignore_index) continue;
    ++count;
    require(values[i] >= 0 && values[i] < vocab_size, [&] {
      return Complaint{kWhere, "targets in [0, " + std::to_string(vocab_size) + ") or ignore_index " + std::to_string(ignore_index),
                       std::to_string(values[i]) + " at token " + std::to_string(i), "is the vocabulary of the tokenizer that of the model?"};
    });
  }
  return count;
}

}  // namespace

LinearCrossEntropyResult linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& bias, const at::Tensor& targets,
                                              const LinearCrossEntropyOptions& options) {
  check_inputs(hidden, weight, bias, targets, options);
  const at::Tensor flat_targets = targets.reshape({-1}).contiguous();
  const int64_t num_targets = count_targets(flat_targets.cpu(), options.ignore_index, weight.size(0));
  const bool supported = hidden.is_cpu() && (hidden.scalar_type() == at::kFloat || hidden.scalar_type() == at::kBFloat16);
  if (!supported) return linear_cross_entropy_reference(hidden, weight, bias, targets, options);

  namespace chunks = linear_cross_entropy_chunks;
  const chunks::Inputs in{hidden.reshape({-1, hidden.size(-1)}), weight, bias, flat_targets, options, num_targets};
  const bool needs_gradient =
      at::GradMode::is_enabled() && (hidden.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
  if (options.reduction == LossReduction::none) {
    if (needs_gradient) {
      throw Unsupported({kWhere, "reduction mean or sum where gradients are needed", "none", "call it under NoGradGuard for losses a token"});
    }
    return {chunks::compute(in, {}).loss.view(targets.sizes()), num_targets};
  }
  return {needs_gradient ? chunks::loss_with_gradient(in) : chunks::compute(in, {}).loss, num_targets};
}

}  // namespace everlong::ops
