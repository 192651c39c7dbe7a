#include "everlong/train/trainer.h"

#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "everlong/base/environment.h"
#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/toml.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/setup.h"

namespace everlong::train {
namespace {

constexpr uint64_t kStepStream = 0x57e9;  // of CounterRng: dropout of each step

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

Trainer::Trainer(TrainConfig config, RunDirectory directory, bool resume, TrainerCallbacks callbacks)
    : config_(std::move(config)), directory_(std::move(directory)), callbacks_(std::move(callbacks)) {
  const auto steps = directory_.checkpoint_steps();
  const bool has_run = std::filesystem::exists(directory_.config());
  if (has_run && !resume)
    throw StateError({.where = directory_.path().string(), .expected = "a new or empty folder", .got = "a run", .hint = "continue it with --resume, or name another folder with --out"});
  if (resume && !has_run)
    throw StateError({.where = directory_.path().string(), .expected = "a run to resume", .got = "no config.toml", .hint = "leave out --resume to start one"});
  config_.validate();
  std::filesystem::create_directories(directory_.checkpoints());

  objective_ = make_objective(config_, directory_, !config_.init.empty() && steps.empty(), callbacks_.on_message);
  optimizer_ = std::make_unique<AdamW>(parameter_groups(model(), config_.optim),
                                       AdamWOptions{.beta1 = config_.optim.beta1, .beta2 = config_.optim.beta2, .eps = config_.optim.eps});
  if (config_.train.average_decay > 0) average_ = std::make_unique<WeightAverage>(all_parameters(model()), config_.train.average_decay);

  if (!has_run) io::atomic_write_text(directory_.config(), io::to_toml(config_.fields()));
  if (!steps.empty()) load_checkpoint(steps.back());
  metrics_ = std::make_unique<MetricsLog>(directory_.path(), step_);
  if (resume) metrics_->add_resume(step_);
}

Trainer::~Trainer() = default;

ScheduleOptions Trainer::schedule() const {
  return {.schedule = config_.optim.schedule,
          .peak = config_.optim.lr,
          .final_ratio = config_.optim.final_lr_ratio,
          .warmup_steps = config_.optim.warmup_steps,
          .total_steps = config_.train.steps};
}

/// One optimizer step; returns the mean loss.
double Trainer::train_step() {
  // The generator is a function of (seed, step): nothing of it needs saving.
  at::manual_seed(CounterRng({static_cast<uint64_t>(config_.train.seed), kStepStream, static_cast<uint64_t>(step_)}).next_u64());
  model().train();
  optimizer_->zero_grad();
  double loss_sum = 0;
  for (int64_t i = 0; i < config_.train.accumulate; ++i) {
    const Objective::BatchLoss loss = objective_->next_loss();
    loss_sum += loss.mean.item<double>();
    (loss.mean / static_cast<double>(config_.train.accumulate)).backward();
    tokens_ += loss.count;
    window_.tokens += loss.count;
  }
  const double mean = loss_sum / static_cast<double>(config_.train.accumulate);
  gradient_norm_ = optimizer_->clip_gradients(config_.optim.clip);
  if (!std::isfinite(mean) || !std::isfinite(gradient_norm_))
    throw InvalidArgument({.where = fmt::format("step {}", step_),
                           .expected = "a finite loss and gradient",
                           .got = fmt::format("loss {}, gradient norm {}", mean, gradient_norm_),
                           .hint = "lower optim.lr, lengthen optim.warmup_steps or lower optim.clip; the last checkpoint is untouched"});
  optimizer_->step(learning_rate(schedule(), step_));
  ++step_;
  if (average_) average_->update(step_);
  return mean;
}

void Trainer::report(double lr) {
  const double loss = window_.loss_sum / static_cast<double>(window_.steps);
  const StepReport report{.step = step_,
                          .total_steps = config_.train.steps,
                          .tokens = tokens_,
                          .loss = loss,
                          .bits_per_byte = objective_->bits_per_byte(loss),
                          .lr = lr,
                          .gradient_norm = gradient_norm_,
                          .tokens_per_s = static_cast<double>(window_.tokens) / window_.seconds,
                          .resident_mb = static_cast<double>(process_memory().resident_bytes) / 1e6,
                          .elapsed_s = elapsed_s_};
  metrics_->add(report);
  if (callbacks_.on_step) callbacks_.on_step(report);
  window_ = {};
}

void Trainer::evaluate_files() {
  if (config_.data.eval.empty()) return;
  const UseAverage averaged(average_.get());
  evaluation_ = objective_->evaluate(step_, *metrics_, callbacks_.on_message);
  latest_ = objective_->metric_of(evaluation_);
}

TrainOutcome Trainer::run(const std::function<bool()>& stop) {
  const RunConfig& run = config_.train;
  while (step_ < run.steps) {
    const auto start = Clock::now();
    const double lr = learning_rate(schedule(), step_);
    window_.loss_sum += train_step();
    window_.steps += 1;
    window_.seconds += seconds_since(start);
    elapsed_s_ += seconds_since(start);
    if (step_ % run.log_every == 0 || step_ == run.steps) report(lr);
    const bool last = step_ == run.steps, stopping = stop && stop();
    const bool due = last || step_ % run.checkpoint_every == 0;
    if (last || (run.eval_every > 0 && step_ % run.eval_every == 0)) evaluate_files();
    if (!due) latest_.reset();  // which checkpoint is best must not depend on where the run was stopped
    if (due || stopping) save_checkpoint();
    if (stopping && !last) return TrainOutcome::interrupted;
  }
  finish();
  return TrainOutcome::finished;
}

void Trainer::finish() {
  if (!callbacks_.sample || config_.train.sample_tokens == 0 || config_.train.task != models::Task::causal_lm) return;
  const UseAverage averaged(average_.get());
  const auto lm = std::static_pointer_cast<models::CausalLm>(objective_->model());
  lm->eval();
  metrics_->add_sample(step_, config_.train.sample_prompt, callbacks_.sample(lm, objective_->tokenizer()));
}

models::CausalLm& Trainer::causal_lm() {
  if (config_.train.task != models::Task::causal_lm)
    throw Unsupported({.where = "train", .expected = "a run that learns causal-lm", .got = std::string(models::task_name(config_.train.task))});
  return static_cast<models::CausalLm&>(model());
}

}  // namespace everlong::train
