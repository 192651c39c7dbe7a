#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "everlong/models/heads/causal_lm.h"
#include "everlong/models/heads/embedder.h"
#include "everlong/nn/linear.h"

namespace everlong::models {

/// What a pair of models has beyond their own configurations, under the keys of Hugging Face's EncoderDecoderConfig. -1 = none.
struct EncoderDecoderConfig {
  int64_t decoder_start_token_id = -1;  ///< what the decoder reads first
  int64_t pad_token_id = -1;
  int64_t eos_token_id = -1;

  [[nodiscard]] Fields fields();  ///< bound to this object
};

/// What a decoder attends to.
struct EncodedSource {
  at::Tensor states;                ///< [B, S, D of the decoder]
  std::optional<at::Tensor> valid;  ///< [B, S] bool; none = no padding
};

/// An encoder, and a language model that attends to its hidden states: reads one text, writes another.
/// Math     memory = encoder(source) [W + b where the widths differ];  logits = decoder(target; memory)
/// Source   transformers 4.40.2, modeling_encoder_decoder.py. Exact for the loss and the logits of targets that are not padding.
class EncoderDecoder : public torch::nn::Module {
 public:
  /// Errors   Unsupported if the decoder has no cross-attention; InvalidArgument if decoder_start_token_id is no token of the decoder
  EncoderDecoder(std::shared_ptr<Embedder> encoder, std::shared_ptr<CausalLm> decoder, const EncoderDecoderConfig& config);

  /// Reads sources [B, S]. Columns behind the longest source are cut off, so that padding to a multiple of a chunk costs the decoder nothing.
  EncodedSource encode(const ModelInput& source);

  /// Next-token scores of the decoder's tokens. With a state that has read the source, `source` may be empty.
  /// Shapes   tokens [B, T] int64; logits [B, T, V]
  CausalLm::Logits decode(const at::Tensor& tokens, const EncodedSource& source, nn::State state = {}, bool last_only = false);

  struct Loss {
    at::Tensor mean;    ///< nats per counted token; scalar
    int64_t count = 0;  ///< labels that are not -100
  };
  /// Mean cross-entropy of `labels` [B, T] int64 (-100 = not counted), each predicted from those before it and the source.
  Loss loss(const ModelInput& source, const at::Tensor& labels);

  /// What the decoder reads where `labels` are to be written: one to the right, behind the start token, padding for -100.
  [[nodiscard]] ModelInput shifted(const at::Tensor& labels) const;

  void set_compute_dtype(at::ScalarType dtype);
  void set_activation_checkpointing(bool on);

  [[nodiscard]] Embedder& encoder() { return *encoder_; }
  [[nodiscard]] const Embedder& encoder() const { return *encoder_; }
  [[nodiscard]] CausalLm& decoder() { return *decoder_; }
  [[nodiscard]] const CausalLm& decoder() const { return *decoder_; }
  [[nodiscard]] const EncoderDecoderConfig& config() const { return config_; }
  [[nodiscard]] const nn::Linear* projection() const { return projection_.get(); }  ///< null where the widths agree

 private:
  std::shared_ptr<Embedder> encoder_;
  std::shared_ptr<CausalLm> decoder_;
  std::shared_ptr<nn::Linear> projection_;
  EncoderDecoderConfig config_;
};

}  // namespace everlong::models
