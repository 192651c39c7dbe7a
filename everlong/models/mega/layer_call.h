#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "everlong/models/mega/config.h"
#include "everlong/models/model.h"
#include "everlong/nn/chunk_window.h"
#include "everlong/nn/linear.h"
#include "everlong/nn/norm.h"

namespace everlong::models::mega {

/// What every layer of one call shares.
struct LayerCall {
  nn::SequencePlan plan;
  nn::ChunkWindow window;
  std::optional<at::Tensor> valid;  ///< [B, T] bool
  nn::State state;                  ///< before the call; empty: the sequences start here and the call has the whole of them
  const Trace* trace = nullptr;
  int64_t first_row = 0;  ///< b T + t of the first token, where the call is a part of another; what dropout counts by

  at::Tensor memory = {};                       ///< [B, S, D] encoder states to read now; undefined: those in the state
  std::optional<at::Tensor> memory_valid = {};  ///< [B, S] bool
  std::vector<ops::AttentionPiece> memory_pieces = {};
  int64_t memory_span = 0;  ///< A of the bias: more than every place of a query or a key

  [[nodiscard]] at::Tensor slot(nn::Slot slot) const { return state.empty() ? at::Tensor() : state[slot]; }
};

[[nodiscard]] nn::NormType norm_type(const Config& config);
[[nodiscard]] std::shared_ptr<nn::Linear> make_linear(int64_t in, int64_t out, double std);

/// Drops single values, or whole features over time where the configuration says so; adds `residual` where one is given.
[[nodiscard]] at::Tensor drop(const Config& config, const LayerCall& call, const at::Tensor& x, double p, bool training,
                              const at::Tensor& residual = {});

}  // namespace everlong::models::mega
