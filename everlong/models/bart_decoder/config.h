#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/models/architecture.h"
#include "everlong/nn/activation.h"

namespace everlong::models::bart_decoder {

/// The decoder half of BART under the keys of Hugging Face's BartConfig, with its defaults. Keys of the encoder half mean nothing here and are kept.
/// Source   transformers 4.40.2, configuration_bart.py. Differs: final_logits_bias is ours; decoder_layerdrop is refused.
class Config final : public ArchitectureConfig {
 public:
  int64_t vocab_size = 50265;
  int64_t d_model = 1024;  ///< D
  int64_t decoder_layers = 12;
  int64_t decoder_attention_heads = 16;  ///< H
  int64_t decoder_ffn_dim = 4096;        ///< F
  nn::Activation activation_function = nn::Activation::gelu;
  int64_t max_position_embeddings = 1024;  ///< learned positions: the longest text that can be read or written
  bool scale_embedding = false;
  bool tie_word_embeddings = true;
  bool final_logits_bias = false;
  double dropout = 0.1;
  double attention_dropout = 0.0;
  double activation_dropout = 0.0;
  double decoder_layerdrop = 0.0;
  double init_std = 0.02;
  int64_t pad_token_id = 1;
  int64_t bos_token_id = 0;
  int64_t eos_token_id = 2;

  [[nodiscard]] std::string_view model_type() const override { return "bart"; }
  [[nodiscard]] Fields fields() override;
  void validate() const override;
  [[nodiscard]] std::shared_ptr<Model> build() const override;
  [[nodiscard]] std::unique_ptr<ArchitectureConfig> clone() const override { return std::make_unique<Config>(*this); }
  [[nodiscard]] double head_dropout() const override { return dropout; }
  [[nodiscard]] double initializer_std() const override { return init_std; }
  [[nodiscard]] LmHeadOptions lm_head() const override { return {.dense = false, .bias = final_logits_bias, .tied = tie_word_embeddings}; }
  [[nodiscard]] std::vector<checkpoint::NameRule> name_rules(Task task) const override;
  [[nodiscard]] std::string_view base_prefix() const override { return "model."; }
  [[nodiscard]] std::string_view head_class(Task task) const override { return task == Task::causal_lm ? "BartForCausalLM" : ""; }

  /// Takes files of whole BART models: the embedding that encoder and decoder share, and a bias of the scores that is all zeros.
  /// Errors   FormatError if that bias is not zero and final_logits_bias is false
  std::vector<std::string> adapt_public_tensors(checkpoint::TensorMap& tensors) const override;
  [[nodiscard]] int64_t parameter_count() const override;
  [[nodiscard]] int64_t state_bytes_per_row(int64_t position, int64_t element_bytes) const override;
  [[nodiscard]] int64_t activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const override;
  [[nodiscard]] SpecialTokens special_tokens() const override { return {.bos = bos_token_id, .eos = eos_token_id, .pad = pad_token_id}; }
  [[nodiscard]] int64_t model_width() const override { return d_model; }
  [[nodiscard]] int64_t vocabulary() const override { return vocab_size; }
  void set_vocabulary(int64_t size) override { vocab_size = size; }
};

}  // namespace everlong::models::bart_decoder
