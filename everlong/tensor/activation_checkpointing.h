#pragma once

#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace everlong {

/// Runs `body` without keeping what happens inside; the backward pass runs it again and back-propagates through that second run.
/// The random generator is put back first, so dropout falls the same way and gradients equal those of a plain call.
/// Shapes   body maps a tensor to a tensor; parameters it captures receive their gradients as usual. Its second argument says whether this is the run
///          of the backward pass: what it hands out beside its result belongs to the first run, and what it captures must live until the second
/// Cost     one more forward pass; memory of the input and the output instead of everything between
/// Use      with backward(); torch::autograd::grad() with respect to captured parameters is not supported
at::Tensor run_checkpointed(const at::Tensor& input, std::function<at::Tensor(const at::Tensor&, bool again)> body);

/// Whether nothing that is computed now will be differentiated: no gradients are recorded, and this is not the first run of a checkpointed body,
/// which must do exactly what the second one will. Only then may values be kept between calls, written in place, or computed by another path.
[[nodiscard]] bool is_inference();

}  // namespace everlong
