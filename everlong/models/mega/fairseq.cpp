// Checkpoints of the original release (fairseq, facebookresearch/mega): settings, shapes and names to Hugging Face's and back.
// Source   specification appendix B; mega_lm.py, lra/mega_lra_encoder.py of the release; the masked-LM wrapper that Hugging Face's converter reads.

#include <cmath>
#include <set>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/mega/config.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {
namespace {

enum class Kind { language_model, classifier, wrapper };

/// Where one kind of original model keeps what; names of settings begin with `settings`.
struct Layout {
  Kind kind;
  std::string_view base, layers, embedding, settings;
};

constexpr std::array<Layout, 4> kLayouts{{{Kind::language_model, "decoder.", "decoder.layers.", "decoder.embed_tokens.weight", "decoder_"},
                                          {Kind::classifier, "encoder.encoder.", "encoder.encoder.layers.", "encoder.encoder.embed_tokens.embed.weight", "encoder_"},
                                          {Kind::wrapper, "mega.", "mega.encoders.", "mega.embedding_layer.weight", "encoder_"},
                                          {Kind::wrapper, "", "encoders.", "embedding_layer.weight", "encoder_"}}};

constexpr std::string_view kPublicLayers = "mega.layers.";
constexpr std::string_view kPublicEmbedding = "mega.embedding_layer.word_embeddings.weight";

/// Ends of names below a layer: original, Hugging Face's.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kEnds{{{".mega_layer.move.delta", ".mega_layer.ema_gate.damping_factor"},
                                                                              {".mega_layer.move.alpha", ".mega_layer.ema_gate.decay_factor"},
                                                                              {".mega_layer.move.beta", ".mega_layer.ema_gate.ema_expansion_matrix"},
                                                                              {".mega_layer.move.gamma", ".mega_layer.ema_gate.kernel_projection_matrix"},
                                                                              {".mega_layer.move.omega", ".mega_layer.ema_gate.residual_weight"},
                                                                              {".mega_layer.gamma", ".mega_layer.qk_weight"},
                                                                              {".mega_layer.beta", ".mega_layer.qk_bias"},
                                                                              {".rel_pos_bias.beta", ".rel_pos_bias.b_param"}}};

std::string exchange_end(const std::string& name, bool to_public) {
  for (const auto& [original, theirs] : kEnds) {
    const auto from = to_public ? original : theirs, to = to_public ? theirs : original;
    if (name.ends_with(from)) return name.substr(0, name.size() - from.size()) + std::string(to);
  }
  return name;
}

const Layout* find_layout(const checkpoint::TensorMap& tensors) {
  for (const Layout& layout : kLayouts)
    if (tensors.contains(fmt::format("{}0.mega_layer.move.delta", layout.layers))) return &layout;
  return nullptr;
}

/// Settings and tensors of one file, asked for by name.
class Original {
 public:
  Original(const checkpoint::TrainingFile& file, const Layout& layout) : file_(file), layout_(layout) {}

  [[noreturn]] void refuse(std::string_view what, std::string_view needed) const {
    throw Unsupported({.where = file_.path.string(), .expected = std::string(needed), .got = std::string(what)});
  }

  /// The first of the settings that is there and not null; names may come with the prefix of the layout.
  [[nodiscard]] const ConfigValue* setting(std::initializer_list<std::string_view> names) const {
    for (const std::string_view name : names)
      for (const std::string& key : {fmt::format("{}{}", layout_.settings, name), std::string(name)})
        if (const auto found = file_.settings.find(key); found != file_.settings.end() && !std::holds_alternative<std::monostate>(found->second))
          return &found->second;
    return nullptr;
  }
  [[nodiscard]] bool flag(std::initializer_list<std::string_view> names) const {
    const ConfigValue* value = setting(names);
    return value != nullptr && std::get_if<bool>(value) != nullptr && std::get<bool>(*value);
  }
  [[nodiscard]] int64_t integer(std::initializer_list<std::string_view> names, int64_t otherwise) const {
    const ConfigValue* value = setting(names);
    return value != nullptr && std::get_if<int64_t>(value) != nullptr ? std::get<int64_t>(*value) : otherwise;
  }

