#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace everlong {

/// A part of the tokens of a batch: tokens [begin, + len) of the rows [row, + rows).
struct TokenSpan {
  int64_t row = 0;
  int64_t rows = 0;
  int64_t begin = 0;
  int64_t len = 0;

  /// A view. Shapes  x [B, T, ...]; returns [rows, len, ...]
  [[nodiscard]] at::Tensor of(const at::Tensor& x) const;
};

/// A computation whose second half looks no further than a span of tokens.
struct SpanwiseBody {
  /// Whole sequences: [B, T, D] to any number of tensors [B, T, *].
  std::function<std::vector<at::Tensor>(const at::Tensor& input, bool again)> prepare;
  /// Those tensors of span number `span`, or all of them without spans, to the result there [rows, len, *]. It draws the same random numbers for
  /// every span.
  std::function<at::Tensor(const std::vector<at::Tensor>& parts, size_t span, bool again)> finish;
  std::vector<TokenSpan> spans = {};  ///< cover every token once; none = the whole is finished at once
};

/// Runs `body` without keeping what happens inside; the backward pass runs it again and back-propagates through that second run, span by span.
/// The random generator is put back first, and before every span to where `prepare` left it, so dropout falls the same way and gradients equal
/// those of a plain call.
/// Shapes   input [B, T, D]; returns [B, T, *]; parameters that the body captures receive their gradients as usual. `again` says whether this is the
/// run
///          of the backward pass: what is handed out beside the result belongs to the first run, and what is captured must live until the second
/// Cost     one more forward pass; memory of input and output instead of everything between, and in the backward pass of `prepare` and one span
/// Use      with backward(); torch::autograd::grad() with respect to captured parameters is not supported
at::Tensor run_checkpointed(const at::Tensor& input, SpanwiseBody body);

/// The same for a body of one half, any shapes.
at::Tensor run_checkpointed(const at::Tensor& input, std::function<at::Tensor(const at::Tensor&, bool again)> body);

/// Whether nothing that is computed now will be differentiated: no gradients are recorded, and this is not the first run of a checkpointed body,
/// which must do exactly what the second one will. Only then may values be kept between calls, written in place, or computed by another path.
[[nodiscard]] bool is_inference();

}  // namespace everlong
