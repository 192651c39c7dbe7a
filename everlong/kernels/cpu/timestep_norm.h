#pragma once
// Timestep norm on plain memory: group normalisation over all tokens so far.

#include <cstdint>

#include "everlong/kernels/cpu/ema.h"
#include "everlong/kernels/cpu/parallel.h"

namespace everlong::kernels {

/// Sizes and options that forward and backward share.
/// Shapes   rows are [B, T, D] with contiguous features, group g owns g D/G .. (g+1) D/G - 1; states are [B, G], contiguous
struct TimestepNormShape {
  int64_t batch_size = 0;  ///< B
  int64_t seq_len = 0;     ///< T
  int64_t model_dim = 0;   ///< D
  int64_t num_groups = 0;  ///< G, divides D
  Element element = Element::kFloat;
  int64_t count_cap = 0;  ///< 0 = none; else a token weighs at least 1 / count_cap
  double eps = 0;
  const bool* restart = nullptr;      ///< [B, T] or null: everything is forgotten before this token; ignored at padding
  const int64_t* lengths = nullptr;   ///< [B] or null: tokens from lengths[b] on are padding
  const bool* mask = nullptr;         ///< [B, T] or null: false = padding
  const int64_t* count_in = nullptr;  ///< [B] or null: tokens before this call, 0 to 2^53; null = none. Where 0, the state is not read
  const double* mean_in = nullptr;    ///< [B, G], with count_in
};

/// mean_t, var_t of a group over all tokens so far; y = (x - mean_t) (var_t + eps)^(-1/2) (weight + 1) + bias ; padding gives zero
struct TimestepNormForward {
  TimestepNormShape shape;
  ConstRows x;
  MutableRows y;
  const float* weight = nullptr;        ///< [D], an offset from 1
  const float* bias = nullptr;          ///< [D]
  const double* variance_in = nullptr;  ///< [B, G], with count_in
  int64_t* count_out = nullptr;         ///< [B]
  double* mean_out = nullptr;           ///< [B, G]; mean 0 and variance 1 where there has been no token
  double* variance_out = nullptr;
  double* mean = nullptr;  ///< [B, T, G] or null: mean after each token, kept for the backward pass; at padding that of the token before
  float* rstd = nullptr;   ///< [B, T, G] or null: (var + eps)^(-1/2); at padding 0
};

/// The gradients of TimestepNormForward.
/// Math     U, V = gradients of mean_t, var_t, from t = T down: U += -r sum_i dy_i w_i ; V += -1/2 r^3 sum_i dy_i w_i (x_i - mean_t) ;
///          dx_i = dy_i w_i r + (U + 2 V (x_i - mean_t)) G / (n D) ; U = (1 - 1/n) (U - 2 V (mean_t - mean_{t-1})) ; V = (1 - 1/n) V
struct TimestepNormBackward {
  TimestepNormShape shape;
  ConstRows x;
  ConstRows dy;
  MutableRows dx;
  const float* weight = nullptr;
  const double* mean = nullptr;  ///< as the forward pass left them
  const float* rstd = nullptr;
  const double* dmean_out = nullptr;      ///< [B, G] gradients of the returned state, or null = zeros
  const double* dvariance_out = nullptr;  ///< likewise
  double* dmean_in = nullptr;             ///< [B, G] or null = not wanted
  double* dvariance_in = nullptr;         ///< likewise
  float* dweight = nullptr;               ///< [D]
  float* dbias = nullptr;                 ///< [D]
  double* workspace = nullptr;            ///< timestep_norm_backward_workspace() doubles
};

[[nodiscard]] int64_t timestep_norm_backward_workspace(const TimestepNormShape& shape);

/// Writes y, the state, and what the backward pass needs.
/// Units    sizes >= 1; eps > 0; pointers as their structs say; lengths in [0, T]
/// Cost     x is read once from memory and y written once; sums over features in fp32, over time in fp64
/// Threads  by (batch, group); results depend neither on how `parallel_for` cuts nor on how the sequence is cut into calls
void timestep_norm_forward(const TimestepNormForward& call, const ParallelFor& parallel_for);

/// Writes every gradient.
/// Cost     x and dy are read once and dx is written once
/// Threads  as the forward pass; sums over the batch run in its order
void timestep_norm_backward(const TimestepNormBackward& call, const ParallelFor& parallel_for);

}  // namespace everlong::kernels
