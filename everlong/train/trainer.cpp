#include "everlong/train/trainer.h"

#include <chrono>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "everlong/base/environment.h"
#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/toml.h"
#include "everlong/tensor/device.h"
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

  const at::ScalarType dtype = resolve_dtype(config_.train.dtype);
  tokenizer_ = prepare_tokenizer(config_, directory_);
  config_.model->set_vocabulary(tokenizer_->vocab_size());
  corpus_ = prepare_corpus(config_, *tokenizer_);
  bytes_per_token_ = static_cast<double>(corpus_->total_bytes().value_or(corpus_->num_tokens())) / static_cast<double>(std::max<int64_t>(1, corpus_->num_tokens()));
  source_ = prepare_batches(config_, corpus_, *tokenizer_);

  at::manual_seed(static_cast<uint64_t>(config_.train.seed));
  model_ = std::make_shared<models::CausalLm>(*config_.model);
  if (dtype == at::kDouble) model_->to(at::kDouble);
  model_->model().set_compute_dtype(dtype);
  model_->model().set_activation_checkpointing(config_.train.activation_checkpointing);
  optimizer_ = std::make_unique<AdamW>(parameter_groups(*model_, config_.optim),
                                       AdamWOptions{.beta1 = config_.optim.beta1, .beta2 = config_.optim.beta2, .eps = config_.optim.eps});
  if (config_.train.average_decay > 0) average_ = std::make_unique<WeightAverage>(all_parameters(*model_), config_.train.average_decay);
  state_ = model_->model().initial_state(config_.data.batch_size);

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

/// One optimizer step; returns the mean loss in nats per token.
double Trainer::train_step() {
  // The generator is a function of (seed, step): nothing of it needs saving.
  at::manual_seed(CounterRng({static_cast<uint64_t>(config_.train.seed), kStepStream, static_cast<uint64_t>(step_)}).next_u64());
  model_->train();
  optimizer_->zero_grad();
  const bool carries = config_.data.order == DataOrder::lanes;
  double loss_sum = 0;
  for (int64_t i = 0; i < config_.train.accumulate; ++i) {
    const data::Batch batch = source_->next();
    state_.detach_();
    state_.restart_(batch.restart);
    auto loss = model_->loss({.tokens = batch.tokens, .document_ids = batch.document_ids}, batch.targets, carries ? std::move(state_) : nn::State());
    if (carries) state_ = std::move(loss.state);
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
                          .bits_per_byte = loss / std::numbers::ln2 / bytes_per_token_,
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
  evaluations_.clear();
  double nats = 0, bytes = 0;
  for (const std::string& file : config_.data.eval) {
    evaluations_.push_back(evaluate_file(*model_, *tokenizer_, file, {.segment = config_.train.eval_segment}));
    const Evaluation& evaluation = evaluations_.back();
    nats += evaluation.nats;
    bytes += static_cast<double>(evaluation.bytes);
    metrics_->add(step_, evaluation, Context::carry);
    if (callbacks_.on_message)
      callbacks_.on_message(fmt::format("step {}: {} {:.4f} bits per byte, {:.4f} nats per token", step_, evaluation.file, evaluation.bits_per_byte(),
                                        evaluation.nats_per_token()));
  }
  latest_bits_per_byte_ = nats / std::numbers::ln2 / bytes;
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
    if (!due) latest_bits_per_byte_.reset();  // which checkpoint is best must not depend on where the run was stopped
    if (due || stopping) save_checkpoint();
    if (stopping && !last) return TrainOutcome::interrupted;
  }
  finish();
  return TrainOutcome::finished;
}

void Trainer::finish() {
  if (!callbacks_.sample || config_.train.sample_tokens == 0) return;
  const UseAverage averaged(average_.get());
  model_->eval();
  metrics_->add_sample(step_, config_.train.sample_prompt, callbacks_.sample(model_, tokenizer_));
}

}  // namespace everlong::train
