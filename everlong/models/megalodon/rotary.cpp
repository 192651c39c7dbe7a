#include "everlong/models/megalodon/rotary.h"

#include <cmath>

#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {

at::Tensor rotary_frequencies(int64_t width, double base) {
  const at::Tensor powers = at::empty({width / 2}, at::kFloat);
  for (int64_t j = 0; j < width / 2; ++j)
    powers.mutable_data_ptr<float>()[j] = 1.0F / static_cast<float>(std::pow(base, static_cast<double>(2 * j) / static_cast<double>(width)));
  return powers;
}

at::Tensor rotary_turns(const at::Tensor& positions, const at::Tensor& frequencies, at::ScalarType complex_dtype) {
  const at::Tensor angles = positions.to(at::kDouble).unsqueeze(-1) * frequencies.to(at::kDouble);
  return at::polar(at::ones_like(angles), angles).to(complex_dtype);
}

at::Tensor rotate(const at::Tensor& x, const at::Tensor& turns) {
  const int64_t pairs = turns.size(-1);
  const at::Tensor complex = at::view_as_complex(x.view({x.size(0), x.size(1), -1, pairs, 2}));
  return at::view_as_real(complex * turns.unsqueeze(2)).view(x.sizes());
}

}  // namespace everlong::models::megalodon
