#include <vector>

#include "everlong/base/error.h"
#include "everlong/ops/chunk_attention/chunk_attention_autograd.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops::chunk_attention_tiles {
namespace {

/// What the backward needs besides tensors.
struct Plan : torch::CustomClassHolder {
  std::vector<AttentionPiece> pieces;
  ChunkAttentionOptions options;
  bool queries_covered = true;
  bool keys_covered = true;
  bool keys_once = true;
};

class ChunkAttention : public torch::autograd::Function<ChunkAttention> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& bias, const Inputs& in) {
    at::Tensor log_sum_exp;
    if (in.options.function == AttentionFunction::softmax) log_sum_exp = at::empty({q.size(0), q.size(1)}, q.options().dtype(at::kFloat));
    auto plan = c10::make_intrusive<Plan>();
    plan->pieces.assign(in.pieces.begin(), in.pieces.end());
    plan->options = in.options;
    plan->queries_covered = in.queries_covered;
    plan->keys_covered = in.keys_covered;
    plan->keys_once = in.keys_once;
    context->saved_data["plan"] = c10::IValue::make_capsule(plan);
    context->save_for_backward({q, k, v, bias.value_or(at::Tensor()), log_sum_exp});
    return chunk_attention_tiles::forward(in, log_sum_exp);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& grads) {
    if (at::GradMode::is_enabled()) {
      throw Unsupported({"chunk_attention", "a backward without create_graph", "create_graph", "chunk_attention_reference has second derivatives"});
    }
    const auto saved = context->get_saved_variables();
    const auto plan = c10::static_intrusive_pointer_cast<Plan>(context->saved_data["plan"].toCapsule());
    const Inputs in{saved[0], saved[1], saved[2], saved[3], plan->pieces, plan->options, plan->queries_covered, plan->keys_covered, plan->keys_once};
    const Gradients result = chunk_attention_tiles::backward(in, saved[4], grads[0].contiguous());
    return {result.q, result.k, result.v, result.bias, {}};
  }
};

}  // namespace

at::Tensor forward_with_gradient(const Inputs& in) {
  const auto bias = in.bias.defined() ? std::optional(in.bias) : std::nullopt;
  return ChunkAttention::apply(in.q, in.k, in.v, bias, in);
}

}  // namespace everlong::ops::chunk_attention_tiles
