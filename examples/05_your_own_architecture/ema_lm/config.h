#pragma once

#include <cstdint>

#include "everlong/models/architecture.h"

namespace everlong::models::ema_lm {

/// A gated moving-average language model, without attention: the smallest architecture that streams.
class Config final : public ArchitectureConfig {
 public:
  int64_t vocab_size = 256;  ///< V
  int64_t hidden_size = 64;  ///< D
  int64_t num_hidden_layers = 2;
  int64_t ema_ndim = 8;  ///< N, moving averages a channel
  double initializer_range = 0.02;
  int64_t pad_token_id = -1;
  int64_t bos_token_id = -1;
  int64_t eos_token_id = -1;

  [[nodiscard]] std::string_view model_type() const override { return "ema_lm"; }
  [[nodiscard]] Fields fields() override;
  void validate() const override {}  // every field is checked by its range; nothing depends on two of them
  [[nodiscard]] std::shared_ptr<Model> build() const override;
  [[nodiscard]] std::unique_ptr<ArchitectureConfig> clone() const override { return std::make_unique<Config>(*this); }
  [[nodiscard]] LmHeadOptions lm_head() const override { return {.dense = false, .bias = false, .tied = true}; }
  [[nodiscard]] std::vector<checkpoint::NameRule> name_rules(Task task) const override;
  [[nodiscard]] std::string_view base_prefix() const override { return ""; }
  [[nodiscard]] std::string_view head_class(Task task) const override { return task == Task::causal_lm ? "EmaForCausalLM" : ""; }
  [[nodiscard]] int64_t parameter_count() const override;
  [[nodiscard]] int64_t state_bytes_per_row(int64_t position, int64_t element_bytes) const override;
  [[nodiscard]] int64_t activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const override;
  [[nodiscard]] SpecialTokens special_tokens() const override { return {.bos = bos_token_id, .eos = eos_token_id, .pad = pad_token_id}; }
  [[nodiscard]] int64_t model_width() const override { return hidden_size; }
  [[nodiscard]] int64_t vocabulary() const override { return vocab_size; }
  void set_vocabulary(int64_t size) override { vocab_size = size; }
};

}  // namespace everlong::models::ema_lm
