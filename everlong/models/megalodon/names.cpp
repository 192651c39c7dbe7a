// Names of Megalodon's tensors in the dialect of the release, and what its files hold beside the parameters.
// Source   specification 3.1.

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/models/megalodon/rotary.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

constexpr const char* kFrequencies = "rope.freqs";

/// Prefixes of the timestep norms' names.
std::vector<std::string> norm_prefixes(int64_t num_layers) {
  std::vector<std::string> prefixes;
  for (int64_t i = 0; i < num_layers; ++i) prefixes.push_back(fmt::format("layers.{}.mega.timenorm.", i));
  prefixes.emplace_back("output.final_norm.");
  return prefixes;
}

void add_layer_rules(std::vector<checkpoint::NameRule>& rules) {
  const auto add = [&](std::string_view ours, std::string_view theirs) {
    rules.push_back({fmt::format("model.layers.*.{}", ours), fmt::format("layers.*.{}", theirs)});
  };
  for (const char* name : {"alpha", "delta", "theta", "gamma", "omega"})
    add(fmt::format("attention.ema.{}", name), fmt::format("mega.cema.{}", name));
  add("attention.ema_norm.weight", "mega.rmsnorm.weight");
  add("attention.qk_scale", "mega.gamma");
  add("attention.qk_offset", "mega.beta");
  add("ffn.scale", "nffn.alpha");
  for (const char* kind : {"weight", "bias"}) {
    for (const auto& [ours, theirs] : {std::pair("attention.norm", "mega.timenorm"),
                                       {"attention.shared_proj", "mega.wz"},
                                       {"attention.value_proj", "mega.wv"},
                                       {"attention.gate_proj", "mega.wr"},
                                       {"attention.candidate_proj", "mega.wh1"},
                                       {"attention.output_proj", "mega.wh2"},
                                       {"ffn.norm", "nffn.norm"},
                                       {"ffn.gate", "nffn.fc1"},
                                       {"ffn.up", "nffn.fc3"},
                                       {"ffn.down", "nffn.fc2"}})
      add(fmt::format("{}.{}", ours, kind), fmt::format("{}.{}", theirs, kind));
  }
}

void add_head_rules(std::vector<checkpoint::NameRule>& rules, Task task) {
  const bool language = task == Task::causal_lm || task == Task::masked_lm, pools = task == Task::multiple_choice || task == Task::embedding;
  for (const std::string kind : {"weight", "bias"}) {
    if (pools) rules.push_back({"head.pooler." + kind, "pooler." + kind});
    rules.push_back({"head.dense." + kind, "classifier.dense." + kind});
    rules.push_back({"head.output." + kind, (language ? "output.output." : "classifier.out_proj.") + kind});
  }
}

}  // namespace

std::string_view Config::head_class(Task task) const {
  if (causal) return task == Task::causal_lm ? "MegalodonForCausalLM" : "";
  switch (task) {
    case Task::causal_lm:
      return "";
    case Task::masked_lm:
      return "MegalodonForMaskedLM";
    case Task::sequence_classification:
      return "MegalodonForSequenceClassification";
    case Task::token_classification:
      return "MegalodonForTokenClassification";
    case Task::multiple_choice:
      return "MegalodonForMultipleChoice";
    case Task::question_answering:
      return "MegalodonForQuestionAnswering";
    case Task::embedding:
      return "MegalodonModel";
  }
  return "";
}

std::vector<checkpoint::NameRule> Config::name_rules(Task task) const {
  std::vector<checkpoint::NameRule> rules = {{"model.embedding.weight", "embed.weight"},
                                             {"model.rope_frequencies", kFrequencies},
                                             {"model.final_norm.weight", "output.final_norm.weight"},
                                             {"model.final_norm.bias", "output.final_norm.bias"}};
  for (const char* prior : {"prior_count", "prior_mean", "prior_logv"})
    for (const char* norm : {"layers.*.mega.timenorm.", "output.final_norm."}) rules.push_back({"", fmt::format("{}{}", norm, prior)});
  add_head_rules(rules, task);
  add_layer_rules(rules);
  return rules;
}

std::vector<Placeholder> Config::placeholders() const {
  std::vector<Placeholder> all;
  for (const std::string& norm : norm_prefixes(num_layers)) {
    all.push_back({.name = norm + "prior_count", .shape = {}, .dtype = at::kLong});
    all.push_back({.name = norm + "prior_mean", .shape = {norm_num_groups}});
    all.push_back({.name = norm + "prior_logv", .shape = {norm_num_groups}});
  }
  return all;
}

std::vector<std::string> Config::adapt_public_tensors(checkpoint::TensorMap& tensors) const {
  std::vector<std::string> notes;
  for (const std::string& norm : norm_prefixes(num_layers)) {
    const auto count = tensors.find(norm + "prior_count");
    if (count != tensors.end() && count->second.ne(0).any().item<bool>())
      throw Unsupported({.where = count->first, .expected = "timestep norms that start from nothing", .got = "a prior of some tokens"});
  }
  const at::Tensor exact = rotary_frequencies(head_width(), rotary_base());
  const auto [found, absent] = tensors.try_emplace(kFrequencies, exact);
  if (absent || rope_freqs == RopeFrequencies::from_file) return notes;
  require_shape(kFrequencies, kFrequencies, found->second, "[z / 2]", exact.sizes());
  const double difference = (found->second.to(at::kDouble) - exact).abs().max().item<double>();
  if (!(difference <= 2e-6)) {
    notes.push_back(
        fmt::format("{} of the file differ from rope_base = {} by up to {:.2g}, as those rounded to bf16 do; exact ones are used. "
                    "rope_freqs = from_file takes the file's",
                    kFrequencies, rotary_base(), difference));
  }
  found->second = exact;
  return notes;
}

std::vector<std::string> Config::unknown_to_public_code() const {
  std::vector<std::string> keys;
  if (attention_window) keys.push_back(fmt::format("attention_window = {}", *attention_window));
  if (!causal) keys.emplace_back("causal = false");
  if (tsn_policy == TsnPolicy::capped) keys.emplace_back("tsn_policy = capped");
  return keys;
}

}  // namespace everlong::models::megalodon
