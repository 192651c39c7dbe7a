#include "everlong/models/mega/config.h"

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
constexpr Names<RelativeBias, 2> kRelativeBiases{{{"rotary", RelativeBias::rotary}, {"simple", RelativeBias::simple}}};
constexpr Names<ops::AttentionFunction, 3> kAttentionFunctions{{{"softmax", ops::AttentionFunction::softmax},
                                                                {"relu2", ops::AttentionFunction::relu2},
                                                                {"laplace", ops::AttentionFunction::laplace}}};

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
      .add("chunk_size", c.chunk_size, "tokens in an attention chunk (C); -1 = none. Any value >= 0 is also the reach of the relative bias", {.min = -1})
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

std::vector<checkpoint::NameRule> with_prefix(std::string_view ours, std::string_view theirs, const std::vector<checkpoint::NameRule>& rules) {
  std::vector<checkpoint::NameRule> prefixed;
  for (const auto& rule : rules)
    prefixed.push_back({.ours = fmt::format("{}{}", ours, rule.ours), .theirs = fmt::format("{}{}", theirs, rule.theirs), .trailing_one = rule.trailing_one});
  return prefixed;
}

const std::vector<checkpoint::NameRule> kNormRules = {{"weight", "weight"},
                                                      {"bias", "bias"},
                                                      {"scale", "scalar"},
                                                      {"running_mean", "running_mean"},
                                                      {"running_var", "running_var"},
                                                      {"num_batches_tracked", "num_batches_tracked"}};
const std::vector<checkpoint::NameRule> kLinearRules = {{"weight", "weight"}, {"bias", "bias"}};
const std::vector<checkpoint::NameRule> kBiasRules = {{"table", "rel_pos_bias"}, {"alpha", "alpha"}, {"beta", "b_param"}};

/// Names of what stands on top, by Hugging Face's class.
template <class Add>
void add_head_rules(Task task, const Add& add) {
  const bool pools = task == Task::multiple_choice || task == Task::embedding;
  add(pools ? "head.pooler." : "", "mega.pooler.dense.", pools ? kLinearRules : std::vector<checkpoint::NameRule>{{"", "weight"}, {"", "bias"}});
  switch (task) {
    case Task::causal_lm:
    case Task::masked_lm:
      add("head.dense.", "dense.", kLinearRules);
      add("head.output.", task == Task::causal_lm ? "lm_head." : "mlm_head.", kLinearRules);
      break;
    case Task::sequence_classification:
      add("head.dense.", "classifier.dense.", kLinearRules);
      add("head.output.", "classifier.out_proj.", kLinearRules);
      break;
    case Task::token_classification:
    case Task::multiple_choice: add("head.output.", "classifier.", kLinearRules); break;
    case Task::question_answering: add("head.output.", "qa_outputs.", kLinearRules); break;
    case Task::embedding: break;
  }
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
  demand(!(is_decoder && bidirectional), "bidirectional = false with is_decoder", "both true", "moving averages from both sides would see the tokens to predict");
  demand(!add_cross_attention || is_decoder, "is_decoder = true with add_cross_attention", "an encoder with cross-attention");
}

void Config::adopt_public_defaults(const KeySet& given) {
  if (!given.contains("rmsnorm_weight_only")) rmsnorm_weight_only = true;
}

std::shared_ptr<Model> Config::build() const {
  validate();
  return std::make_shared<MegaModel>(*this);
}

std::string_view Config::head_class(Task task) const {
  switch (task) {
    case Task::causal_lm: return "MegaForCausalLM";
    case Task::masked_lm: return "MegaForMaskedLM";
    case Task::sequence_classification: return "MegaForSequenceClassification";
    case Task::token_classification: return "MegaForTokenClassification";
    case Task::multiple_choice: return "MegaForMultipleChoice";
    case Task::question_answering: return "MegaForQuestionAnswering";
    case Task::embedding: return "MegaModel";
  }
  return "";
}

