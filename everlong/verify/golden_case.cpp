#include "everlong/verify/golden_case.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/adamw.h"

namespace everlong::verify {
namespace {

using Tensors = std::map<std::string, at::Tensor>;

/// The case at hand: its files, and the results so far.
struct Run {
  std::filesystem::path folder;
  io::Json description;
  Tensors expected;
  models::LoadedModel loaded;
  VerifyOptions options;
  Tensors computed = {};

  [[nodiscard]] models::CausalLm& model() { return *loaded.model; }
  [[nodiscard]] bool has(const std::string& name) const { return expected.contains(name); }
  [[nodiscard]] std::optional<at::Tensor> mask(const std::string& name) const {
    return has(name) ? std::optional<at::Tensor>(expected.at(name).to(at::kBool)) : std::nullopt;
  }
  [[nodiscard]] models::ModelInput input() const {
    models::ModelInput made{.tokens = expected.at("in.input_ids").to(at::kLong), .valid = mask("in.attention_mask")};
    if (has("in.token_type_ids")) made.token_types = expected.at("in.token_type_ids").to(at::kLong);
    return made;
  }
  /// Labels moved by one: target t is what follows token t.
  [[nodiscard]] at::Tensor targets() const {
    const at::Tensor labels = expected.at("in.labels").to(at::kLong);
    return at::cat({labels.narrow(1, 1, labels.size(1) - 1), at::full({labels.size(0), 1}, -100, at::kLong)}, 1);
  }
};

void load_weights_again(Run& run) {
  auto again = models::load_causal_lm(run.folder);
  if (run.options.dtype == at::kDouble) again.model->to(at::kDouble);
  again.model->model().set_compute_dtype(run.options.dtype);
  run.loaded = std::move(again);
}

/// Outputs, hidden states, attention weights, loss and gradients of the plain forward.
void run_forward(Run& run) {
  const models::Trace trace = [&](std::string_view name, const at::Tensor& value) {
    const auto dot = name.find('.');
    const std::string kind = name.substr(0, dot) == "hidden" ? "hidden_states" : "attentions";
    const std::string theirs = fmt::format("{}.{}", kind, name.substr(dot + 1));
    if (!run.has(theirs)) return;
    run.computed[theirs] = value.detach().reshape(run.expected.at(theirs).sizes());
  };
  auto input = run.input();
  input.trace = &trace;
  run.computed["logits"] = run.model().forward(input).logits.detach();
  if (!run.has("loss")) return;
  input.trace = nullptr;
  const auto loss = run.model().loss(input, run.targets());
  run.computed["loss"] = loss.mean.detach();
  loss.mean.backward();
  const auto rules = run.model().config().name_rules();
  for (const auto& item : run.model().named_parameters()) {
    const auto* rule = checkpoint::rule_for(rules, item.key());
    const at::Tensor gradient = item.value().grad().defined() ? item.value().grad() : at::zeros_like(item.value());
    run.computed["grad." + *checkpoint::to_public_name(rules, item.key())] = rule->trailing_one ? gradient.unsqueeze(-1) : gradient;
  }
}

/// The losses before each of three AdamW steps on the fixed batch, and after the third.
void run_adamw(Run& run) {
  if (!run.has("adamw.losses")) return;
  load_weights_again(run);
  run.model().train();
  std::vector<train::NamedParameter> parameters;
  for (const auto& item : run.model().named_parameters()) parameters.push_back({item.key(), item.value()});
  train::AdamW optimizer({{.parameters = std::move(parameters), .weight_decay = 0}}, {});
  std::vector<at::Tensor> losses;
  for (int step = 0; step <= 3; ++step) {
    optimizer.zero_grad();
    const auto loss = run.model().loss(run.input(), run.targets());
    losses.push_back(loss.mean.detach());
    loss.mean.backward();
    if (step < 3) optimizer.step(1e-2);
  }
  run.computed["adamw.losses"] = at::stack(losses);
  load_weights_again(run);
}

/// The state after the prefill, then the rest token by token: it must continue the full forward.
void run_cached(Run& run) {
  const at::NoGradGuard no_grad;
  const auto input = run.input();
  const int64_t batch_size = input.tokens.size(0), seq_len = input.tokens.size(1);
  if (run.has("logits_use_cache")) run.computed["logits_use_cache"] = run.model().forward(input, run.model().model().initial_state(batch_size)).logits;
  if (!run.description.contains("decoding")) return;
  const auto prefill = run.description.at("decoding").at("prefill_tokens").get<int64_t>();
  const auto part = [&](int64_t begin, int64_t len) {
    models::ModelInput cut{.tokens = input.tokens.narrow(1, begin, len)};
    if (input.valid) cut.valid = input.valid->narrow(1, begin, len);
    return cut;
  };
  auto read = run.model().forward(part(0, prefill), run.model().model().initial_state(batch_size));
  for (const auto& named : run.model().model().public_state(read.state))
    if (run.has(named.name)) run.computed[named.name] = named.tensor.clone();

  const at::Tensor truth = run.expected.at(run.has("logits_use_cache") ? "logits_use_cache" : "logits");
  std::vector<at::Tensor> steps;
  for (int64_t t = prefill; t < seq_len; ++t) {
    read = run.model().forward(part(t, 1), std::move(read.state));
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
  auto read = run.model().forward({.tokens = prompt, .valid = run.mask("generate.attention_mask")}, run.model().model().initial_state(prompt.size(0)), true);
  for (int64_t i = 0; i < new_tokens; ++i) {
    logits.push_back(read.logits);
    ids.push_back(read.logits.argmax(-1));
    if (i + 1 < new_tokens) read = run.model().forward({.tokens = ids.back()}, std::move(read.state), true);
  }
  run.computed["generate.ids"] = at::cat(ids, 1);
  run.computed["generate.logits"] = at::cat(logits, 1);
}

std::string reason_not_covered(const std::string& name) {
  if (name.ends_with("_f32")) return "float32 twin of a tensor that is compared";
  if (name.find("hf_") != std::string::npos) return "what transformers returns where it is known to be wrong";
  return "nothing computes it in this dtype";
}

double default_tolerance(at::ScalarType dtype) { return dtype == at::kDouble ? 1e-9 : dtype == at::kFloat ? 1e-5 : 3e-2; }

bool is_input(const std::string& name) {
  return name.starts_with("in.") || name == "generate.prompt_ids" || name == "generate.attention_mask";
}

}  // namespace

CaseResult verify_case(const std::filesystem::path& folder, const VerifyOptions& options) {
  Run run{.folder = folder, .description = io::read_json_file(folder / "case.json"), .expected = {}, .loaded = {}, .options = options};
  const auto model_class = run.description.value("model_class", std::string());
  if (!model_class.ends_with("ForCausalLM"))
    throw Unsupported({.where = folder.string(), .expected = "a causal language model", .got = model_class.empty() ? "no model_class" : model_class});
  run.expected = checkpoint::load_tensors(folder / "expected.safetensors").tensors;
  if (!run.has("in.input_ids")) throw FormatError({.file = (folder / "expected.safetensors").string(), .field = "in.input_ids"}, "token ids", "nothing");
  load_weights_again(run);

  run_forward(run);
  if (options.dtype != at::kBFloat16) {
    run_adamw(run);
    run_cached(run);
    run_generate(run);
  } else {
    std::erase_if(run.computed, [](const auto& item) { return item.first != "logits" && item.first != "loss"; });
  }

  CaseResult result{.name = folder.filename().string()};
  result.items = compare(run.computed, run.expected, options.tolerance.value_or(default_tolerance(options.dtype)));
  for (const auto& item : run.expected)
    if (!run.computed.contains(item.first) && !is_input(item.first)) result.not_covered.push_back({item.first, reason_not_covered(item.first)});
  result.ok = !result.items.empty() && std::all_of(result.items.begin(), result.items.end(), [](const Item& item) { return item.ok; });
  result.computed = std::move(run.computed);
  return result;
}

}  // namespace everlong::verify
