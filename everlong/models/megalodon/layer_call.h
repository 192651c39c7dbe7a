#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "everlong/models/megalodon/config.h"
#include "everlong/models/model.h"
#include "everlong/nn/chunk_window.h"
#include "everlong/nn/derived.h"
#include "everlong/nn/linear.h"
#include "everlong/ops/complex_ema/complex_ema.h"

namespace everlong::models::megalodon {

/// What every layer of one call shares.
struct LayerCall {
  nn::SequencePlan plan;
  nn::ChunkWindow window;
  std::optional<at::Tensor> valid;  ///< [B, T] bool
  nn::State state;                  ///< before the call; empty: the sequences start here
  const Trace* trace = nullptr;

  at::Tensor turns = {};                         ///< [B or 1, T, z / 2] complex: the rotation of each token
  std::vector<ops::AttentionPiece> pieces = {};  ///< those of the window, with row b H + h for head h of row b
  std::optional<at::Tensor> key_valid = {};      ///< [B H, P + T] bool
  at::Tensor distance_bias = {};                 ///< [2 A - 1]: shuts out keys beyond a sliding window; undefined in chunks

  [[nodiscard]] at::Tensor slot(nn::Slot slot) const { return state.empty() ? at::Tensor() : state[slot]; }
  void emit(int64_t layer, const char* stage, const at::Tensor& value) const;
};

/// A linear layer whose matrix the configuration's init_mode fills; biases are zero.
[[nodiscard]] std::shared_ptr<nn::Linear> make_linear(const Config& config, int64_t in, int64_t out, bool bias = true);

/// Group normalisation over all tokens so far; over the whole sequence where the configuration is not causal.
/// Shapes   x [B, T, D]; returns [B, T, D], zero at padding
/// State    count [B] int64, mean and variance [B, G] fp64
/// Source   Megalodon, arXiv 2404.08801, section 3.2; specification 2.5. Differs: statistics in fp64.
class TimestepNorm : public torch::nn::Module {
 public:
  TimestepNorm(const Config& config, nn::StateLayout& layout, const std::string& state_prefix);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;

  /// "<prefix>.count", ".mean", ".var".
  void name_state(const nn::State& state, const std::string& prefix, std::vector<NamedTensor>& named) const;

 private:
  Config config_;
  at::Tensor weight_, bias_;
  nn::Slot count_slot_{}, mean_slot_{}, variance_slot_{};
};

/// Complex moving averages of every channel, and the channel itself times omega.
/// Shapes   x [B, T, D]; returns [B, T, D]
/// State    [B, D, N, 2], with input weight 1
/// Source   Megalodon, arXiv 2404.08801, section 3.1; specification 2.6 and 3.3. Exact.
class ComplexEma : public torch::nn::Module {
 public:
  ComplexEma(const Config& config, nn::StateLayout& layout, const std::string& state_prefix);
  at::Tensor forward(const at::Tensor& x, const LayerCall& call, std::vector<nn::SlotUpdate>& updates) const;

  /// The state as published: times the input weight. Shapes  [B, D, N, 2]
  [[nodiscard]] at::Tensor published_state(const nn::State& state) const;

 private:
  void initialise(int64_t model_dim);

  bool streams_;
  mutable nn::Derived<ops::ComplexEmaCoefficients> coefficients_;
  at::Tensor alpha_, delta_, theta_, gamma_, omega_;
  nn::Slot slot_{};
};

}  // namespace everlong::models::megalodon