std::vector<checkpoint::NameRule> Config::name_rules(Task task) const {
  std::vector<checkpoint::NameRule> rules = {
      {"model.embedding.weight", "mega.embedding_layer.word_embeddings.weight"},
      {"model.token_type_embedding.weight", "mega.embedding_layer.token_type_embeddings.weight"},
      {"", "mega.layers.*.mega_layer.rel_pos_bias._float_tensor"},  // carries dtype and device upstream
      {"", "mega.layers.*.cross_attn.rel_pos_bias._float_tensor"},
  };
  const auto add = [&](std::string_view ours, std::string_view theirs, const std::vector<checkpoint::NameRule>& inner) {
    const auto prefixed = with_prefix(ours, theirs, inner);
    rules.insert(rules.end(), prefixed.begin(), prefixed.end());
  };
  add_head_rules(task, add);
  add("model.layers.*.attention.norm.", "mega.layers.*.mega_layer.norm.norm.", kNormRules);
  add("model.layers.*.attention.ema.", "mega.layers.*.mega_layer.ema_gate.",
      {{"damping", "damping_factor", true},
       {"decay", "decay_factor", true},
       {"expansion", "ema_expansion_matrix", true},
       {"projection", "kernel_projection_matrix"},
       {"residual", "residual_weight"}});
  add("model.layers.*.attention.value_proj.", "mega.layers.*.mega_layer.v_proj.", kLinearRules);
  add("model.layers.*.attention.mixed_proj.", "mega.layers.*.mega_layer.mx_proj.", kLinearRules);
  add("model.layers.*.attention.output_proj.", "mega.layers.*.mega_layer.h_proj.", kLinearRules);
  add("model.layers.*.attention.", "mega.layers.*.mega_layer.", {{"qk_scale", "qk_weight"}, {"qk_offset", "qk_bias"}});
  add("model.layers.*.attention.relative_bias.", "mega.layers.*.mega_layer.rel_pos_bias.", kBiasRules);
  add("model.layers.*.cross_attention.norm.", "mega.layers.*.cross_attn.norm.norm.", kNormRules);
  for (const auto& [ours, theirs] : {std::pair("key_proj.", "k_proj."), {"value_proj.", "v_proj."}, {"mixed_proj.", "q_proj."}, {"output_proj.", "h_proj."}})
    add(fmt::format("model.layers.*.cross_attention.{}", ours), fmt::format("mega.layers.*.cross_attn.{}", theirs), kLinearRules);
  add("model.layers.*.cross_attention.relative_bias.", "mega.layers.*.cross_attn.rel_pos_bias.", kBiasRules);
  add("model.layers.*.ffn.norm.", "mega.layers.*.nffn.norm.norm.", kNormRules);
  add("model.layers.*.ffn.up.", "mega.layers.*.nffn.fc1.", kLinearRules);
  add("model.layers.*.ffn.down.", "mega.layers.*.nffn.fc2.", kLinearRules);
  return rules;
}

std::vector<std::string> Config::adapt_public_tensors(checkpoint::TensorMap& tensors) const {
  std::vector<std::string> notes;
  if (bidirectional) return notes;
  for (auto& [name, tensor] : tensors) {
    const bool kernel = name.find(".ema_gate.") != std::string::npos && !name.ends_with("residual_weight");
    if (!kernel || tensor.dim() < 2 || tensor.size(0) != 2 * hidden_size) continue;
    tensor = tensor.narrow(0, 0, hidden_size);
    if (notes.empty()) notes.push_back("the file is of a bidirectional model; this one takes the forward half of its moving averages");
  }
  return notes;
}

std::vector<Placeholder> Config::placeholders() const {
  std::vector<Placeholder> all;
  if (relative_positional_bias != RelativeBias::rotary) return all;
  for (int64_t layer = 0; layer < num_hidden_layers; ++layer) {
    all.push_back({.name = fmt::format("mega.layers.{}.mega_layer.rel_pos_bias._float_tensor", layer), .shape = {1}});
    if (add_cross_attention) all.push_back({.name = fmt::format("mega.layers.{}.cross_attn.rel_pos_bias._float_tensor", layer), .shape = {1}});
  }
  return all;
}

int64_t Config::parameter_count() const {
  const int64_t D = hidden_size, U = intermediate_size, Z = shared_representation_size, F = nffn_hidden_size, V = vocab_size;
  const int64_t kernels = (bidirectional ? 2 : 1) * D;
  const bool shifts = normalization_type == Normalization::layernorm || normalization_type == Normalization::batchnorm ||
                      normalization_type == Normalization::syncbatchnorm;
  const int64_t norm = !norm_affine ? 0 : normalization_type == Normalization::scalenorm ? 1 : shifts ? 2 * D : D;
  const int64_t bias = relative_positional_bias == RelativeBias::simple ? 2 * max_positions - 1 : 2 * Z;
  const int64_t attention =
      4 * kernels * ema_projection_size + D + (D * U + U) + (D + 1) * (Z + U + 2 * D) + (U * D + D) + 4 * Z + bias + norm;
  const int64_t ffn = use_normalized_ffn ? 2 * D * F + F + D + norm : 0;
  const int64_t cross = add_cross_attention ? (D * Z + Z) + 2 * (D * D + D) + (D + 1) * (2 * D + Z) + bias + norm : 0;
  const int64_t embeddings = V * D + (add_token_type_embeddings ? type_vocab_size * D : 0);
  const int64_t head = (add_lm_hidden_dense_layer ? D * D + D : 0) + V + (tie_word_embeddings ? 0 : V * D);
  return embeddings + num_hidden_layers * (attention + cross + ffn) + head;
}

int64_t Config::state_bytes_per_row(int64_t position, int64_t element_bytes) const {
  const int64_t kept = use_chunking ? chunk_size : position, recurrent_bytes = element_bytes == 8 ? 8 : 4;
  const int64_t layer = hidden_size * ema_projection_size * recurrent_bytes + kept * (shared_representation_size + intermediate_size) * element_bytes;
  return num_hidden_layers * layer + kept + 8;
}

int64_t Config::activation_bytes_per_token(int64_t element_bytes, bool checkpointed) const {
  const int64_t D = hidden_size, U = intermediate_size, Z = shared_representation_size, F = use_normalized_ffn ? nffn_hidden_size : 0;
  const int64_t layer = (14 * D + 7 * U + 5 * Z + 3 * F) * element_bytes + 2 * D * 4;  // the norms keep their input in fp32
  return checkpointed ? num_hidden_layers * D * element_bytes + layer : num_hidden_layers * layer;
}

}  // namespace everlong::models::mega
