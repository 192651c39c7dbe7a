#include "everlong/ops/gates/gates_autograd.h"

#include "everlong/base/error.h"
#include "everlong/kernels/cpu/gates.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops::gates {
namespace {

using kernels::RowsShape;
using kernels::StridedRows;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

RowsShape shape_of(const at::Tensor& x) { return {.num_rows = x.numel() / x.size(-1), .width = x.size(-1)}; }

int64_t row_stride(const at::Tensor& x) {
  for (int64_t axis = x.dim() - 2; axis >= 0; --axis)
    if (x.size(axis) > 1) return x.stride(axis);
  return x.size(-1);
}

template <class T>
StridedRows<const T> in(const at::Tensor& x) {
  return {.data = static_cast<const T*>(x.const_data_ptr()), .stride = row_stride(x)};
}
template <class T>
StridedRows<T> out(at::Tensor& x) {
  return {.data = static_cast<T*>(x.mutable_data_ptr()), .stride = x.size(-1)};
}
at::Tensor dense_like(const at::Tensor& x) { return at::empty(x.sizes(), x.options()); }

const float* weight_data(const at::Tensor& w) { return w.defined() ? w.const_data_ptr<float>() : nullptr; }

/// Calls `run` with a value of the kernels' element type.
template <class F>
void with_element(const at::Tensor& x, const F& run) {
  if (x.scalar_type() == at::kFloat) {
    run(float{});
  } else {
    run(uint16_t{});
  }
}

void refuse_second_derivative(const char* op) {
  if (at::GradMode::is_enabled())
    throw Unsupported({.where = op,
                       .expected = "a backward without create_graph",
                       .got = "create_graph",
                       .hint = std::string(op) + "_reference has second derivatives"});
}

class SiluMul : public torch::autograd::Function<SiluMul> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& b) {
    context->save_for_backward({a, b});
    at::Tensor y = dense_like(a);
    with_element(a, [&](auto element) {
      using T = decltype(element);
      kernels::forward(kernels::SiluMul<T>{.shape = shape_of(a), .a = in<T>(a), .b = in<T>(b), .y = out<T>(y)}, parallel_for);
    });
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("silu_mul");
    const auto saved = context->get_saved_variables();
    const at::Tensor &a = saved[0], &b = saved[1], dy = gradients[0].contiguous();
    at::Tensor da = dense_like(a), db = dense_like(b);
    with_element(a, [&](auto element) {
      using T = decltype(element);
      kernels::backward(kernels::SiluMul<T>{.shape = shape_of(a), .a = in<T>(a), .b = in<T>(b), .dy = in<T>(dy), .da = out<T>(da), .db = out<T>(db)},
                        parallel_for);
    });
    return {da, db};
  }
};

/// Specifications travel between forward and backward as plain numbers.
void save(AutogradContext* context, const DropoutSpec& spec) {
  context->saved_data["p"] = spec.p;
  context->saved_data["seed"] = static_cast<int64_t>(spec.seed);
  context->saved_data["first_row"] = spec.first_row;
}
kernels::DropoutMask saved_mask(AutogradContext* context) {
  return kernels::DropoutMask::of(context->saved_data["p"].toDouble(), static_cast<uint64_t>(context->saved_data["seed"].toInt()),
                                  context->saved_data["first_row"].toInt());
}
kernels::DropoutMask mask_of(const DropoutSpec& spec) { return kernels::DropoutMask::of(spec.p, spec.seed, spec.first_row); }

class Dropout : public torch::autograd::Function<Dropout> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const DropoutSpec& spec, const std::optional<at::Tensor>& residual) {
    save(context, spec);
    context->saved_data["residual"] = residual.has_value();
    return run(x, mask_of(spec), residual);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("dropout");
    const at::Tensor dy = gradients[0].contiguous();
    return {run(dy, saved_mask(context), std::nullopt), at::Tensor(), context->saved_data["residual"].toBool() ? dy : at::Tensor()};
  }

 private:
  static at::Tensor run(const at::Tensor& x, const kernels::DropoutMask& mask, const std::optional<at::Tensor>& residual) {
    at::Tensor y = dense_like(x);
    with_element(x, [&](auto element) {
      using T = decltype(element);
      const StridedRows<const T> added = residual ? in<T>(*residual) : StridedRows<const T>{};
      kernels::forward(kernels::Dropout<T>{.shape = shape_of(x), .mask = mask, .x = in<T>(x), .residual = added, .y = out<T>(y)}, parallel_for);
    });
    return y;
  }
};

class SiluResidual : public torch::autograd::Function<SiluResidual> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& a, const at::Tensor& x, const at::Tensor& weight, const DropoutSpec& spec) {
    const at::Tensor w = weight.contiguous();
    save(context, spec);
    context->save_for_backward({a, x, w});
    at::Tensor y = dense_like(a);
    with_element(a, [&](auto element) {
      using T = decltype(element);
      kernels::forward(
          kernels::SiluResidual<T>{.shape = shape_of(a), .mask = mask_of(spec), .a = in<T>(a), .x = in<T>(x), .w = weight_data(w), .y = out<T>(y)},
          parallel_for);
    });
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("silu_residual");
    const auto saved = context->get_saved_variables();
    const at::Tensor &a = saved[0], &x = saved[1], &w = saved[2], dy = gradients[0].contiguous();
    at::Tensor da = dense_like(a), dx = dense_like(x);
    const RowsShape shape = shape_of(a);
    at::Tensor dw = at::empty({kernels::num_row_blocks(shape.num_rows), shape.width}, w.options());
    with_element(a, [&](auto element) {
      using T = decltype(element);
      kernels::backward(kernels::SiluResidual<T>{.shape = shape,
                                                 .mask = saved_mask(context),
                                                 .a = in<T>(a),
                                                 .x = in<T>(x),
                                                 .w = weight_data(w),
                                                 .dy = in<T>(dy),
                                                 .da = out<T>(da),
                                                 .dx = out<T>(dx),
                                                 .dw_blocks = dw.mutable_data_ptr<float>()},
                        parallel_for);
    });
    return {da, dx, dw.sum(0), at::Tensor()};
  }
};

