#pragma once

#include <memory>
#include <vector>

#include "everlong/data/example_order.h"
#include "everlong/train/objective.h"

namespace everlong::train {

/// Settles what the files of a task with labels decide: images make a model that reads pixels and needs no vocabulary.
/// Errors   InvalidArgument for a mixture of images and texts, or images for another task
void settle_images(TrainConfig& config);

/// The task of a run as its head sees it: number and names of the classes, from the files. Cost  reads the labels of all files
/// Errors   as collect_task_labels(); InvalidArgument for fewer than two classes
[[nodiscard]] models::TaskConfig read_task_config(const TrainConfig& config);

/// Labelled examples, or text with masks, in batches of like length; every example once an epoch.
class TaskObjective final : public Objective {
 public:
  TaskObjective(TrainConfig& config, const RunDirectory& directory, bool load_initial, const Message& message);

  BatchLoss next_loss() override;
  [[nodiscard]] io::Json position() const override;
  void seek(const io::Json& position, std::string_view file_name) override;
  RunEvaluation evaluate(int64_t step, MetricsLog& metrics, const Message& message) override;
  [[nodiscard]] std::string metric() const override { return metric_; }
  [[nodiscard]] std::optional<double> metric_of(const RunEvaluation& evaluation) const override;

 private:
  void read_masked(const TrainConfig& config);
  void read_labelled(const TrainConfig& config);
  void check_metric();
  TaskBatch next_batch();

  SequenceRoles roles_;
  data::Task data_task_ = data::Task::classification;
  int64_t batch_size_, pad_to_multiple_;
  std::unique_ptr<MaskedText> masked_;  ///< null for labelled examples
  std::vector<data::EncodedExample> examples_;
  std::vector<std::pair<std::string, std::unique_ptr<MaskedText>>> masked_eval_;
  std::vector<TaskExamples> labelled_eval_;
  std::unique_ptr<data::ExampleOrder> order_;
  std::string metric_;
};

}  // namespace everlong::train
