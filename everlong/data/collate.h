#pragma once
// Encoded examples as padded tensors.

#include <cstdint>
#include <optional>
#include <span>

#include <ATen/core/Tensor.h>

#include "everlong/data/encode_examples.h"

namespace everlong::data {

struct PaddingOptions {
  int64_t pad_id = 1;
  int64_t multiple = 1;  ///< the length is rounded up to one of it, as to the chunk of an attention
};

/// Sequences of one length. On the CPU.
struct PaddedTokens {
  at::Tensor tokens;          ///< [B, T] int64
  at::Tensor attention_mask;  ///< [B, T] bool: true where there is a token
};

/// Pads on the right to the longest row, rounded up.
/// Errors   InvalidArgument if there are no rows, all are empty, or the multiple is below 1
[[nodiscard]] PaddedTokens pad_rows(std::span<const std::vector<int32_t>> rows, const PaddingOptions& options);

/// What one step of fine-tuning reads. On the CPU.
struct ExampleBatch {
  at::Tensor tokens;                  ///< [B, T] int64; of multiple_choice, and of examples with several rows, [B, C, T]
  at::Tensor attention_mask;          ///< as tokens, bool
  std::optional<at::Tensor> targets;  ///< none if an example has no label. classification, multiple_choice: [B] int64; multi_label: [B, K] float;
                                      ///< regression: [B] float; token_classification: [B, T] int64, kNoLabel where none;
                                      ///< question_answering: [B, 2] int64, first and last token
};

/// Pads and stacks the examples of those numbers.
/// Errors   InvalidArgument if there are none, a number is out of range, or the numbers of choices or classes differ
[[nodiscard]] ExampleBatch collate(std::span<const EncodedExample> examples, std::span<const int64_t> numbers, Task task,
                                   const PaddingOptions& options);

}  // namespace everlong::data