class GatedUpdate : public torch::autograd::Function<GatedUpdate> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b,
                            const DropoutSpec& spec) {
    context->save_for_backward({x, gate, a, b});
    save(context, spec);
    at::Tensor y = dense_like(x);
    with_element(x, [&](auto element) {
      using T = decltype(element);
      kernels::forward(
          kernels::GatedUpdate<T>{
              .shape = shape_of(x), .mask = mask_of(spec), .x = in<T>(x), .gate = in<T>(gate), .a = in<T>(a), .b = in<T>(b), .y = out<T>(y)},
          parallel_for);
    });
    return y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("gated_update");
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &gate = saved[1], &a = saved[2], &b = saved[3], dy = gradients[0].contiguous();
    at::Tensor dx = dense_like(x), dgate = dense_like(gate), dab = dense_like(a);
    with_element(x, [&](auto element) {
      using T = decltype(element);
      kernels::backward(kernels::GatedUpdate<T>{.shape = shape_of(x),
                                                .mask = saved_mask(context),
                                                .x = in<T>(x),
                                                .gate = in<T>(gate),
                                                .a = in<T>(a),
                                                .b = in<T>(b),
                                                .dy = in<T>(dy),
                                                .dx = out<T>(dx),
                                                .dgate = out<T>(dgate),
                                                .dab = out<T>(dab)},
                        parallel_for);
    });
    return {dx, dgate, dab, dab, at::Tensor()};
  }
};

class RmsNorm : public torch::autograd::Function<RmsNorm> {
 public:
  struct Result {
    at::Tensor y, rstd;
  };
  static Result run(const at::Tensor& x, const at::Tensor& w, double eps) {
    Result result{dense_like(x), at::empty({shape_of(x).num_rows}, x.options().dtype(at::kFloat))};
    with_element(x, [&](auto element) {
      using T = decltype(element);
      kernels::forward(kernels::RmsNorm<T>{.shape = shape_of(x),
                                           .x = in<T>(x),
                                           .weight = weight_data(w),
                                           .scalar_weight = is_scalar(w, x),
                                           .eps = static_cast<float>(eps),
                                           .y = out<T>(result.y),
                                           .rstd = result.rstd.mutable_data_ptr<float>()},
                       parallel_for);
    });
    return result;
  }
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& weight, double eps) {
    const at::Tensor w = weight ? *weight : at::Tensor();
    const Result result = run(x, w, eps);
    context->save_for_backward({x, w, result.rstd});
    return result.y;
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    refuse_second_derivative("rms_norm");
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1], dy = gradients[0].contiguous();
    at::Tensor dx = dense_like(x), rstd = saved[2], dw;
    const RowsShape shape = shape_of(x);
    if (w.defined()) dw = at::empty({kernels::num_row_blocks(shape.num_rows), w.size(0)}, w.options());
    with_element(x, [&](auto element) {
      using T = decltype(element);
      kernels::backward(kernels::RmsNorm<T>{.shape = shape,
                                            .x = in<T>(x),
                                            .weight = weight_data(w),
                                            .scalar_weight = is_scalar(w, x),
                                            .rstd = rstd.mutable_data_ptr<float>(),
                                            .dy = in<T>(dy),
                                            .dx = out<T>(dx),
                                            .dw_blocks = dw.defined() ? dw.mutable_data_ptr<float>() : nullptr},
                        parallel_for);
    });
    return {dx, dw.defined() ? dw.sum(0) : at::Tensor(), at::Tensor()};
  }

 private:
  static bool is_scalar(const at::Tensor& w, const at::Tensor& x) { return w.defined() && w.size(0) == 1 && x.size(-1) != 1; }
};

}  // namespace

at::Tensor silu_mul_kernel(const at::Tensor& a, const at::Tensor& b) { return SiluMul::apply(a, b); }
at::Tensor dropout_kernel(const at::Tensor& x, const DropoutSpec& spec, const at::Tensor& residual) {
  return Dropout::apply(x, spec, residual.defined() ? std::optional(residual) : std::nullopt);
}
at::Tensor silu_residual_kernel(const at::Tensor& a, const at::Tensor& x, const at::Tensor& w, const DropoutSpec& spec) {
  return SiluResidual::apply(a, x, w, spec);
}
at::Tensor gated_update_kernel(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& a, const at::Tensor& b, const DropoutSpec& spec) {
  return GatedUpdate::apply(x, gate, a, b, spec);
}
at::Tensor rms_norm_kernel(const at::Tensor& x, const at::Tensor& w, double eps) {
  const at::Tensor weight = w.defined() ? w.contiguous() : w;
  if (!at::GradMode::is_enabled()) return RmsNorm::run(x, weight, eps).y;  // a node of the graph costs more than the norm of one token
  return RmsNorm::apply(x, weight.defined() ? std::optional(weight) : std::nullopt, eps);
}

}  // namespace everlong::ops::gates
