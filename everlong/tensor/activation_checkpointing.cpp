#include "everlong/tensor/activation_checkpointing.h"

#include <utility>

#include <ATen/CPUGeneratorImpl.h>

#include "everlong/tensor/torch.h"

namespace everlong {
namespace {

using Body = std::function<at::Tensor(const at::Tensor&, bool again)>;

at::Generator default_generator(const at::Tensor& on) { return at::globalContext().defaultGenerator(on.device()); }

/// Puts the generator back to a saved state for the life of the object.
class GeneratorReplay {
 public:
  GeneratorReplay(at::Generator generator, const at::Tensor& saved) : generator_(std::move(generator)), now_(generator_.get_state()) {
    generator_.set_state(saved);
  }
  ~GeneratorReplay() { generator_.set_state(now_); }
  GeneratorReplay(const GeneratorReplay&) = delete;
  GeneratorReplay& operator=(const GeneratorReplay&) = delete;

 private:
  at::Generator generator_;
  at::Tensor now_;
};

thread_local int first_runs = 0;

/// Marks the run of a body that another will follow.
struct FirstRun {
  FirstRun() { ++first_runs; }
  ~FirstRun() { --first_runs; }
  FirstRun(const FirstRun&) = delete;
  FirstRun& operator=(const FirstRun&) = delete;
};

struct BodyHolder : torch::CustomClassHolder {
  explicit BodyHolder(Body given) : body(std::move(given)) {}
  Body body;
};

class Checkpointed : public torch::autograd::Function<Checkpointed> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& anchor, const Body& body) {
    static_cast<void>(anchor);  // makes the output require gradients even where the input does not
    context->save_for_backward({input, default_generator(input).get_state()});
    context->saved_data["body"] = c10::IValue::make_capsule(c10::make_intrusive<BodyHolder>(body));
    const at::NoGradGuard no_grad;
    const FirstRun first_run;
    return body(input, false);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto holder = c10::static_intrusive_pointer_cast<BodyHolder>(context->saved_data["body"].toCapsule());
    at::Tensor input = saved[0].detach().requires_grad_(true);
    at::Tensor output;
    {
      const GeneratorReplay replay(default_generator(input), saved[1]);
      const at::AutoGradMode grad_mode(true);
      output = holder->body(input, true);
    }
    torch::autograd::backward({output}, {gradients[0]});
    return {input.grad(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool is_inference() { return !at::GradMode::is_enabled() && first_runs == 0; }

at::Tensor run_checkpointed(const at::Tensor& input, std::function<at::Tensor(const at::Tensor&, bool again)> body) {
  if (!at::GradMode::is_enabled()) return body(input, false);
  return Checkpointed::apply(input, at::zeros({}, at::kFloat).requires_grad_(true), std::move(body));
}

}  // namespace everlong
