#pragma once
// The element-wise middle of attention: scores between two matrix products become weights, and back.

#include <cstdint>
#include <span>

#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

enum class AttentionFunction : uint8_t { softmax, relu2, laplace };

/// The constants of the Laplace attention function, as the authors' code has them: sqrt(1/2) and sqrt(1/(4 pi)) to six digits.
inline constexpr double kLaplaceMean = 0.707107, kLaplaceDeviation = 0.282095;

/// Queries of a matrix that share one accumulator of the bias gradient.
inline constexpr int64_t kBiasBandRows = 64;

/// What differs between the matrices of one call.
struct AttentionMatrix {
  const bool* key_valid = nullptr;  ///< [num_keys]; null = every key is valid
  float* log_sum_exp = nullptr;     ///< [num_queries], softmax only: written forward unless null, read backward; -inf = a row without keys
  int64_t first_query = 0;          ///< number of query 0 in the whole call: what dropout counts by
};

/// A batch of score matrices of one shape.
struct AttentionBlock {
  AttentionFunction function = AttentionFunction::softmax;
  std::span<const AttentionMatrix> matrices;
  int64_t num_queries = 0;
  int64_t num_keys = 0;
  int64_t query_stride = 0;           ///< elements from one query's scores to the next
  int64_t matrix_stride = 0;          ///< elements from one matrix to the next
  int64_t query_place = 0;            ///< place of query 0 within the chunk; key 0 has place 0
  bool causal = false;                ///< query i sees the keys j <= query_place + i
  bool attend_if_all_masked = false;  ///< softmax, not causal: a matrix without a valid key ignores key_valid
  float scale = 1;                    ///< softmax only
  const float* bias = nullptr;  ///< the entry of distance 0, entries from -(query_place + num_queries - 1) to num_keys - 1 around it; null = none
  double dropout = 0;           ///< in [0, 1)
  uint64_t dropout_seed = 0;
};

/// Turns the products q k in `scores` into attention weights, in place; keys that a query does not see get 0.
/// Math     as ops::chunk_attention; a weight that dropout keeps is divided by 1 - p
/// Dtypes   values fp32, or bf16 as its bits; arithmetic fp32
/// Threads  queries are shared out; the result does not depend on how
void attention_weights(const AttentionBlock& block, float* scores, const ParallelFor& parallel_for);
void attention_weights(const AttentionBlock& block, uint16_t* scores, const ParallelFor& parallel_for);

/// Turns `scores` (the same products again) into the weights as they were used, and `grad_weights` into the gradient of the products.
/// bias_bands, unless null, has bias_bands_size(block) places and receives the bias gradient of each band of kBiasBandRows queries.
void attention_weights_backward(const AttentionBlock& block, float* scores, float* grad_weights, float* bias_bands, const ParallelFor& parallel_for);
void attention_weights_backward(const AttentionBlock& block, uint16_t* scores, uint16_t* grad_weights, float* bias_bands,
                                const ParallelFor& parallel_for);

[[nodiscard]] int64_t bias_bands_size(const AttentionBlock& block);

/// Adds all bands, in a fixed order, to the gradient of the bias vector, given by its entry of distance 0.
void add_bias_bands(const AttentionBlock& block, const float* bias_bands, double* grad_bias);

/// The dropout factors of one query, 0 or 1 / (1 - p): what the kernels above multiply its weights with.
void attention_dropout_factors(double dropout, uint64_t seed, int64_t query, std::span<float> factors);

}  // namespace everlong::kernels
