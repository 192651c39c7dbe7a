#pragma once
// Trains a model for a task, so that stopping at any moment and resuming changes no bit.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "everlong/models/heads/causal_lm.h"
#include "everlong/text/tokenizer.h"
#include "everlong/train/adamw.h"
#include "everlong/train/config.h"
#include "everlong/train/evaluate.h"
#include "everlong/train/metrics_log.h"
#include "everlong/train/objective.h"
#include "everlong/train/run_directory.h"
#include "everlong/train/weight_average.h"

namespace everlong::train {

/// What one step measured.
struct StepReport {
  int64_t step = 0;          ///< steps done
  int64_t total_steps = 0;
  int64_t tokens = 0;        ///< read since step 0: targets of a causal language model, tokens that are no padding of other tasks
  double loss = 0;           ///< of the task, mean since the last report; nats per token of a language model
  std::optional<double> bits_per_byte;  ///< of the training text; none where that means nothing
  double lr = 0;
  double gradient_norm = 0;  ///< before clipping
  double tokens_per_s = 0;   ///< since the last report
  double resident_mb = 0;
  double elapsed_s = 0;      ///< of this process
};

struct TrainerCallbacks {
  std::function<void(const StepReport&)> on_step = {};                  ///< every log_every steps
  std::function<void(std::string_view message)> on_message = {};        ///< checkpoints, evaluations
  std::function<std::string(const std::shared_ptr<models::CausalLm>&, const std::shared_ptr<const text::Tokenizer>&)> sample = {};  ///< text for the report at the end
};

enum class TrainOutcome { finished, interrupted };

/// One training run in one process.
class Trainer {
 public:
  /// Prepares a run: tokenizer, corpus, model, optimizer; with `resume`, all of them as the newest complete checkpoint left them.
  /// Errors   IoError, FormatError, InvalidArgument; StateError if the directory holds a run and `resume` is false, or none and it is true
  Trainer(TrainConfig config, RunDirectory directory, bool resume, TrainerCallbacks callbacks);
  ~Trainer();

  /// Trains to the last step, or until `stop` says true after a step: then a checkpoint is written and `interrupted` returned.
  TrainOutcome run(const std::function<bool()>& stop);

  [[nodiscard]] models::TaskHead& model() { return *objective_->model(); }
  /// Errors   Unsupported if the run's task is another
  [[nodiscard]] models::CausalLm& causal_lm();
  [[nodiscard]] const text::Tokenizer& tokenizer() const { return *objective_->tokenizer(); }
  [[nodiscard]] const RunEvaluation& last_evaluation() const { return evaluation_; }

 private:
  void load_checkpoint(int64_t step);
  void save_checkpoint();
  double train_step();
  void report(double lr);
  void evaluate_files();
  void finish();
  [[nodiscard]] ScheduleOptions schedule() const;

  TrainConfig config_;
  RunDirectory directory_;
  TrainerCallbacks callbacks_;
  std::unique_ptr<Objective> objective_;
  std::unique_ptr<AdamW> optimizer_;
  std::unique_ptr<WeightAverage> average_;
  std::unique_ptr<MetricsLog> metrics_;
  RunEvaluation evaluation_;

  int64_t step_ = 0;
  int64_t tokens_ = 0;
  std::optional<double> best_, latest_;  ///< of the score that chooses the best checkpoint
  double gradient_norm_ = 0;

  struct Window {  // since the last report
    double loss_sum = 0;
    int64_t steps = 0, tokens = 0;
    double seconds = 0;
  } window_;
  double elapsed_s_ = 0;
};

}  // namespace everlong::train