  [[nodiscard]] bool has(const std::string& name) const { return file_.tensors.contains(name); }
  [[nodiscard]] bool has_in_layer(std::string_view end) const { return has(in_layer(end)); }
  /// A tensor of the first layer. Errors  FormatError if it is missing or has another number of dimensions
  [[nodiscard]] const at::Tensor& of_layer(std::string_view end, int64_t dims) const { return tensor(in_layer(end), dims); }
  [[nodiscard]] const at::Tensor& tensor(const std::string& name, int64_t dims) const {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end()) throw FormatError({.file = file_.path.string(), .field = name}, "a tensor", "nothing");
    const bool sound = found->second.dim() == dims && found->second.numel() > 0;
    if (!sound) throw FormatError({.file = file_.path.string(), .field = name}, fmt::format("{} dimensions", dims), fmt::format("{}", found->second.dim()));
    return found->second;
  }
  [[nodiscard]] int64_t num_layers() const {
    int64_t count = 0;
    while (has(fmt::format("{}{}.mega_layer.move.delta", layout_.layers, count))) ++count;
    return count;
  }

 private:
  [[nodiscard]] std::string in_layer(std::string_view end) const { return fmt::format("{}0.{}", layout_.layers, end); }

  const checkpoint::TrainingFile& file_;
  const Layout& layout_;
};

/// What this library has no module for, each with its reason.
void refuse_what_has_no_place(const checkpoint::TrainingFile& file, const Layout& layout, const Original& original) {
  for (const auto& entry : file.tensors) {
    const std::string& name = entry.first;
    const auto is = [&](std::string_view part) { return name.find(part) != std::string::npos; };
    if (is("embed_norm.")) original.refuse("normalize_embedding, " + name, "a model without a norm of its embeddings");
    if (is("adaptive_softmax.") || is("embed_tokens.embeddings.")) original.refuse("adaptive_input or adaptive softmax, " + name, "one embedding matrix [V, D]");
    if (is("project_in_dim.")) original.refuse("decoder_input_dim other than decoder_embed_dim, " + name, "embeddings as wide as the model");
    if (is(".cross_attn.")) original.refuse("an encoder-decoder model, " + name, "a language model or an encoder");
  }
  if (layout.kind == Kind::classifier && original.has("encoder.encoder.embed_tokens.weight"))
    original.refuse("input_type = image, encoder.encoder.embed_tokens.weight", "a model that reads tokens");
}

void set_sizes(Config& config, const Original& original, const Layout& layout) {
  const at::Tensor& embedding = original.tensor(std::string(layout.embedding), 2);
  config.vocab_size = embedding.size(0);
  config.hidden_size = embedding.size(1);
  config.num_hidden_layers = original.num_layers();
  const at::Tensor& delta = original.of_layer("mega_layer.move.delta", 3);
  config.bidirectional = delta.size(0) == 2 * config.hidden_size;
  config.ema_projection_size = delta.size(1);
  config.intermediate_size = original.of_layer("mega_layer.v_proj.weight", 2).size(0);
  config.shared_representation_size = original.of_layer("mega_layer.gamma", 2).size(1);
  config.use_normalized_ffn = original.has_in_layer("nffn.fc1.weight");
  if (config.use_normalized_ffn) config.nffn_hidden_size = original.of_layer("nffn.fc1.weight", 2).size(0);
  config.chunk_size = original.integer({"chunk_size"}, -1);
  if (config.chunk_size <= 0) config.chunk_size = -1;
  config.use_chunking = config.chunk_size > 0;
  const int64_t truncation = original.integer({"truncation_length"}, 0);
  config.truncation = truncation > 0 ? std::optional(truncation) : std::nullopt;  // 0 is what the release's own recipes give for none
  config.max_positions = original.integer({"max_target_positions", "max_positions", "max_source_positions", "tokens_per_sample"}, config.max_positions);
  config.relative_positional_bias = original.has_in_layer("mega_layer.rel_pos_bias.alpha") ? RelativeBias::rotary : RelativeBias::simple;
  if (config.relative_positional_bias == RelativeBias::rotary) return;
  const int64_t reach = (original.of_layer("mega_layer.rel_pos_bias.rel_pos_bias", 1).size(0) + 1) / 2;
  config.max_positions = config.use_chunking ? std::max(config.max_positions, reach) : reach;
}

