#pragma once
// What a run learns: a model with its head, the batches it reads, their loss, and how well it does.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/checkpoint/tensor_file.h"
#include "everlong/io/json.h"
#include "everlong/models/heads/task_head.h"
#include "everlong/text/tokenizer.h"
#include "everlong/train/config.h"
#include "everlong/train/evaluate.h"
#include "everlong/train/metrics_log.h"
#include "everlong/train/run_directory.h"
#include "everlong/train/task_evaluation.h"

namespace everlong::train {

/// What the evaluation of a run found.
struct RunEvaluation {
  std::vector<Evaluation> texts;      ///< of a causal language model
  std::vector<TaskEvaluation> tasks;  ///< of any other
};

using Message = std::function<void(std::string_view)>;

/// One thing to learn. Stateful: next_loss() moves on through the data. All of it is a function of configuration and position.
class Objective {
 public:
  virtual ~Objective() = default;

  [[nodiscard]] const std::shared_ptr<models::TaskHead>& model() const { return model_; }
  [[nodiscard]] const std::shared_ptr<text::Tokenizer>& tokenizer() const { return tokenizer_; }

  struct BatchLoss {
    at::Tensor mean;    ///< scalar with a gradient
    int64_t count = 0;  ///< tokens, counted as throughput
  };
  /// The loss of the next batch.
  virtual BatchLoss next_loss() = 0;

  /// The batch that comes next; and back. Errors  seek: FormatError naming `file_name`; StateError if it belongs to other data
  [[nodiscard]] virtual io::Json position() const = 0;
  virtual void seek(const io::Json& position, std::string_view file_name) = 0;

  /// Tensors that a checkpoint needs beside weights and optimizer; and back. Errors  load: FormatError naming the tensor
  virtual void save_state(checkpoint::TensorMap& into) const { static_cast<void>(into); }
  virtual void load_state(const checkpoint::TensorMap& from, const std::string& file_name) { static_cast<void>(from), static_cast<void>(file_name); }

  /// Evaluates the model as it is on the files of data.eval, into the metrics of that step. Nothing where there are none.
  virtual RunEvaluation evaluate(int64_t step, MetricsLog& metrics, const Message& message) = 0;

  /// The score that chooses the best checkpoint, by name and in an evaluation; none without one.
  [[nodiscard]] virtual std::string metric() const = 0;
  [[nodiscard]] virtual std::optional<double> metric_of(const RunEvaluation& evaluation) const = 0;

  /// Bits per byte of training text for a loss in nats; none where that means nothing.
  [[nodiscard]] virtual std::optional<double> bits_per_byte(double nats) const { return static_cast<void>(nats), std::nullopt; }

 protected:
  std::shared_ptr<models::TaskHead> model_;
  std::shared_ptr<text::Tokenizer> tokenizer_;
};

/// Builds what train.task says. Initial weights are drawn from the run's seed, or come from model.init unless the run goes on from a checkpoint.
/// Changes `config` where the data decides: vocabulary, special tokens.
/// Errors   IoError, FormatError; InvalidArgument; Unsupported
[[nodiscard]] std::unique_ptr<Objective> make_objective(TrainConfig& config, const RunDirectory& directory, bool load_initial, const Message& message);

/// Moves the model to the device and sets the dtypes and the checkpointing that a run asks for.
/// Errors   Unsupported for a device that is not here
void prepare_model(models::TaskHead& model, const RunConfig& run);

/// Copies the weights of a model on disk: all that fit a head of the same task and labels, else those below the head. Notes go to `message`.
/// Errors   as models::load_head; InvalidArgument naming a parameter of another shape
void load_initial_weights(models::TaskHead& model, const std::string& folder, const Message& message);

}  // namespace everlong::train
