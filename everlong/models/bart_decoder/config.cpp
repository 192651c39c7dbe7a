#include "everlong/models/bart_decoder/config.h"

#include <array>
#include <map>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/bart_decoder/model.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::bart_decoder {
namespace {

constexpr std::array<std::pair<std::string_view, nn::Activation>, 4> kActivationNames{
    {{"gelu", nn::Activation::gelu}, {"gelu_new", nn::Activation::gelu_accurate}, {"relu", nn::Activation::relu}, {"silu", nn::Activation::silu}}};
constexpr std::array<const char*, 2> kKinds = {"weight", "bias"};
constexpr std::array<const char*, 4> kProjections = {"q_proj", "k_proj", "v_proj", "out_proj"};

/// The encoder's tensors in a file of a whole model: known, and without meaning here.
void ignore_encoder(std::vector<checkpoint::NameRule>& rules) {
  const auto ignore = [&](const std::string& name) { rules.push_back({"", "model.encoder." + name}); };
  ignore("embed_tokens.weight");
  ignore("embed_positions.weight");
  for (const std::string kind : kKinds) {
    ignore("layernorm_embedding." + kind);
    for (const std::string name : {"self_attn_layer_norm.", "fc1.", "fc2.", "final_layer_norm."}) ignore("layers.*." + name + kind);
    for (const std::string name : kProjections) ignore("layers.*.self_attn." + name + "." + kind);
  }
}

}  // namespace

Fields Config::fields() {
  Fields fields;
  const NumberRange probability{.min = 0, .max = 0.999};
  fields.add("vocab_size", vocab_size, "tokens in the vocabulary (V)", {.min = 1})
      .add("d_model", d_model, "model width (D)", {.min = 1})
      .add("decoder_layers", decoder_layers, "blocks", {.min = 1})
      .add("decoder_attention_heads", decoder_attention_heads, "heads (H)", {.min = 1})
      .add("decoder_ffn_dim", decoder_ffn_dim, "feed-forward width (F)", {.min = 1})
      .add("activation_function", activation_function, "activation of the feed-forward network",
           std::span<const std::pair<std::string_view, nn::Activation>>(kActivationNames))
      .add("max_position_embeddings", max_position_embeddings, "learned positions: the longest text, in tokens", {.min = 1})
      .add("scale_embedding", scale_embedding, "token embeddings times sqrt(d_model)")
      .add("tie_word_embeddings", tie_word_embeddings, "output matrix = token embedding")
      .add("final_logits_bias", final_logits_bias, "a bias on the scores of the tokens")
      .add("dropout", dropout, "dropout on embeddings and on the output of each part of a block", probability)
      .add("attention_dropout", attention_dropout, "dropout on attention weights", probability)
      .add("activation_dropout", activation_dropout, "dropout inside the feed-forward network", probability)
      .add("decoder_layerdrop", decoder_layerdrop, "must be 0: whole blocks are never dropped", probability)
      .add("init_std", init_std, "standard deviation of initial matrices", {.min = 0})
      .add("pad_token_id", pad_token_id, "padding; its embedding starts at zero and learns nothing from lookups; -1 = none", {.min = -1})
      .add("bos_token_id", bos_token_id, "begins a sequence; -1 = none", {.min = -1})
      .add("eos_token_id", eos_token_id, "ends a sequence; -1 = none", {.min = -1});
  return fields;
}

void Config::validate() const {
  require(d_model % decoder_attention_heads == 0, [&] {
    return Complaint{.where = "bart config",
                     .expected = "d_model to be a multiple of decoder_attention_heads",
                     .got = fmt::format("{} and {}", d_model, decoder_attention_heads)};
  });
  require(pad_token_id < vocab_size, [&] {
    return Complaint{
        .where = "bart config", .expected = fmt::format("pad_token_id below vocab_size = {}", vocab_size), .got = fmt::format("{}", pad_token_id)};
  });
  if (decoder_layerdrop > 0)
    throw Unsupported(
        {.where = "bart config", .expected = "decoder_layerdrop = 0", .got = fmt::format("{}", decoder_layerdrop), .hint = "use dropout"});
}

std::shared_ptr<Model> Config::build() const {
  validate();
  return std::make_shared<BartDecoderModel>(*this);
}

