#include "everlong/models/encoder_decoder.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {

Fields EncoderDecoderConfig::fields() {
  Fields fields;
  fields.add("decoder_start_token_id", decoder_start_token_id, "what the decoder reads first", {.min = -1})
      .add("pad_token_id", pad_token_id, "padding of targets; -1 = none", {.min = -1})
      .add("eos_token_id", eos_token_id, "ends a target; -1 = none", {.min = -1});
  return fields;
}

EncoderDecoder::EncoderDecoder(std::shared_ptr<Embedder> encoder, std::shared_ptr<CausalLm> decoder, const EncoderDecoderConfig& config)
    : config_(config) {
  if (!decoder->model().capabilities().cross_attention)
    throw Unsupported({.where = "encoder-decoder",
                       .expected = "a decoder with cross-attention",
                       .got = std::string(decoder->config().model_type()) + " without",
                       .hint = "add_cross_attention = true gives MEGA one; BART's decoder has it"});
  const int64_t vocab_size = decoder->model().vocab_size();
  require(config.decoder_start_token_id >= 0 && config.decoder_start_token_id < vocab_size, [&] {
    return Complaint{.where = "encoder-decoder",
                     .expected = fmt::format("decoder_start_token_id in [0, {})", vocab_size),
                     .got = fmt::format("{}", config.decoder_start_token_id),
                     .hint = "config.json of the pair names it"};
  });
  encoder_ = register_module("encoder", std::move(encoder));
  decoder_ = register_module("decoder", std::move(decoder));
  const int64_t from = encoder_->model().hidden_size(), to = decoder_->model().hidden_size();
  if (from == to) return;
  projection_ = register_module("enc_to_dec_proj", std::make_shared<nn::Linear>(from, to));
  nn::init_normal_(projection_->weight, decoder_->config().initializer_std());
}

EncodedSource EncoderDecoder::encode(const ModelInput& source) {
  at::Tensor states = encoder_->model().forward(source).hidden;
  EncodedSource encoded;
  if (source.valid) {
    const at::Tensor valid = source.valid->ne(0);
    const at::Tensor places = at::arange(1, valid.size(1) + 1, at::TensorOptions(at::kLong).device(valid.device()));
    const int64_t longest = std::max<int64_t>(1, (valid.to(at::kLong) * places).max().item<int64_t>());
    states = states.narrow(1, 0, longest);
    const at::Tensor kept = valid.narrow(1, 0, longest);
    if (!kept.all().item<bool>()) encoded.valid = kept;
  }
  encoded.states = projection_ ? projection_->forward(states) : states;
  return encoded;
}

CausalLm::Logits EncoderDecoder::decode(const at::Tensor& tokens, const EncodedSource& source, nn::State state, bool last_only) {
  ModelInput input{.tokens = tokens};
  if (source.states.defined()) input.memory = source.states, input.memory_valid = source.valid;
  return decoder_->forward(input, std::move(state), last_only);
}

ModelInput EncoderDecoder::shifted(const at::Tensor& labels) const {
  require(labels.dim() == 2 && labels.size(1) >= 1 && labels.scalar_type() == at::kLong,
          [&] { return Complaint{.where = "encoder-decoder", .expected = "labels [B, T] int64 with T >= 1", .got = describe(labels)}; });
  const at::Tensor start = at::full({labels.size(0), 1}, config_.decoder_start_token_id, labels.options());
  const at::Tensor before = at::cat({start, labels.narrow(1, 0, labels.size(1) - 1)}, 1);
  ModelInput input{.tokens = before.masked_fill(before == -100, std::max<int64_t>(config_.pad_token_id, 0))};
  const at::Tensor valid = before != -100;
  if (!valid.all().item<bool>()) input.valid = valid;
  return input;
}

EncoderDecoder::Loss EncoderDecoder::loss(const ModelInput& source, const at::Tensor& labels) {
  ModelInput target = shifted(labels);
  require(labels.size(0) == source.batch_size(), [&] {
    return Complaint{
        .where = "encoder-decoder", .expected = fmt::format("labels of {} rows", source.batch_size()), .got = fmt::format("{}", labels.size(0))};
  });
  const EncodedSource encoded = encode(source);
  target.memory = encoded.states;
  target.memory_valid = encoded.valid;
  auto loss = decoder_->loss(target, labels);
  return {.mean = loss.mean, .count = loss.count};
}

void EncoderDecoder::set_compute_dtype(at::ScalarType dtype) {
  encoder_->model().set_compute_dtype(dtype);
  decoder_->model().set_compute_dtype(dtype);
}

void EncoderDecoder::set_activation_checkpointing(bool on) {
  encoder_->model().set_activation_checkpointing(on);
  decoder_->model().set_activation_checkpointing(on);
}

}  // namespace everlong::models
