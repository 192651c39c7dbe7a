#pragma once

#include <cstdint>
#include <optional>

#include "everlong/models/architecture.h"

namespace everlong::models::transformer {

/// A plain decoder-only Transformer under the keys of Hugging Face's LlamaConfig, with its defaults.
/// Source   transformers, configuration_llama.py. Differs: rope scaling is refused; dropout is ours.
class Config final : public ArchitectureConfig {
 public:
  int64_t vocab_size = 32000;
  int64_t hidden_size = 4096;         ///< D
  int64_t intermediate_size = 11008;  ///< F
  int64_t num_hidden_layers = 32;
  int64_t num_attention_heads = 32;  ///< H
  std::optional<int64_t> num_key_value_heads;
  std::optional<int64_t> head_dim;         ///< K
  int64_t max_position_embeddings = 2048;  ///< informative: rotary positions have no limit here
  double initializer_range = 0.02;
  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  double rope_theta = 10000.0;
  bool attention_bias = false;
  bool mlp_bias = false;
  double attention_dropout = 0.0;
  double hidden_dropout = 0.0;
  int64_t pad_token_id = -1;
  int64_t bos_token_id = 1;
  int64_t eos_token_id = 2;

  [[nodiscard]] std::string_view model_type() const override { return "llama"; }
  [[nodiscard]] Fields fields() override;
  void validate() const override;
  [[nodiscard]] std::shared_ptr<Model> build() const override;
  [[nodiscard]] std::unique_ptr<ArchitectureConfig> clone() const override { return std::make_unique<Config>(*this); }
  [[nodiscard]] double head_dropout() const override { return hidden_dropout; }
  [[nodiscard]] double initializer_std() const override { return initializer_range; }
  [[nodiscard]] LmHeadOptions lm_head() const override { return {.dense = false, .bias = false, .tied = tie_word_embeddings}; }
  [[nodiscard]] std::vector<checkpoint::NameRule> name_rules(Task task) const override;
  [[nodiscard]] std::string_view base_prefix() const override { return "model."; }
  [[nodiscard]] std::string_view head_class(Task task) const override { return task == Task::causal_lm ? "LlamaForCausalLM" : ""; }
  [[nodiscard]] int64_t parameter_count() const override;
  [[nodiscard]] int64_t state_bytes_per_row(int64_t position, int64_t element_bytes) const override;
  [[nodiscard]] int64_t activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const override;
  [[nodiscard]] SpecialTokens special_tokens() const override { return {.bos = bos_token_id, .eos = eos_token_id, .pad = pad_token_id}; }
  [[nodiscard]] int64_t model_width() const override { return hidden_size; }
  [[nodiscard]] int64_t vocabulary() const override { return vocab_size; }
  void set_vocabulary(int64_t size) override { vocab_size = size; }

  [[nodiscard]] int64_t key_value_heads() const { return num_key_value_heads.value_or(num_attention_heads); }
  [[nodiscard]] int64_t head_width() const { return head_dim.value_or(hidden_size / num_attention_heads); }
};

}  // namespace everlong::models::transformer
