#include <algorithm>

#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/adamw.h"
#include "everlong/verify/finish_case.h"

namespace everlong::verify {
namespace {

// In fp32, relative: what the specification's acceptance list grants. Norms over groups of two features are ill-conditioned.
constexpr double kFp32Logits = 2e-6, kFp32 = 1e-5, kFp32PairsOfFeatures = 1e-4;

/// The case at hand: its files, and the results so far.
struct Run {
  std::filesystem::path folder;
  io::Json description;
  Tensors expected;
  VerifyOptions options;
  std::shared_ptr<models::CausalLm> lm = {};
  models::ModelInput input = {};
  at::Tensor padding = {};  ///< [B, T] bool; undefined where there is none
  Tensors computed = {};

  [[nodiscard]] bool has(const std::string& name) const { return expected.contains(name); }
  /// What padded positions hold on the way is of no consequence: zero on both sides.
  [[nodiscard]] at::Tensor without_padding(const at::Tensor& x) const { return padding.defined() ? x.masked_fill(padding.unsqueeze(-1), 0) : x; }
};

void load_weights_again(Run& run) {
  run.lm = models::load_causal_lm(run.folder, run.options.dtype == at::kDouble ? at::kDouble : at::kFloat).model;
  run.lm->model().set_compute_dtype(run.options.dtype);
}

void read_input(Run& run) {
  run.input.tokens = run.expected.at("tokens").to(at::kLong);
  if (run.has("mask")) run.input.valid = run.expected.at("mask").to(at::kBool);
  if (run.has("segment_ids")) {
    run.input.document_ids = run.expected.at("segment_ids").to(at::kLong);
    run.input.valid = run.input.document_ids->ne(0);
  }
  if (!run.input.valid) return;
  run.padding = run.input.valid->logical_not();
  for (auto& [name, tensor] : run.expected)
    if (name.starts_with("hidden.") || name.starts_with("trace.")) tensor = run.without_padding(tensor);
}

void run_outputs(Run& run) {
  const models::Trace trace = [&](std::string_view name, const at::Tensor& value) {
    if (run.has(std::string(name))) run.computed[std::string(name)] = run.without_padding(value);
  };
  const at::NoGradGuard no_grad;
  models::ModelInput traced = run.input;
  traced.trace = &trace;
  run.computed["logits"] = run.without_padding(run.lm->forward(traced).logits);
}

void run_gradients(Run& run) {
  const at::Tensor loss = run.lm->loss(run.input, run.expected.at("labels").to(at::kLong)).mean;
  run.computed["loss"] = loss.detach();
  loss.backward();
  const auto rules = run.lm->config().name_rules(run.lm->task());
  for (const auto& item : run.lm->named_parameters()) {
    const at::Tensor gradient = item.value().grad().defined() ? item.value().grad() : at::zeros_like(item.value());
    run.computed["grad." + *checkpoint::to_public_name(rules, item.key())] = gradient;
  }
}

/// The state after `prefix` tokens, and the rest of the rows in two calls from there.
void run_stream(Run& run) {
  if (!run.has("state.position")) return;
  const at::NoGradGuard no_grad;
  int64_t position = run.description.at("prefix").get<int64_t>();
  const auto part = [&](int64_t begin, int64_t len) { return models::ModelInput{.tokens = run.input.tokens.narrow(1, begin, len)}; };
  auto read = run.lm->forward(part(0, position), run.lm->model().initial_state(run.input.batch_size()));
  run.computed["state.position"] = at::scalar_tensor(read.state.positions().front(), at::kLong);
  for (const auto& named : run.lm->model().public_state(read.state)) run.computed[named.name] = named.tensor.clone();
  const auto pieces = run.description.at("pieces").get<std::vector<int64_t>>();
  for (size_t i = 0; i < std::min<size_t>(pieces.size(), 2); ++i) {
    read = run.lm->forward(part(position, pieces[i]), std::move(read.state));
    run.computed[i == 0 ? "stream.logits_a" : "stream.logits_b"] = read.logits;
    position += pieces[i];
  }
}

/// The losses before each of three AdamW steps on the batch and after the last, with the norms of the gradients.
void run_adamw(Run& run) {
  if (!run.has("adamw.loss")) return;
  load_weights_again(run);
  const io::Json& settings = run.description.at("adamw");
  const auto number = [&](const char* key) { return settings.contains(key) && settings.at(key).is_number() ? settings.at(key).get<double>() : 0.0; };
  train::ParameterGroup group{.parameters = {}, .weight_decay = number("weight_decay")};
  for (const auto& item : run.lm->named_parameters()) group.parameters.push_back({item.key(), item.value()});
  const auto parameters = run.lm->parameters();
  train::AdamW optimizer({group}, {.beta1 = number("beta1"), .beta2 = number("beta2"), .eps = number("eps")});
  std::vector<at::Tensor> losses;
  std::vector<double> norms;
  for (int step = 0; step <= 3; ++step) {
    optimizer.zero_grad();
    const at::Tensor loss = run.lm->loss(run.input, run.expected.at("labels").to(at::kLong)).mean;
    losses.push_back(loss.detach());
    if (step == 3) break;
    loss.backward();
    norms.push_back(optimizer.clip_gradients(0));
    const double factor = number("clip") / (norms.back() + 1e-6);  // the 1e-6 is that of torch.nn.utils.clip_grad_norm_
    for (const at::Tensor& parameter : parameters)
      if (number("clip") > 0 && factor < 1 && parameter.grad().defined()) parameter.grad().mul_(factor);
    optimizer.step(number("lr"));
  }
  run.computed["adamw.loss"] = at::stack(losses);
  run.computed["adamw.grad_norm"] = at::tensor(norms, at::kDouble);
}

bool is_input(const std::string& name) { return name == "tokens" || name == "labels" || name == "mask" || name == "segment_ids"; }

bool has_pairs_of_features(const std::filesystem::path& folder) {
  const io::Json config = io::read_json_file(folder / "config.json");
  return config.value("model_dim", int64_t{0}) <= 2 * config.value("norm_num_groups", int64_t{1});
}

}  // namespace

CaseResult verify_released_case(const std::filesystem::path& folder, Tensors expected, const VerifyOptions& options) {
  Run run{.folder = folder, .description = io::read_json_file(folder / "case.json"), .expected = std::move(expected), .options = options};
  load_weights_again(run);
  read_input(run);
  run_outputs(run);
  run_gradients(run);
  if (options.dtype != at::kBFloat16) {
    run_stream(run);
    run_adamw(run);
  } else {
    std::erase_if(run.computed, [](const auto& item) { return item.first != "logits" && item.first != "loss"; });
  }
  if (options.tolerance || options.dtype != at::kFloat)
    return finish_case(case_name(folder), std::move(run.computed), run.expected, options, is_input);
  VerifyOptions bounds = options;
  bounds.tolerance = has_pairs_of_features(folder) ? kFp32PairsOfFeatures : kFp32;
  CaseResult result = finish_case(case_name(folder), std::move(run.computed), run.expected, bounds, is_input);
  for (Item& item : result.items) {
    if (item.name != "logits") continue;
    item.tolerance = kFp32Logits;
    item.ok = item.rel_rms <= item.tolerance;
  }
  result.ok = all_ok(result.items);
  return result;
}

}  // namespace everlong::verify