/// The type by the tensors; a norm without any says its name in the settings.
void set_norms(Config& config, const Original& original, const Layout& layout) {
  const std::string norm = "mega_layer.norm.norm.";
  config.norm_affine = original.has_in_layer(norm + "weight") || original.has_in_layer(norm + "scalar");
  if (original.has_in_layer(norm + "running_mean")) {
    config.normalization_type = Normalization::batchnorm;
  } else if (original.has_in_layer(norm + "scalar")) {
    config.normalization_type = Normalization::scalenorm;
  } else if (config.norm_affine) {
    config.normalization_type = original.has_in_layer(norm + "bias") ? Normalization::layernorm : Normalization::rmsnorm;
  }
  config.normalize_before_mega = config.normalize_before_ffn = original.flag({"normalize_before"});
  const std::string last = std::string(layout.base) + "final_norm.norm.";
  const bool affine = original.has(last + "weight") || original.has(last + "scalar");
  const bool plain = layout.kind == Kind::language_model && config.normalize_before_mega && original.flag({"no_affine_final_norm"});
  config.final_norm = affine ? FinalNorm::affine : plain ? FinalNorm::plain : FinalNorm::none;
  config.rmsnorm_weight_only = false;
}

void set_functions(Config& config, const Original& original, Kind kind) {
  const Fields fields = config.fields();
  const auto take = [&](std::string_view key, std::initializer_list<std::string_view> names) {
    if (const ConfigValue* value = original.setting(names)) fields.set(key, *value);
  };
  take("normalization_type", {"normalization_type", "norm_type"});
  take("activation", {"activation_fn"});
  take("attention_activation", {"attention_activation_fn"});
  take("dropout_prob", {"dropout"});
  take("attention_probs_dropout_prob", {"attention_dropout"});
  take("hidden_dropout_prob", {"hidden_dropout", "act_dropout"});
  config.nffn_activation_dropout_prob = 0;
  take("nffn_activation_dropout_prob", {"activation_dropout", "act_dropout"});
  take("use_feature_dropout", {"feature_dropout"});
  config.is_decoder = kind == Kind::language_model;
  config.embedding_scale = kind != Kind::language_model || original.flag({"no_scale_embedding"}) ? 1 : std::sqrt(static_cast<double>(config.hidden_size));
}

/// The public name of a tensor of the file; empty = it has no place.
std::string public_name(const std::string& name, const Layout& layout) {
  if (name.starts_with(layout.layers)) return exchange_end(fmt::format("{}{}", kPublicLayers, name.substr(layout.layers.size())), true);
  if (name == layout.embedding) return std::string(kPublicEmbedding);
  const std::string last = std::string(layout.base) + "final_norm.norm.";
  if (name.starts_with(last)) return "mega.final_norm.norm." + name.substr(last.size());
  if (layout.kind == Kind::language_model && name == "decoder.output_projection.weight") return "lm_head.weight";
  const bool of_classifier = name.starts_with("classifier.") || name.starts_with("sentence_projection_layer.") || name.ends_with("decoder.version");
  if (of_classifier || name.ends_with("_float_tensor")) return {};
  return name;  // heads; what nothing knows is reported as unexpected
}

/// A table of 2 C - 1 entries into the first of 2 max_positions - 1: the others are never read.
at::Tensor widened(const at::Tensor& table, int64_t positions) {
  const int64_t entries = 2 * positions - 1;
  if (table.dim() != 1 || table.size(0) >= entries) return table;
  at::Tensor wide = at::zeros({entries}, table.options());
  wide.narrow(0, 0, table.size(0)).copy_(table);
  return wide;
}

bool same_weights(const checkpoint::TensorMap& tensors, std::string_view head) {
  const auto output = tensors.find(std::string(head)), embedding = tensors.find(std::string(kPublicEmbedding));
  return output == tensors.end() || (embedding != tensors.end() && at::equal(output->second, embedding->second));
}

