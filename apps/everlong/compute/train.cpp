#include "everlong/train/trainer.h"

#include <atomic>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/memory.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/interrupt.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/base/environment.h"
#include "everlong/generate/session.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/plan.h"

namespace everlong::app {
namespace {

int print_plan(train::TrainConfig& config, bool json) {
  const train::TrainPlan plan = train::plan_training(config);
  const int64_t available = machine_memory().available_bytes;
  if (json) {
    nlohmann::ordered_json object = {{"parameters", plan.parameters},
                                     {"tokens_per_step", plan.tokens_per_step},
                                     {"parameter_bytes", plan.parameter_bytes},
                                     {"gradient_bytes", plan.gradient_bytes},
                                     {"optimizer_bytes", plan.optimizer_bytes},
                                     {"state_bytes", plan.state_bytes},
                                     {"activation_bytes", plan.activation_bytes},
                                     {"total_bytes", plan.total_bytes()},
                                     {"available_bytes", available}};
    print(object.dump() + "\n");
    return kSuccess;
  }
  Table table({{.title = "part"}, {.title = "size", .align = Align::right}});
  table.add_row({"parameters", human_count(static_cast<double>(plan.parameters))});
  table.add_row({"tokens a step", human_count(static_cast<double>(plan.tokens_per_step))});
  table.add_row({"memory: parameters", human_bytes(plan.parameter_bytes)});
  table.add_row({"memory: gradients", human_bytes(plan.gradient_bytes)});
  table.add_row({"memory: optimizer", human_bytes(plan.optimizer_bytes)});
  table.add_row({"memory: carried state", human_bytes(plan.state_bytes)});
  table.add_row({"memory: activations (estimate)", human_bytes(plan.activation_bytes)});
  table.add_row({"memory: in all", human_bytes(plan.total_bytes())});
  table.add_row({"memory: available here", human_bytes(available)});
  print(table.text());
  return kSuccess;
}

ProgressSample sample_of(const train::StepReport& report) {
  return {.step = report.step,
          .total_steps = report.total_steps,
          .loss = report.loss,
          .bits_per_byte = report.bits_per_byte,
          .tokens_per_second = report.tokens_per_s,
          .learning_rate = report.lr,
          .grad_norm = report.gradient_norm,
          .memory_bytes = static_cast<int64_t>(report.resident_mb * 1e6)};
}

/// Continues the configured prompt, the same way each time.
std::string continue_prompt(const train::RunConfig& run, const std::shared_ptr<models::CausalLm>& model,
                            const std::shared_ptr<const text::Tokenizer>& tokenizer) {
  generate::Session session(model, tokenizer);
  session.read(run.sample_prompt.empty() ? "\n" : run.sample_prompt);
  return session.generate({.max_tokens = run.sample_tokens, .sampling = {.temperature = 0.8, .top_p = 0.95}, .seed = static_cast<uint64_t>(run.seed)})
      .text;
}

std::filesystem::path run_folder(const TrainOptions& options) {
  const std::filesystem::path config = options.config;
  if (!options.out.empty()) return options.out;
  if (options.resume && config.filename() == "config.toml") return std::filesystem::absolute(config).parent_path();  // the run's own
  return std::filesystem::path("runs") / config.stem();
}

std::string task_table(const std::vector<train::TaskEvaluation>& evaluations) {
  Table table({{.title = "file"}, {.title = "score"}, {.title = "value", .align = Align::right}});
  for (const train::TaskEvaluation& evaluation : evaluations)
    for (const auto& [name, value] : evaluation.scores) table.add_row({evaluation.file, name, fmt::format("{:.4f}", value)});
  return table.text();
}

void print_results(const train::Trainer& trainer, const std::filesystem::path& folder, bool json) {
  if (json) {
    nlohmann::ordered_json object = {{"run", folder.string()}, {"evaluations", nlohmann::ordered_json::array()}};
    for (const train::Evaluation& evaluation : trainer.last_evaluation().texts)
      object["evaluations"].push_back(
          {{"file", evaluation.file}, {"bits_per_byte", evaluation.bits_per_byte()}, {"nats_per_token", evaluation.nats_per_token()}});
    for (const train::TaskEvaluation& evaluation : trainer.last_evaluation().tasks) {
      nlohmann::ordered_json found = {{"file", evaluation.file}, {"examples", evaluation.examples}};
      for (const auto& [name, value] : evaluation.scores) found[name] = value;
      object["evaluations"].push_back(std::move(found));
    }
    print(object.dump() + "\n");
    return;
  }
  print(task_table(trainer.last_evaluation().tasks));
  Table table({{.title = "file"}, {.title = "bits per byte", .align = Align::right}, {.title = "nats per token", .align = Align::right}});
  for (const train::Evaluation& evaluation : trainer.last_evaluation().texts)
    table.add_row({evaluation.file, fmt::format("{:.4f}", evaluation.bits_per_byte()), fmt::format("{:.4f}", evaluation.nats_per_token())});
  print(table.text());
  print(fmt::format("run: {}\n", folder.string()));
}

}  // namespace

int run_train(const TrainOptions& options) {
  std::vector<std::string> overrides = options.set;
  if (options.compute.dtype)
    overrides.push_back(fmt::format("train.dtype={}", *options.compute.dtype == Dtype::f64    ? "f64"
                                                      : *options.compute.dtype == Dtype::bf16 ? "bf16"
                                                                                              : "f32"));
  if (options.compute.device != Device::automatic)
    overrides.push_back(options.compute.device == Device::cuda ? "train.device=cuda" : "train.device=cpu");
  train::TrainConfig config = train::read_train_config(options.config, overrides);
  config.validate();
  if (options.dry_run) return print_plan(config, options.json);
  keep_memory();

  const auto folder = run_folder(options);
  const train::RunConfig run = config.train;
  Progress progress;
  train::TrainerCallbacks callbacks;
  callbacks.on_step = [&](const train::StepReport& report) { progress.update(sample_of(report)); };
  callbacks.on_message = [&](std::string_view message) { progress.message(message); };
  callbacks.sample = [&](const std::shared_ptr<models::CausalLm>& model, const std::shared_ptr<const text::Tokenizer>& tokenizer) {
    return continue_prompt(run, model, tokenizer);
  };
  train::Trainer trainer(std::move(config), train::RunDirectory(folder), options.resume, std::move(callbacks));
  const InterruptScope interrupt;
  const auto outcome = trainer.run([&] { return interrupt.requested(); });
  progress.finish();
  if (outcome == train::TrainOutcome::interrupted) throw Interrupted{};
  print_results(trainer, folder, options.json);
  return kSuccess;
}

}  // namespace everlong::app
