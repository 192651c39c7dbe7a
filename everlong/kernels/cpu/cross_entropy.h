#pragma once
// Rows of logits become losses and, in place, the gradient of the logits.

#include <cstdint>

#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

struct CrossEntropyRows {
  int64_t num_rows = 0;
  int64_t vocab_size = 0;
  int64_t row_stride = 0;            ///< elements from one row of logits to the next
  const int64_t* targets = nullptr;  ///< [num_rows], each in [0, vocab_size) or ignore_index
  int64_t ignore_index = -100;
  const float* bias = nullptr;  ///< [vocab_size], added to the logits; null = none
  float* losses = nullptr;      ///< [num_rows] nats; 0 where the target is ignored
  float grad_scale = 1;         ///< the logits' gradient is that of grad_scale times the sum of the losses
};

/// Computes loss_i = log sum_v exp(logit_iv) - logit_{i, target_i}; the logits stay as they are.
/// Dtypes   logits fp32, or bf16 as its bits; arithmetic fp32
/// Threads  by rows; the result does not depend on how
void cross_entropy(const CrossEntropyRows& rows, const float* logits, const ParallelFor& parallel_for);
void cross_entropy(const CrossEntropyRows& rows, const uint16_t* logits, const ParallelFor& parallel_for);

/// The same, and replaces the logits by their gradient, grad_scale (softmax - onehot(target)), zero in ignored rows.
void cross_entropy_backward(const CrossEntropyRows& rows, float* logits, const ParallelFor& parallel_for);
void cross_entropy_backward(const CrossEntropyRows& rows, uint16_t* logits, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