/// What the original's classes would compute otherwise, or have no place for.
void refuse_for_original(const Config& config, Task task) {
  const auto refuse = [](bool wrong, std::string_view what, std::string_view needed) {
    if (wrong) throw Unsupported({.where = "convert to fairseq", .expected = std::string(needed), .got = std::string(what)});
  };
  const bool scaled = config.embedding_scale != 1;
  refuse(config.normalization_type == Normalization::rmsnorm && config.rmsnorm_weight_only, "rmsnorm_weight_only = true", "rmsnorm that normalises, as the original has it");
  refuse(config.add_token_type_embeddings, "add_token_type_embeddings = true", "a model without token types");
  refuse(config.add_cross_attention, "add_cross_attention = true", "a language model or an encoder");
  refuse(config.normalize_before_mega != config.normalize_before_ffn, "normalize_before_mega unlike normalize_before_ffn", "both norms before or both after");
  refuse(!config.use_chunking && config.chunk_size >= 0, "chunk_size without use_chunking", "chunking, or chunk_size = -1");
  refuse(task != Task::causal_lm && (config.final_norm != FinalNorm::none || scaled), "final_norm or embedding_scale", "an encoder without them");
  refuse(scaled && std::abs(config.embedding_scale - std::sqrt(static_cast<double>(config.hidden_size))) > 1e-9,
         fmt::format("embedding_scale = {}", config.embedding_scale), "1 or sqrt(hidden_size)");
}

checkpoint::Settings original_settings(const Config& config, Task task, const Layout& layout) {
  const std::string prefix(layout.settings);
  checkpoint::Settings settings = {{prefix + "embed_dim", config.hidden_size},
                                   {prefix + "hidden_dim", config.intermediate_size},
                                   {prefix + "z_dim", config.shared_representation_size},
                                   {prefix + "n_dim", config.ema_projection_size},
                                   {prefix + "ffn_embed_dim", config.use_normalized_ffn ? config.nffn_hidden_size : 0},
                                   {prefix + "chunk_size", config.chunk_size},
                                   {prefix + "layers", config.num_hidden_layers},
                                   {"bidirectional", config.bidirectional},
                                   {"normalize_before", config.normalize_before_mega},
                                   {"feature_dropout", config.use_feature_dropout},
                                   {"dropout", config.dropout_prob},
                                   {"attention_dropout", config.attention_probs_dropout_prob},
                                   {"hidden_dropout", config.hidden_dropout_prob},
                                   {"activation_dropout", config.nffn_activation_dropout_prob},
                                   {"truncation_length", config.truncation ? ConfigValue(*config.truncation) : ConfigValue()}};
  Config copy = config;
  const Fields fields = copy.fields();
  for (const auto& [key, ours] : {std::pair("activation_fn", "activation"), {"attention_activation_fn", "attention_activation"},
                                  {"normalization_type", "normalization_type"}, {"rel_pos_bias", "relative_positional_bias"}})
    settings[key] = fields.find(ours)->get();
  settings[task == Task::causal_lm ? "max_target_positions" : "max_source_positions"] = config.max_positions;
  if (task != Task::causal_lm) return settings;
  settings["arch"] = std::string("mega_lm");
  settings["no_scale_embedding"] = config.embedding_scale == 1;
  settings["no_affine_final_norm"] = config.final_norm == FinalNorm::plain;
  settings["share_decoder_input_output_embed"] = config.tie_word_embeddings;
  return settings;
}

std::string original_name(const std::string& name, Task task, const Layout& layout) {
  if (name.starts_with(kPublicLayers)) return exchange_end(fmt::format("{}{}", layout.layers, name.substr(kPublicLayers.size())), false);
  if (name == kPublicEmbedding) return std::string(layout.embedding);
  if (name.starts_with("mega.final_norm.")) return std::string(layout.base) + name.substr(std::string_view("mega.").size());
  if (task == Task::causal_lm && name == "lm_head.weight") return "decoder.output_projection.weight";
  return name;
}

}  // namespace

