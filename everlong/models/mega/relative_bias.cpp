#include "everlong/models/mega/relative_bias.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/nn/linear.h"
#include "everlong/tensor/torch.h"
#include "everlong/tensor/view.h"

namespace everlong::models::mega {

RelativeBiasModule::RelativeBiasModule(const Config& config)
    : rotary_(config.relative_positional_bias == RelativeBias::rotary), positions_(config.bias_positions()) {
  const auto parameter = [&](const char* name, at::IntArrayRef shape) {
    at::Tensor made = register_parameter(name, at::empty(shape, at::kFloat));
    nn::init_normal_(made, config.initializer_range);
    return made;
  };
  if (rotary_) {
    alpha_ = parameter("alpha", {1, config.shared_representation_size});
    beta_ = parameter("beta", {1, config.shared_representation_size});
  } else {
    table_ = parameter("table", {2 * config.max_positions - 1});
  }
}

at::Tensor RelativeBiasModule::forward(int64_t attention_len) const {
  if (!rotary_) {
    require(attention_len <= positions_, [&] {
      return Complaint{.where = "mega",
                       .expected = fmt::format("at most {} tokens in one attention span, the positions of the simple relative bias", positions_),
                       .got = fmt::format("{}", attention_len),
                       .hint = "use chunking, or relative_positional_bias = rotary, which has no limit"};
    });
    return plain_narrow(table_, 0, positions_ - attention_len, 2 * attention_len - 1);
  }
  if (!is_inference()) return rotary(attention_len);
  int64_t longest = 64;
  while (longest < attention_len) longest *= 2;
  return plain_narrow(longest_.get({alpha_, beta_}, longest, [&] { return rotary(longest); }), 0, longest - attention_len, 2 * attention_len - 1);
}

at::Tensor RelativeBiasModule::rotary(int64_t attention_len) const {
  const int64_t half = alpha_.size(1) / 2;
  const auto wide = at::TensorOptions(at::kDouble).device(alpha_.device());
  const at::Tensor theta = (at::arange(half, wide) * (-std::log(10000.0) / static_cast<double>(half))).exp();
  const at::Tensor angle = at::arange(1 - attention_len, attention_len, wide).unsqueeze(-1) * theta;  // [2 A - 1, Z / 2] of j - i
  const at::Tensor a1 = alpha_[0].narrow(0, 0, half), a2 = alpha_[0].narrow(0, half, half);
  const at::Tensor b1 = beta_[0].narrow(0, 0, half), b2 = beta_[0].narrow(0, half, half);
  const at::Tensor even = a1 * b1 + a2 * b2, odd = a2 * b1 - a1 * b2;  // odd: the angle is that of j - i
  return at::mv(angle.cos().to(alpha_.scalar_type()), even) + at::mv(angle.sin().to(alpha_.scalar_type()), odd);
}

}  // namespace everlong::models::mega
