#include "everlong/tensor/activation_checkpointing.h"

#include <utility>

#include <ATen/CPUGeneratorImpl.h>

#include "everlong/tensor/torch.h"

namespace everlong {
namespace {

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
  explicit BodyHolder(SpanwiseBody given) : body(std::move(given)) {}
  SpanwiseBody body;
};

/// Calls visit(span number) with the generator at one and the same state for each, and leaves it where a call left it.
template <class Visit>
void for_each_span(const SpanwiseBody& body, at::Generator generator, const Visit& visit) {
  const at::Tensor prepared = generator.get_state();
  for (size_t span = 0; span < body.spans.size(); ++span) {
    generator.set_state(prepared);
    visit(span);
  }
}

std::vector<at::Tensor> parts_of(const std::vector<at::Tensor>& parts, const TokenSpan& span) {
  std::vector<at::Tensor> taken;
  taken.reserve(parts.size());
  for (const at::Tensor& part : parts) taken.push_back(span.of(part.detach()));
  return taken;
}

at::Tensor run(const SpanwiseBody& body, const at::Tensor& input, bool again) {
  const std::vector<at::Tensor> parts = body.prepare(input, again);
  if (body.spans.empty()) return body.finish(parts, 0, again);
  at::Tensor output;
  for_each_span(body, default_generator(input), [&](size_t span) {
    const at::Tensor y = body.finish(parts_of(parts, body.spans[span]), span, again);
    if (!output.defined()) {
      std::vector<int64_t> shape = y.sizes().vec();
      shape[0] = input.size(0), shape[1] = input.size(1);
      output = at::empty(shape, y.options());
    }
    body.spans[span].of(output).copy_(y);
  });
  return output;
}

/// Back-propagates `dy` through the second half, a span at a time. Returns  the gradients of `parts`, undefined for those that need none
std::vector<at::Tensor> back_through_spans(const SpanwiseBody& body, const std::vector<at::Tensor>& parts, const at::Tensor& dy) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& part : parts) gradients.push_back(part.requires_grad() ? at::empty(part.sizes(), part.options()) : at::Tensor());
  for_each_span(body, default_generator(dy), [&](size_t span) {
    std::vector<at::Tensor> leaves = parts_of(parts, body.spans[span]);
    for (size_t i = 0; i < leaves.size(); ++i) leaves[i].requires_grad_(parts[i].requires_grad());
    at::Tensor y;
    {
      const at::AutoGradMode with_gradients(true);
      y = body.finish(leaves, span, true);
    }
    torch::autograd::backward({y}, {body.spans[span].of(dy)});
    for (size_t i = 0; i < leaves.size(); ++i) {
      if (!gradients[i].defined()) continue;
      at::Tensor target = body.spans[span].of(gradients[i]);
      leaves[i].grad().defined() ? target.copy_(leaves[i].grad()) : target.zero_();
    }
  });
  return gradients;
}

class Checkpointed : public torch::autograd::Function<Checkpointed> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& input, const at::Tensor& anchor, const SpanwiseBody& body) {
    static_cast<void>(anchor);  // makes the output require gradients even where the input does not
    context->save_for_backward({input, default_generator(input).get_state()});
    context->saved_data["body"] = c10::IValue::make_capsule(c10::make_intrusive<BodyHolder>(body));
    const at::NoGradGuard no_grad;
    const FirstRun first_run;
    return run(body, input, false);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context, const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto holder = c10::static_intrusive_pointer_cast<BodyHolder>(context->saved_data["body"].toCapsule());
    const at::Tensor input = saved[0].detach().requires_grad_(true);
    std::vector<at::Tensor> outputs, output_gradients;
    {
      const GeneratorReplay replay(default_generator(input), saved[1]);
      const at::AutoGradMode with_gradients(true);
      outputs = holder->body.prepare(input, true);
      if (holder->body.spans.empty()) {
        outputs = {holder->body.finish(outputs, 0, true)};
        output_gradients = {gradients[0]};
      } else {
        const at::NoGradGuard no_grad;
        output_gradients = back_through_spans(holder->body, outputs, gradients[0]);
        std::erase_if(outputs, [](const at::Tensor& part) { return !part.requires_grad(); });
        std::erase_if(output_gradients, [](const at::Tensor& gradient) { return !gradient.defined(); });
      }
    }
    torch::autograd::backward(outputs, output_gradients);
    return {input.grad(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor TokenSpan::of(const at::Tensor& x) const { return x.narrow(0, row, rows).narrow(1, begin, len); }

bool is_inference() { return !at::GradMode::is_enabled() && first_runs == 0; }

at::Tensor run_checkpointed(const at::Tensor& input, SpanwiseBody body) {
  if (!at::GradMode::is_enabled()) return run(body, input, false);
  return Checkpointed::apply(input, at::zeros({}, at::kFloat).requires_grad_(true), std::move(body));
}

at::Tensor run_checkpointed(const at::Tensor& input, std::function<at::Tensor(const at::Tensor&, bool again)> body) {
  return run_checkpointed(input, SpanwiseBody{.prepare = [](const at::Tensor& x, bool) { return std::vector<at::Tensor>{x}; },
                                              .finish = [body = std::move(body)](const std::vector<at::Tensor>& parts, size_t,
                                                                                 bool again) { return body(parts[0], again); }});
}

}  // namespace everlong
