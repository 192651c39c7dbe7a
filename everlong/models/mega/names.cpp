// Names of MEGA's tensors in Hugging Face's dialect, and what makes files of a near relative fit.

#include <fmt/format.h>

#include "everlong/models/mega/config.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::mega {
namespace {

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
      add("head.pixels.", "classifier.pixels.", kLinearRules);
      break;
    case Task::token_classification:
    case Task::multiple_choice: add("head.output.", "classifier.", kLinearRules); break;
    case Task::question_answering: add("head.output.", "qa_outputs.", kLinearRules); break;
    case Task::embedding: break;
  }
}

}  // namespace

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
  add("model.final_norm.", "mega.final_norm.norm.", kNormRules);
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

void Config::become_decoder() {
  is_decoder = true;
  bidirectional = false;
}

std::vector<std::string> Config::unknown_to_public_code() const {
  std::vector<std::string> keys;
  if (final_norm != FinalNorm::none) keys.push_back(fmt::format("final_norm = {}", final_norm == FinalNorm::plain ? "plain" : "affine"));
  if (embedding_scale != 1) keys.push_back(fmt::format("embedding_scale = {}", embedding_scale));
  const bool normalises = normalization_type == Normalization::rmsnorm && !rmsnorm_weight_only;
  if (normalises) keys.emplace_back("rmsnorm_weight_only = false");
  return keys;
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

}  // namespace everlong::models::mega