std::vector<checkpoint::NameRule> Config::name_rules(Task /*task*/) const {
  std::vector<checkpoint::NameRule> rules = {{"model.embedding.weight", "model.decoder.embed_tokens.weight"},
                                             {"model.positions.weight", "model.decoder.embed_positions.weight"},
                                             {"head.output.weight", "lm_head.weight"},
                                             {"head.output.bias", "final_logits_bias"}};
  const std::string ours = "model.layers.*.", theirs = "model.decoder.layers.*.";
  for (const std::string kind : kKinds) {
    rules.push_back({"model.embedding_norm." + kind, "model.decoder.layernorm_embedding." + kind});
    for (const auto& [own, other] : {std::pair<std::string, std::string>("self_attention", "self_attn"), {"cross_attention", "encoder_attn"}}) {
      for (const std::string name : kProjections) rules.push_back({ours + own + "." + name + "." + kind, theirs + other + "." + name + "." + kind});
      rules.push_back({ours + own + "_norm." + kind, theirs + other + "_layer_norm." + kind});
    }
    rules.push_back({ours + "up." + kind, theirs + "fc1." + kind});
    rules.push_back({ours + "down." + kind, theirs + "fc2." + kind});
    rules.push_back({ours + "final_norm." + kind, theirs + "final_layer_norm." + kind});
  }
  ignore_encoder(rules);
  return rules;
}

std::vector<std::string> Config::adapt_public_tensors(checkpoint::TensorMap& tensors) const {
  std::vector<std::string> notes;
  for (const std::string prefix : {"model.", ""}) {
    const auto shared = tensors.find(prefix + "shared.weight");
    if (shared == tensors.end()) continue;
    const std::string own = prefix + "decoder.embed_tokens.weight";
    const auto found = tensors.find(own);
    if (found != tensors.end() && !at::equal(found->second, shared->second))
      notes.push_back(fmt::format("{} and {} are one tensor and differ in the file; {} is used", own, shared->first, shared->first));
    const at::Tensor weight = shared->second;
    tensors.erase(shared);
    tensors[own] = weight;
  }
  const auto bias = tensors.find("final_logits_bias");
  if (bias == tensors.end()) return notes;
  if (final_logits_bias) {
    if (bias->second.dim() == 2 && bias->second.size(0) == 1) bias->second = bias->second[0];
    return notes;
  }
  if (bias->second.ne(0).any().item<bool>())
    throw FormatError({.file = "model.safetensors", .field = "final_logits_bias"}, "zeros", "other values",
                      "set final_logits_bias = true in config.json");
  tensors.erase(bias);
  return notes;
}

int64_t Config::parameter_count() const {
  const int64_t D = d_model, F = decoder_ffn_dim, V = vocab_size;
  const int64_t layer = 8 * (D * D + D) + (2 * D * F + F + D) + 6 * D;
  return V * D * (tie_word_embeddings ? 1 : 2) + (final_logits_bias ? V : 0) + (max_position_embeddings + 2) * D + 2 * D + decoder_layers * layer;
}

int64_t Config::state_bytes_per_row(int64_t position, int64_t element_bytes) const {
  return decoder_layers * position * 2 * d_model * element_bytes + position + 8;
}

int64_t Config::activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const {
  const int64_t layer = (14 * d_model + 2 * decoder_ffn_dim) * element_bytes + 3 * d_model * 4;  // the norms keep their input in fp32
  return num_tokens * (checkpointed ? decoder_layers * d_model * element_bytes + layer : decoder_layers * layer);
}

std::unique_ptr<ArchitectureConfig> make_config() { return std::make_unique<Config>(); }

std::unique_ptr<ArchitectureConfig> tiny_config() {
  auto config = std::make_unique<Config>();
  config->vocab_size = 37;
  config->d_model = 24;
  config->decoder_layers = 2;
  config->decoder_attention_heads = 4;
  config->decoder_ffn_dim = 32;
  config->max_position_embeddings = 64;
  config->dropout = 0;
  config->bos_token_id = config->eos_token_id = -1;
  return config;
}

const std::map<std::string, std::string>& presets() {
  static const std::map<std::string, std::string> all = {
      {"bart-base-decoder", "d_model=768 decoder_layers=6 decoder_attention_heads=12 decoder_ffn_dim=3072"},
      {"bart-large-decoder", "d_model=1024 decoder_layers=12 decoder_attention_heads=16 decoder_ffn_dim=4096"}};
  return all;
}

}  // namespace everlong::models::bart_decoder
