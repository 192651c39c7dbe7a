#pragma once
// The one interface that training, generation and serving know. None of them names an architecture.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include "everlong/models/capabilities.h"
#include "everlong/nn/state.h"
#include "everlong/tensor/activation_checkpointing.h"

namespace everlong::models {

/// About how many tokens a checkpointed layer recomputes at once, where it can do so in parts.
inline constexpr int64_t kCheckpointSpanTokens = 4096;

/// Receives named intermediate values while a model runs: "hidden.0" [B, T, D], "attention.0" weights. For verification and plots.
using Trace = std::function<void(std::string_view name, const at::Tensor& value)>;

/// One call's worth of input for B rows of T tokens.
struct ModelInput {
  at::Tensor tokens;                            ///< [B, T] int64; undefined where `embeddings` stand for them
  std::optional<at::Tensor> valid = {};         ///< [B, T] bool: false = padding, which no token attends to; trailing padding is not read at all
  std::optional<at::Tensor> document_ids = {};  ///< [B, T] int64: a change begins a document; tokens of different documents never meet
  std::optional<at::Tensor> token_types = {};   ///< [B, T] int64
  std::optional<at::Tensor> embeddings = {};    ///< [B, T, D] instead of tokens
  std::optional<at::Tensor> memory = {};        ///< [B, S, D] encoder states for cross-attention; a state that has read some keeps its own
  std::optional<at::Tensor> memory_valid = {};  ///< [B, S] bool: false = padding
  const Trace* trace = nullptr;

  [[nodiscard]] int64_t batch_size() const { return (embeddings ? *embeddings : tokens).size(0); }
  [[nodiscard]] int64_t seq_len() const { return (embeddings ? *embeddings : tokens).size(1); }
};

/// A loss beside the task's own, already weighted; nats per token.
struct AuxiliaryLoss {
  const char* name;
  at::Tensor value;  ///< scalar
};

struct ModelOutput {
  at::Tensor hidden;  ///< [B, T, D], what heads read
  nn::State state;    ///< after the last token read of each row; empty for a model that does not stream
  std::vector<AuxiliaryLoss> auxiliary_losses = {};
};

/// A tensor under a public name.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// A sequence model: tokens to hidden states, with a state handed in and out.
class Model : public torch::nn::Module {
 public:
  /// Runs B rows of T >= 1 tokens.
  /// State    with an empty state the rows start here; otherwise they continue. For a causal model with exact streaming any cut of a
  ///          sequence into calls, begun with initial_state(), gives the outputs and the final state of one call.
  /// Errors   InvalidArgument if shapes disagree or a token is outside [0, vocab_size); StateError if the state belongs to another model;
  ///          Unsupported if the capability is missing, with what to use instead
  virtual ModelOutput forward(const ModelInput& input, nn::State state = {}) = 0;

  [[nodiscard]] virtual Capabilities capabilities() const = 0;
  [[nodiscard]] virtual int64_t hidden_size() const = 0;
  [[nodiscard]] virtual int64_t vocab_size() const = 0;

  /// The token embedding [V, D], for heads that are tied to it.
  [[nodiscard]] virtual at::Tensor embedding_weight() const = 0;

  /// The state under the names and in the units of the family's public code, where it has some; used to verify against it.
  [[nodiscard]] virtual std::vector<NamedTensor> public_state(const nn::State&) const { return {}; }

  /// Whether weight decay is meant for a parameter, by its name below the model. Default: matrices.
  [[nodiscard]] virtual bool decays(std::string_view name, const at::Tensor& parameter) const {
    return static_cast<void>(name), parameter.dim() >= 2;
  }

  [[nodiscard]] const nn::StateLayout& state_layout() const { return layout_; }

  /// The state of `batch_size` rows that have read nothing.
  [[nodiscard]] nn::State initial_state(int64_t batch_size) const;

  /// Activations and matrix products: fp32 (default), bf16 or, with parameters moved to fp64, fp64. Parameters keep their dtype.
  void set_compute_dtype(at::ScalarType dtype) { compute_dtype_ = dtype; }
  [[nodiscard]] at::ScalarType compute_dtype() const { return compute_dtype_; }

  /// Recomputes the inside of each layer in the backward pass instead of keeping it. Gradients are equal, dropout included.
  void set_activation_checkpointing(bool on) { activation_checkpointing_ = on; }
  [[nodiscard]] bool activation_checkpointing() const { return activation_checkpointing_; }

  /// Fewer tokens at once need less memory; thousands keep matrix products efficient.
  void set_checkpoint_span_tokens(int64_t tokens) { checkpoint_span_tokens_ = tokens; }
  [[nodiscard]] int64_t checkpoint_span_tokens() const { return checkpoint_span_tokens_; }

 protected:
  /// Checks shapes against each other and the state against the layout. Errors  as forward()
  void check_input(const ModelInput& input, const nn::State& state) const;

  void check_memory(const ModelInput& input) const;
  static void trace_hidden(const ModelInput& input, size_t layer, const at::Tensor& hidden);

  /// Runs one layer of a call, recomputing its inside in the backward pass where that is switched on. The slots it leaves go to `updates`, once.
  template <class Layer, class Call>
  at::Tensor run_layer(const std::shared_ptr<Layer>& layer, const std::shared_ptr<const Call>& call, const at::Tensor& x,
                       std::vector<nn::SlotUpdate>& updates) const {
    if (!activation_checkpointing_ || call->trace != nullptr) return layer->forward(x, *call, updates);
    return run_checkpointed(x, [layer, call, &updates](const at::Tensor& input, bool again) {
      std::vector<nn::SlotUpdate> dropped;
      return layer->forward(input, *call, again ? dropped : updates);
    });
  }

  nn::StateLayout layout_;

 private:
  at::ScalarType compute_dtype_ = at::kFloat;
  bool activation_checkpointing_ = false;
  int64_t checkpoint_span_tokens_ = kCheckpointSpanTokens;
};

/// The hidden state of each row's last token that is not padding. Shapes  hidden [B, T, D]; valid [B, T] bool or none; returns [B, 1, D]
[[nodiscard]] at::Tensor last_hidden(const at::Tensor& hidden, const std::optional<at::Tensor>& valid);

/// Trainable parameters of a module, tied ones once.
[[nodiscard]] int64_t count_parameters(const torch::nn::Module& module);

}  // namespace everlong::models
