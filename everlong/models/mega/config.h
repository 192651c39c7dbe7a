#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "everlong/models/architecture.h"
#include "everlong/nn/activation.h"
#include "everlong/ops/chunk_attention/chunk_attention.h"

namespace everlong::models::mega {

enum class Normalization { layernorm, scalenorm, rmsnorm, batchnorm, syncbatchnorm };
enum class RelativeBias { rotary, simple };
enum class FinalNorm { none, plain, affine };

/// MEGA's configuration under the keys of Hugging Face's MegaConfig, with its defaults.
/// Source   transformers 4.40.2, configuration_mega.py. Differs: final_norm, embedding_scale and rmsnorm_weight_only are ours (see
/// docs/models/mega.md).
class Config final : public ArchitectureConfig {
 public:
  int64_t vocab_size = 30522;
  int64_t hidden_size = 128;  ///< D
  int64_t num_hidden_layers = 4;
  int64_t intermediate_size = 256;   ///< U, width of the value path
  int64_t ema_projection_size = 16;  ///< N
  bool bidirectional = true;
  int64_t shared_representation_size = 64;  ///< Z
  bool use_chunking = false;
  int64_t chunk_size = -1;  ///< C
  std::optional<int64_t> truncation;
  bool normalize_before_mega = true;
  Normalization normalization_type = Normalization::scalenorm;
  bool norm_affine = true;
  nn::Activation activation = nn::Activation::silu;
  ops::AttentionFunction attention_activation = ops::AttentionFunction::softmax;
  double dropout_prob = 0.1;
  double hidden_dropout_prob = 0.1;
  double attention_probs_dropout_prob = 0.1;
  bool use_feature_dropout = false;
  bool use_normalized_ffn = true;
  int64_t nffn_hidden_size = 256;  ///< F
  bool normalize_before_ffn = true;
  double nffn_activation_dropout_prob = 0.1;
  int64_t max_positions = 2048;
  bool add_token_type_embeddings = false;
  int64_t type_vocab_size = 2;
  double initializer_range = 0.02;
  double ema_delta_alpha_range = 0.2;
  double ema_beta_range = 0.02;
  double ema_gamma_omega_range = 1.0;
  int64_t pad_token_id = 1;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 2;
  RelativeBias relative_positional_bias = RelativeBias::rotary;
  bool add_lm_hidden_dense_layer = true;
  bool is_decoder = false;
  bool add_cross_attention = false;
  bool tie_word_embeddings = true;
  FinalNorm final_norm = FinalNorm::none;  ///< of the original release; Hugging Face's classes have none
  double embedding_scale = 1;              ///< of token embeddings, as above
  bool rmsnorm_weight_only = false;        ///< rmsnorm as Hugging Face has it: the weight without the normalisation

  [[nodiscard]] std::string_view model_type() const override { return "mega"; }
  [[nodiscard]] Fields fields() override;
  void validate() const override;
  void adopt_public_defaults(const KeySet& given) override;
  [[nodiscard]] std::shared_ptr<Model> build() const override;
  [[nodiscard]] std::unique_ptr<ArchitectureConfig> clone() const override { return std::make_unique<Config>(*this); }
  [[nodiscard]] LmHeadOptions lm_head() const override { return {.dense = add_lm_hidden_dense_layer, .bias = true, .tied = tie_word_embeddings}; }
  [[nodiscard]] double head_dropout() const override { return hidden_dropout_prob; }
  [[nodiscard]] double initializer_std() const override { return initializer_range; }
  [[nodiscard]] std::vector<checkpoint::NameRule> name_rules(Task task) const override;
  [[nodiscard]] std::vector<Placeholder> placeholders() const override;
  [[nodiscard]] std::string_view base_prefix() const override { return "mega."; }
  [[nodiscard]] std::string_view head_class(Task task) const override;
  [[nodiscard]] Task default_task() const override { return is_decoder ? Task::causal_lm : Task::masked_lm; }
  /// A decoder takes the forward half of a bidirectional model's moving averages.
  std::vector<std::string> adapt_public_tensors(checkpoint::TensorMap& tensors) const override;
  void become_decoder() override;
  std::optional<AdoptedCheckpoint> adopt_original(const checkpoint::TrainingFile& original) override;
  [[nodiscard]] OriginalCheckpoint original_checkpoint(Dialect dialect, Task task, const checkpoint::TensorMap& tensors) const override;
  [[nodiscard]] std::vector<std::string> unknown_to_public_code() const override;
  [[nodiscard]] int64_t parameter_count() const override;
  [[nodiscard]] int64_t state_bytes_per_row(int64_t position, int64_t element_bytes) const override;
  [[nodiscard]] int64_t activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const override;
  [[nodiscard]] SpecialTokens special_tokens() const override { return {.bos = bos_token_id, .eos = eos_token_id, .pad = pad_token_id}; }
  [[nodiscard]] int64_t model_width() const override { return hidden_size; }
  [[nodiscard]] int64_t vocabulary() const override { return vocab_size; }
  void set_vocabulary(int64_t size) override { vocab_size = size; }

  /// Positions a relative bias covers: `chunk_size` where it is set, chunking or not, as upstream.
  [[nodiscard]] int64_t bias_positions() const { return chunk_size >= 0 ? chunk_size : max_positions; }
  /// Whether the model reads from left to right and leaves a state.
  [[nodiscard]] bool streams() const { return is_decoder && !bidirectional; }
  /// Whether a layer, after its moving averages, draws nothing and computes nothing over all tokens together, and leaves no state: it can be
  /// recomputed in parts.
  [[nodiscard]] bool finishes_by_span() const;
  /// C with chunking, 0 = one chunk of any length.
  [[nodiscard]] int64_t attention_chunk() const { return use_chunking ? chunk_size : 0; }
};

}  // namespace everlong::models::mega
