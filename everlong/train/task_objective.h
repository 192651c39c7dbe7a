#pragma once

#include <memory>
#include <vector>

#include "everlong/data/example_order.h"
#include "everlong/train/objective.h"

namespace everlong::train {

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
  void read_labelled(const TrainConfig& config, const data::LabelMap& labels);
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