std::optional<AdoptedCheckpoint> Config::adopt_original(const checkpoint::TrainingFile& file) {
  const Layout* layout = find_layout(file.tensors);
  if (layout == nullptr) return std::nullopt;
  const Original original(file, *layout);
  refuse_what_has_no_place(file, *layout, original);
  if (file.settings.empty())
    throw FormatError({.file = file.path.string(), .field = "args"}, "the settings of the training, in args or cfg.model", "nothing",
                      "the attention function and the place of the norms are not to be seen in the tensors");
  set_sizes(*this, original, *layout);
  set_norms(*this, original, *layout);
  set_functions(*this, original, layout->kind);

  AdoptedCheckpoint adopted;
  for (const auto& [name, tensor] : file.tensors) {
    const std::string theirs = public_name(name, *layout);
    if (theirs.empty()) {
      adopted.ignored.push_back(name);
      continue;
    }
    const bool table = relative_positional_bias == RelativeBias::simple && theirs.ends_with("rel_pos_bias.rel_pos_bias");
    adopted.tensors[theirs] = table ? widened(tensor, max_positions) : tensor;
    if (theirs != name) adopted.renamed.emplace_back(name, theirs);
  }
  const bool masked = layout->kind == Kind::wrapper && (adopted.tensors.contains("mlm_head.weight") || adopted.tensors.contains("mlm_head.bias"));
  adopted.task = layout->kind == Kind::language_model ? Task::causal_lm : masked ? Task::masked_lm : Task::embedding;
  add_lm_hidden_dense_layer = adopted.tensors.contains("dense.weight");
  tie_word_embeddings = same_weights(adopted.tensors, adopted.task == Task::causal_lm ? "lm_head.weight" : "mlm_head.weight");
  if (layout->kind == Kind::classifier)
    adopted.notes.emplace_back("the classifier of the Long Range Arena model has no counterpart here and is left out: the mean over time is everlong embed's");
  if (layout->kind != Kind::wrapper)
    adopted.notes.emplace_back("the original sets embeddings and outputs of padding to zero; here they keep their values, which no token sees");
  return adopted;
}

OriginalCheckpoint Config::original_checkpoint(Dialect dialect, Task task, const checkpoint::TensorMap& tensors) const {
  if (dialect != Dialect::fairseq) return ArchitectureConfig::original_checkpoint(dialect, task, tensors);
  refuse_for_original(*this, task);
  const bool causal = task == Task::causal_lm;
  const Layout& layout = kLayouts[causal ? 0 : 2];
  OriginalCheckpoint original{.tensors = {}, .settings = original_settings(*this, task, layout), .metadata = {}, .renamed = {}, .notes = {}};
  if (causal && normalize_before_mega && final_norm == FinalNorm::none)
    original.notes.emplace_back("the original's language models with pre-norm have a final norm, this one has none: mega_lm will say that it is missing");
  if (causal && add_lm_hidden_dense_layer)
    original.notes.emplace_back("the original's language models have no dense layer before the output: mega_lm will not know dense.*");
  for (const auto& [name, tensor] : tensors) {
    if (causal && name == "lm_head.bias") {
      if (tensor.count_nonzero().item<int64_t>() == 0) continue;
      original.notes.emplace_back("the original's language models have no bias of the output: mega_lm will not know lm_head.bias");
    }
    const std::string theirs = original_name(name, task, layout);
    const bool table = use_chunking && name.ends_with("rel_pos_bias.rel_pos_bias");
    original.tensors[theirs] = table ? tensor.narrow(0, 0, 2 * chunk_size - 1).clone() : tensor;
    if (theirs != name) original.renamed.emplace_back(name, theirs);
  }
  const at::Tensor& embedding = original.tensors.at(std::string(layout.embedding));
  if (task == Task::masked_lm) original.tensors.try_emplace("mlm_head.weight", embedding);  // the original's modules have both names
  if (!causal) return original;
  original.tensors["decoder.version"] = at::full({1}, 3, at::kFloat);
  original.tensors.try_emplace("decoder.output_projection.weight", embedding);
  return original;
}

}  // namespace everlong::models::mega
