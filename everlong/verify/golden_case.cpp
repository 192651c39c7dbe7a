#include "everlong/verify/golden_case.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/adamw.h"
#include "everlong/verify/finish_case.h"

namespace everlong::verify {
namespace {

/// The case at hand: its files, and the results so far.
struct Run {
  std::filesystem::path folder;
  io::Json description;
  Tensors expected;
  models::LoadedHead loaded;
  VerifyOptions options;
  Tensors computed = {};

  [[nodiscard]] models::TaskHead& head() { return *loaded.model; }
  [[nodiscard]] models::CausalLm& lm() { return dynamic_cast<models::CausalLm&>(*loaded.model); }
  [[nodiscard]] bool has(const std::string& name) const { return expected.contains(name); }
  [[nodiscard]] std::optional<at::Tensor> mask(const std::string& name) const {
    return has(name) ? std::optional<at::Tensor>(expected.at(name).to(at::kBool)) : std::nullopt;
  }
  [[nodiscard]] std::optional<at::Tensor> value(const std::string& name) const {
    if (!has(name)) return std::nullopt;
    return expected.at(name).to(options.dtype == at::kDouble ? at::kDouble : at::kFloat);
  }

  /// Multiple choice has an axis of choices, which stand as rows here.
  [[nodiscard]] int64_t num_choices() const {
    return has("in.input_ids") && expected.at("in.input_ids").dim() == 3 ? expected.at("in.input_ids").size(1) : 1;
  }
  [[nodiscard]] models::ModelInput input() const {
    const auto rows = [](const at::Tensor& tensor) { return tensor.dim() == 3 ? tensor.flatten(0, 1) : tensor; };
    models::ModelInput made{.tokens = has("in.input_ids") ? rows(expected.at("in.input_ids").to(at::kLong)) : at::Tensor()};
    if (const auto valid = mask("in.attention_mask")) made.valid = rows(*valid);
    if (has("in.token_type_ids")) made.token_types = rows(expected.at("in.token_type_ids").to(at::kLong));
    made.embeddings = value("in.inputs_embeds");
    made.memory = value("in.encoder_hidden_states");
    made.memory_valid = mask("in.encoder_attention_mask");
    return made;
  }
  [[nodiscard]] models::Labels labels() const {
    models::Labels made;
    if (has("in.labels")) made.values = expected.at("in.labels");
    if (has("in.start_positions")) made.starts = expected.at("in.start_positions").to(at::kLong);
    if (has("in.end_positions")) made.ends = expected.at("in.end_positions").to(at::kLong);
    return made;
  }
};

void load_weights_again(Run& run) {
  run.loaded = models::load_head(run.folder, {.parameter_dtype = run.options.dtype == at::kDouble ? at::kDouble : at::kFloat});
  run.head().model().set_compute_dtype(run.options.dtype);
}

/// The loss of the case: the task's own, or for a model without a head mean(last_hidden_state^2) + mean(pooler_output).
at::Tensor loss_of(Run& run, const models::ModelInput& input) {
  if (run.head().task() != models::Task::embedding) return run.head().task_loss(input, run.labels());
  const auto outputs = run.head().outputs(input);
  return outputs.at(0).tensor.square().mean() + outputs.at(1).tensor.mean();
}

std::string public_kind(std::string_view kind) {
  if (kind == "hidden") return "hidden_states";
  return kind == "cross_attention" ? "cross_attentions" : "attentions";
}

/// Runs forward and backward; `prefix` "" in evaluation, "train." in training.
void run_outputs(Run& run, const std::string& prefix) {
  const models::Trace trace = [&](std::string_view name, const at::Tensor& value) {
    const auto dot = name.find('.');
    const std::string theirs = fmt::format("{}.{}", public_kind(name.substr(0, dot)), name.substr(dot + 1));
    if (run.has(theirs)) run.computed[theirs] = value.detach().reshape(run.expected.at(theirs).sizes());
  };
  auto input = run.input();
  if (prefix.empty()) {
    input.trace = &trace;
    const at::NoGradGuard no_grad;
    for (const auto& named : run.head().outputs(input, run.num_choices())) run.computed[named.name] = named.tensor;
    input.trace = nullptr;
  }
  if (!run.has(prefix + "loss")) return;
  std::map<std::string, at::Tensor> leaves;
  for (auto* leaf : {&input.embeddings, &input.memory}) {
    if (!*leaf) continue;
    *leaf = (*leaf)->detach().clone().requires_grad_(true);
    leaves.emplace(leaf == &input.memory ? "grad_in.encoder_hidden_states" : "grad_in.inputs_embeds", **leaf);
  }
  const at::Tensor loss = loss_of(run, input);
  run.computed[prefix + "loss"] = loss.detach();
  loss.backward();
  for (const auto& [name, leaf] : leaves)
    if (prefix.empty() && run.has(name)) run.computed[name] = leaf.grad();
  const auto rules = run.head().config().name_rules(run.head().task());
  const bool bare = run.head().task() == models::Task::embedding;
  const auto drop_prefix = [&](std::string name) {
    return bare && name.starts_with(run.head().config().base_prefix()) ? name.substr(run.head().config().base_prefix().size()) : name;
  };
  for (const auto& item : run.head().named_parameters()) {
    const auto* rule = checkpoint::rule_for(rules, item.key());
    const at::Tensor gradient = item.value().grad().defined() ? item.value().grad() : at::zeros_like(item.value());
    run.computed[prefix + "grad." + drop_prefix(*checkpoint::to_public_name(rules, item.key()))] =
        rule->trailing_one ? gradient.unsqueeze(-1) : gradient;
  }
}

/// Batch statistics: outputs, gradients and running statistics of one forward pass in training mode.
void run_training(Run& run) {
  if (!run.has("train.loss")) return;
  load_weights_again(run);
  run.head().train();
  {
    const at::NoGradGuard no_grad;
    for (const auto& named : run.head().outputs(run.input(), run.num_choices())) run.computed["train." + named.name] = named.tensor;
  }
  const auto rules = run.head().config().name_rules(run.head().task());
  for (const auto& item : run.head().named_buffers()) {
    const std::string theirs = "train.buffer." + *checkpoint::to_public_name(rules, item.key());
    if (run.has(theirs)) run.computed[theirs] = item.value().clone();
  }
  load_weights_again(run);
  run.head().train();
  run_outputs(run, "train.");
}

/// The losses before each of three AdamW steps on the fixed batch, and after the third.
void run_adamw(Run& run) {
  if (!run.has("adamw.losses")) return;
  load_weights_again(run);
  run.head().train();
  std::vector<train::NamedParameter> parameters;
  for (const auto& item : run.head().named_parameters()) parameters.push_back({item.key(), item.value()});
  train::AdamW optimizer({{.parameters = std::move(parameters), .weight_decay = 0}}, {});
  std::vector<at::Tensor> losses;
  for (int step = 0; step <= 3; ++step) {
    optimizer.zero_grad();
    const at::Tensor loss = loss_of(run, run.input());
    losses.push_back(loss.detach());
    loss.backward();
    if (step < 3) optimizer.step(1e-2);
  }
  run.computed["adamw.losses"] = at::stack(losses);
}

/// The state after the prefill, then the rest token by token: it must continue the full forward.
void run_cached(Run& run) {
  const at::NoGradGuard no_grad;
  const auto input = run.input();
  const int64_t batch_size = input.batch_size(), seq_len = input.seq_len();
  if (run.has("logits_use_cache")) run.computed["logits_use_cache"] = run.lm().forward(input, run.lm().model().initial_state(batch_size)).logits;
  if (!run.description.contains("decoding")) return;
  const auto prefill = run.description.at("decoding").at("prefill_tokens").get<int64_t>();
  const auto part = [&](int64_t begin, int64_t len) {
    models::ModelInput cut{.tokens = input.tokens.narrow(1, begin, len)};
    if (input.valid) cut.valid = input.valid->narrow(1, begin, len);
    if (begin == 0) cut.memory = input.memory, cut.memory_valid = input.memory_valid;
    return cut;
  };
  auto read = run.lm().forward(part(0, prefill), run.lm().model().initial_state(batch_size));
  for (const auto& named : run.lm().model().public_state(read.state))
    if (run.has(named.name)) run.computed[named.name] = named.tensor.clone();

  const at::Tensor truth = run.expected.at(run.has("logits_use_cache") ? "logits_use_cache" : "logits");
  std::vector<at::Tensor> steps;
  for (int64_t t = prefill; t < seq_len; ++t) {
    read = run.lm().forward(part(t, 1), std::move(read.state));
    steps.push_back(read.logits);
  }
  // Tokens that are padding are not read in a stream, so nothing is expected of their logits.
  const at::Tensor kept = input.valid ? input.valid->narrow(1, prefill, seq_len - prefill).unsqueeze(-1) : at::ones({1, 1, 1}, at::kBool);
  run.computed["stream.logits"] = at::cat(steps, 1).masked_fill(kept.logical_not(), 0);
  run.expected["stream.logits"] = truth.narrow(1, prefill, seq_len - prefill).masked_fill(kept.logical_not(), 0);
}

/// Greedy generation with a carried state.
void run_generate(Run& run) {
  if (!run.has("generate.ids")) return;
  const at::NoGradGuard no_grad;
  const at::Tensor prompt = run.expected.at("generate.prompt_ids").to(at::kLong);
  const int64_t new_tokens = run.expected.at("generate.ids").size(1) - prompt.size(1);
  std::vector<at::Tensor> ids{prompt}, logits;
  auto read = run.lm().forward({.tokens = prompt,
                                .valid = run.mask("generate.attention_mask"),
                                .memory = run.value("in.encoder_hidden_states"),
                                .memory_valid = run.mask("in.encoder_attention_mask")},
                               run.lm().model().initial_state(prompt.size(0)), true);
  for (int64_t i = 0; i < new_tokens; ++i) {
    logits.push_back(read.logits);
    ids.push_back(read.logits.argmax(-1));
    if (i + 1 < new_tokens) read = run.lm().forward({.tokens = ids.back()}, std::move(read.state), true);
  }
  run.computed["generate.ids"] = at::cat(ids, 1);
  run.computed["generate.logits"] = at::cat(logits, 1);
}

/// A gradient that is zero in exact arithmetic is what rounding leaves of a sum that cancels: one unit roundoff of the largest gradient is
/// granted to it, which compare() divides by 1e-3 of that gradient.
void allow_rounding_of_zero(const io::Json& description, at::ScalarType dtype, std::vector<Item>& items) {
  const double roundoff = dtype == at::kDouble ? 0x1p-53 : 0x1p-24;
  for (const std::string& name : description.value("zero_gradient", std::vector<std::string>()))
    for (Item& item : items)
      if (item.name == "grad." + name || item.name == "train.grad." + name) {
        item.tolerance = std::max(item.tolerance, roundoff / 1e-3);
        item.ok = item.rel_rms <= item.tolerance;
      }
}

bool is_input(const std::string& name) { return name.starts_with("in.") || name == "generate.prompt_ids" || name == "generate.attention_mask"; }

}  // namespace

std::string case_name(const std::filesystem::path& folder) {
  const auto plain = (folder / "").parent_path();  // with or without a slash at the end
  return plain.filename().string();
}

CaseResult verify_case(const std::filesystem::path& folder, const VerifyOptions& options) {
  Tensors expected = checkpoint::load_tensors(folder / "expected.safetensors").tensors;
  if (expected.contains("tokens")) return verify_released_case(folder, std::move(expected), options);
  Run run{
      .folder = folder, .description = io::read_json_file(folder / "case.json"), .expected = std::move(expected), .loaded = {}, .options = options};
  if (!run.has("in.input_ids") && !run.has("in.inputs_embeds"))
    throw FormatError({.file = (folder / "expected.safetensors").string(), .field = "in.input_ids"}, "token ids or embeddings", "neither");
  load_weights_again(run);

  run_outputs(run, "");
  if (options.dtype != at::kBFloat16) {
    run_training(run);
    run_adamw(run);
    load_weights_again(run);
    if (run.head().task() == models::Task::causal_lm) {
      run_cached(run);
      run_generate(run);
    }
  } else {
    std::erase_if(run.computed,
                  [](const auto& item) { return !item.first.ends_with("logits") && item.first != "loss" && item.first != "last_hidden_state"; });
  }

  CaseResult result = finish_case(case_name(folder), std::move(run.computed), run.expected, options, is_input);
  allow_rounding_of_zero(run.description, options.dtype, result.items);
  result.ok = all_ok(result.items);
  return result;
}

}  // namespace everlong::verify
