#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "everlong/models/architecture.h"

namespace everlong::models::megalodon {

enum class InitMode { none, bert, he, gaussian, xavier };
enum class AttentionDropout { post_softmax, dropkey };
enum class RopeFrequencies { exact, from_file };
enum class TsnPolicy { exact, capped, upstream_window };

/// Megalodon's configuration under the names of the released ModelConf, with its defaults.
/// Source   megalodon/config.py of the release. Differs: the keys from attention_window on are ours (see docs/models/megalodon.md).
class Config final : public ArchitectureConfig {
 public:
  int64_t num_layers = 8;
  int64_t model_dim = 1024;       ///< D
  int64_t z_dim = 256;            ///< Z
  int64_t value_dim = 2048;       ///< E, width of the value path
  int64_t num_heads = 1;          ///< H
  int64_t ffn_hidden_dim = 2048;  ///< F
  int64_t cema_ndim = 16;         ///< N
  int64_t chunk_size = 2048;      ///< C
  std::string efficient_attn;     ///< "" = null
  InitMode init_mode = InitMode::he;
  int64_t vocab_size = -1;       ///< V; of the tokenizer, when the model is built
  int64_t output_size = -1;      ///< -1 = V
  int64_t norm_num_groups = 32;  ///< G
  bool norm_affine = true;
  double norm_eps = 1e-5;
  std::optional<double> rope_base;
  double dropout = 0;
  double hidden_dropout = 0;
  double attention_dropout = 0;
  bool swiglu = false;
  bool rescale_nffn = false;
  bool scale_emb = false;
  bool share_emb = false;
  bool layerwise_ckpt = false;
  std::optional<int64_t> attention_window;  ///< W; none = chunks
  AttentionDropout attention_dropout_mode = AttentionDropout::post_softmax;
  RopeFrequencies rope_freqs = RopeFrequencies::exact;
  TsnPolicy tsn_policy = TsnPolicy::exact;
  int64_t norm_count_cap = 0;
  bool causal = true;
  int64_t pad_token_id = -1;
  int64_t bos_token_id = -1;
  int64_t eos_token_id = -1;

  [[nodiscard]] std::string_view model_type() const override { return "megalodon"; }
  [[nodiscard]] Fields fields() override;
  void validate() const override;
  void adopt_public_defaults(const KeySet& given) override;
  [[nodiscard]] std::string_view recognising_key() const override { return "cema_ndim"; }
  [[nodiscard]] std::shared_ptr<Model> build() const override;
  [[nodiscard]] std::unique_ptr<ArchitectureConfig> clone() const override { return std::make_unique<Config>(*this); }
  [[nodiscard]] LmHeadOptions lm_head() const override;
  [[nodiscard]] double head_dropout() const override { return dropout; }
  [[nodiscard]] double initializer_std() const override;
  [[nodiscard]] std::vector<checkpoint::NameRule> name_rules(Task task) const override;
  [[nodiscard]] std::string_view base_prefix() const override { return ""; }
  [[nodiscard]] std::string_view head_class(Task task) const override;
  [[nodiscard]] Task default_task() const override { return causal ? Task::causal_lm : Task::masked_lm; }
  [[nodiscard]] std::vector<Placeholder> placeholders() const override;
  /// Checks the norms' priors and the rotary frequencies of a file. Errors  Unsupported for a prior with a count; InvalidArgument for unlike
  /// frequencies
  std::vector<std::string> adapt_public_tensors(checkpoint::TensorMap& tensors) const override;
  /// Joins tensor-parallel parts of the release. Source  specification 7.2
  [[nodiscard]] checkpoint::TensorMap join_shards(const std::vector<checkpoint::TensorFile>& shards) const override;
  [[nodiscard]] std::vector<std::string> unknown_to_public_code() const override;
  /// Keys of megalodon-hf's config.json, which its weights say more about than they do.
  [[nodiscard]] KeySet foreign_keys() const override;
  /// Takes weights of megalodon-hf beside their config.json, and files of megalodon-jax. Source  specification 9
  std::optional<AdoptedCheckpoint> adopt_original(const checkpoint::TrainingFile& original) override;
  /// For the release (consolidated), megalodon-hf and megalodon-jax.
  [[nodiscard]] OriginalCheckpoint original_checkpoint(Dialect dialect, Task task, const checkpoint::TensorMap& tensors) const override;
  [[nodiscard]] int64_t parameter_count() const override;
  [[nodiscard]] int64_t state_bytes_per_row(int64_t position, int64_t element_bytes) const override;
  [[nodiscard]] int64_t activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const override;
  [[nodiscard]] SpecialTokens special_tokens() const override { return {.bos = bos_token_id, .eos = eos_token_id, .pad = pad_token_id}; }
  [[nodiscard]] int64_t model_width() const override { return model_dim; }
  [[nodiscard]] int64_t vocabulary() const override { return vocab_size; }
  void set_vocabulary(int64_t size) override { vocab_size = size; }

  /// What megalodon-hf takes for keys that its config.json leaves out, and for share_emb, which it does not look at.
  void adopt_port_defaults(const KeySet& given);

  [[nodiscard]] int64_t head_width() const { return z_dim / num_heads; }
  [[nodiscard]] double rotary_base() const { return rope_base.value_or(10000.0); }
  /// Keys and values that a row carries: the unfinished chunk or the window.
  [[nodiscard]] int64_t cache_len() const { return attention_window.value_or(chunk_size); }
  /// Tokens that a row remembers to take the norms' statistics again: six chunks with tsn_policy = upstream_window.
  [[nodiscard]] int64_t recent_len() const { return tsn_policy == TsnPolicy::upstream_window ? 6 * chunk_size : 0; }
  /// Count that forgetting norms stop at; 0 = none.
  [[nodiscard]] int64_t count_cap() const { return tsn_policy == TsnPolicy::capped ? norm_count_cap : 0; }
};

}  // namespace everlong::models::megalodon
