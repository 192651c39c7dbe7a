#include "everlong/models/mega/config.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/mega/model.h"

namespace everlong::models::mega {
namespace {

template <class E, size_t N>
using Names = std::array<std::pair<std::string_view, E>, N>;

constexpr Names<Normalization, 5> kNormalizations{{{"layernorm", Normalization::layernorm},
                                                   {"scalenorm", Normalization::scalenorm},
                                                   {"rmsnorm", Normalization::rmsnorm},
                                                   {"batchnorm", Normalization::batchnorm},
                                                   {"syncbatchnorm", Normalization::syncbatchnorm}}};
constexpr Names<FinalNorm, 3> kFinalNorms{{{"none", FinalNorm::none}, {"plain", FinalNorm::plain}, {"affine", FinalNorm::affine}}};
constexpr Names<RelativeBias, 2> kRelativeBiases{{{"rotary", RelativeBias::rotary}, {"simple", RelativeBias::simple}}};
constexpr Names<ops::AttentionFunction, 3> kAttentionFunctions{
    {{"softmax", ops::AttentionFunction::softmax}, {"relu2", ops::AttentionFunction::relu2}, {"laplace", ops::AttentionFunction::laplace}}};

template <class E, size_t N>
std::span<const std::pair<std::string_view, E>> all(const Names<E, N>& names) {
  return names;
}

void add_sizes(Fields& fields, Config& c) {
  fields.add("vocab_size", c.vocab_size, "tokens in the vocabulary (V)", {.min = 1})
      .add("hidden_size", c.hidden_size, "model width (D)", {.min = 1})
      .add("num_hidden_layers", c.num_hidden_layers, "blocks", {.min = 1})
      .add("intermediate_size", c.intermediate_size, "width of the attention value path (U); not the feed-forward width", {.min = 1})
      .add("ema_projection_size", c.ema_projection_size, "moving averages a channel (N)", {.min = 1})
      .add("bidirectional", c.bidirectional, "moving averages from both sides; false for anything that streams")
      .add("shared_representation_size", c.shared_representation_size, "width of queries and keys (Z)", {.min = 1})
      .add("use_chunking", c.use_chunking, "attend inside chunks of chunk_size tokens only")
      .add("chunk_size", c.chunk_size, "tokens in an attention chunk (C); -1 = none. Any value >= 0 is also the reach of the relative bias",
           {.min = -1})
      .add("truncation", c.truncation, "longest lag of the moving averages when no state is carried; null = no bound", {.min = 1})
      .add("nffn_hidden_size", c.nffn_hidden_size, "feed-forward width (F)", {.min = 1})
      .add("max_positions", c.max_positions, "size of the simple bias table: 2 max_positions - 1", {.min = 1})
      .add("type_vocab_size", c.type_vocab_size, "token types", {.min = 1});
}

void add_functions(Fields& fields, Config& c) {
  fields.add("normalize_before_mega", c.normalize_before_mega, "norm before (true) or after (false) the attention half of a block")
      .add("normalization_type", c.normalization_type, "norm of both halves of a block", all(kNormalizations))
      .add("norm_affine", c.norm_affine, "norms have learned parameters")
      .add("activation", c.activation, "activation of values, candidates and the feed-forward network", all(nn::kActivationNames))
      .add("attention_activation", c.attention_activation, "attention function", all(kAttentionFunctions))
      .add("use_normalized_ffn", c.use_normalized_ffn, "blocks have a feed-forward network")
      .add("normalize_before_ffn", c.normalize_before_ffn, "norm before (true) or after (false) the feed-forward half of a block")
      .add("add_token_type_embeddings", c.add_token_type_embeddings, "adds a table of token types to the embedding")
      .add("relative_positional_bias", c.relative_positional_bias, "rotary has no length limit; simple is a table", all(kRelativeBiases))
      .add("add_lm_hidden_dense_layer", c.add_lm_hidden_dense_layer, "tanh(Linear) before the output matrix of language models")
      .add("is_decoder", c.is_decoder, "causal attention")
      .add("add_cross_attention", c.add_cross_attention, "blocks attend to encoder states")
      .add("tie_word_embeddings", c.tie_word_embeddings, "output matrix = token embedding")
      .add("final_norm", c.final_norm,
           "norm after the last block; not in Hugging Face's MEGA: affine or plain (without parameters), as the original release has",
           all(kFinalNorms))
      .add("embedding_scale", c.embedding_scale,
           "factor of token embeddings; not in Hugging Face's MEGA: sqrt(hidden_size) in original language models", NumberRange{.min = 0})
      .add("rmsnorm_weight_only", c.rmsnorm_weight_only, "rmsnorm multiplies by the weight and does not normalise, as Hugging Face's MEGA does");
}

void add_training(Fields& fields, Config& c) {
  const NumberRange probability{.min = 0, .max = 0.999}, deviation{.min = 0};
  fields.add("dropout_prob", c.dropout_prob, "dropout on the moving averages, candidates and feed-forward outputs", probability)
      .add("hidden_dropout_prob", c.hidden_dropout_prob, "dropout on attention values", probability)
      .add("attention_probs_dropout_prob", c.attention_probs_dropout_prob, "dropout on attention weights", probability)
      .add("nffn_activation_dropout_prob", c.nffn_activation_dropout_prob, "dropout inside the feed-forward network", probability)
      .add("use_feature_dropout", c.use_feature_dropout, "drop whole features over time instead of single values")
      .add("initializer_range", c.initializer_range, "standard deviation of initial matrices, embeddings and biases", deviation)
      .add("ema_delta_alpha_range", c.ema_delta_alpha_range, "standard deviation of initial damping and decay logits", deviation)
      .add("ema_beta_range", c.ema_beta_range, "standard deviation around +-1 of the initial expansion", deviation)
      .add("ema_gamma_omega_range", c.ema_gamma_omega_range, "standard deviation of initial projection and residual weights", deviation)
      .add("pad_token_id", c.pad_token_id, "padding; its embedding starts at zero and learns nothing from lookups; -1 = none", {.min = -1})
      .add("bos_token_id", c.bos_token_id, "begins a sequence; -1 = none", {.min = -1})
      .add("eos_token_id", c.eos_token_id, "ends a sequence; -1 = none", {.min = -1});
}

}  // namespace

Fields Config::fields() {
  Fields fields;
  add_sizes(fields, *this);
  add_functions(fields, *this);
  add_training(fields, *this);
  return fields;
}

void Config::validate() const {
  const auto demand = [](bool ok, std::string expected, std::string got, std::string hint = {}) {
    require(ok, [&] { return Complaint{.where = "mega config", .expected = std::move(expected), .got = std::move(got), .hint = std::move(hint)}; });
  };
  demand(relative_positional_bias != RelativeBias::rotary || shared_representation_size % 2 == 0,
         "an even shared_representation_size with the rotary bias", fmt::format("{}", shared_representation_size));
  demand(!use_chunking || chunk_size >= 1, "chunk_size >= 1 with use_chunking", fmt::format("{}", chunk_size));
  demand(chunk_size != 0, "chunk_size -1 (none) or >= 1", "0");
  demand(relative_positional_bias != RelativeBias::simple || chunk_size <= max_positions, "chunk_size <= max_positions with the simple bias",
         fmt::format("chunk_size {}, max_positions {}", chunk_size, max_positions));
  demand(pad_token_id < vocab_size, fmt::format("pad_token_id below vocab_size = {}", vocab_size), fmt::format("{}", pad_token_id));
  demand(!(is_decoder && bidirectional), "bidirectional = false with is_decoder", "both true",
         "moving averages from both sides would see the tokens to predict");
  demand(!add_cross_attention || is_decoder, "is_decoder = true with add_cross_attention", "an encoder with cross-attention");
}

void Config::adopt_public_defaults(const KeySet& given) {
  if (!given.contains("rmsnorm_weight_only")) rmsnorm_weight_only = true;
}

std::shared_ptr<Model> Config::build() const {
  validate();
  return std::make_shared<MegaModel>(*this);
}

int64_t Config::parameter_count() const {
  const int64_t D = hidden_size, U = intermediate_size, Z = shared_representation_size, F = nffn_hidden_size, V = vocab_size;
  const int64_t kernels = (bidirectional ? 2 : 1) * D;
  const bool shifts = normalization_type == Normalization::layernorm || normalization_type == Normalization::batchnorm ||
                      normalization_type == Normalization::syncbatchnorm;
  const int64_t norm = !norm_affine ? 0 : normalization_type == Normalization::scalenorm ? 1 : shifts ? 2 * D : D;
  const int64_t bias = relative_positional_bias == RelativeBias::simple ? 2 * max_positions - 1 : 2 * Z;
  const int64_t attention = 4 * kernels * ema_projection_size + D + (D * U + U) + (D + 1) * (Z + U + 2 * D) + (U * D + D) + 4 * Z + bias + norm;
  const int64_t ffn = use_normalized_ffn ? 2 * D * F + F + D + norm : 0;
  const int64_t cross = add_cross_attention ? (D * Z + Z) + 2 * (D * D + D) + (D + 1) * (2 * D + Z) + bias + norm : 0;
  const int64_t embeddings = V * D + (add_token_type_embeddings ? type_vocab_size * D : 0);
  const int64_t last = final_norm != FinalNorm::affine ? 0 : normalization_type == Normalization::scalenorm ? 1 : shifts ? 2 * D : D;
  const int64_t head = (add_lm_hidden_dense_layer ? D * D + D : 0) + V + (tie_word_embeddings ? 0 : V * D);
  return embeddings + num_hidden_layers * (attention + cross + ffn) + last + head;
}

int64_t Config::state_bytes_per_row(int64_t position, int64_t element_bytes) const {
  const int64_t kept = use_chunking ? chunk_size : position, recurrent_bytes = element_bytes == 8 ? 8 : 4;
  const int64_t layer = hidden_size * ema_projection_size * recurrent_bytes + kept * (shared_representation_size + intermediate_size) * element_bytes;
  return num_hidden_layers * layer + kept + 8;
}

bool Config::finishes_by_span() const {
  const bool over_the_batch = normalization_type == Normalization::batchnorm || normalization_type == Normalization::syncbatchnorm;
  return use_chunking && !streams() && !use_feature_dropout && !over_the_batch;
}

int64_t Config::activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const {
  const int64_t D = hidden_size, U = intermediate_size, Z = shared_representation_size, F = use_normalized_ffn ? nffn_hidden_size : 0;
  const int64_t layer = (14 * D + 7 * U + 5 * Z + 3 * F) * element_bytes + 2 * D * 4;  // the norms keep their input in fp32
  if (!checkpointed) return num_tokens * num_hidden_layers * layer;
  const int64_t at_once = finishes_by_span() ? std::min(num_tokens, kCheckpointSpanTokens) : num_tokens;
  const int64_t filtered = at_once < num_tokens ? 8 * D * element_bytes : 0;  // what finishing a span leaves whole: the averages and their gradients
  return num_tokens * (num_hidden_layers * D * element_bytes + filtered) + at_once * layer;
}

}  // namespace everlong::models::mega
