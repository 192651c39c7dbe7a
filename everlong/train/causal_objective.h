#pragma once

#include <memory>

#include "everlong/data/batches.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/train/objective.h"

namespace everlong::train {

/// Next tokens of a corpus, with carried state where data.order is lanes; of conversations those of the answers.
class CausalObjective final : public Objective {
 public:
  CausalObjective(TrainConfig& config, const RunDirectory& directory, bool load_initial, const Message& message);

  BatchLoss next_loss() override;
  [[nodiscard]] io::Json position() const override;
  void seek(const io::Json& position, std::string_view file_name) override;
  void save_state(checkpoint::TensorMap& into) const override;
  void load_state(const checkpoint::TensorMap& from, const std::string& file_name) override;
  RunEvaluation evaluate(int64_t step, MetricsLog& metrics, const Message& message) override;
  [[nodiscard]] std::string metric() const override { return "bits_per_byte"; }
  [[nodiscard]] std::optional<double> metric_of(const RunEvaluation& evaluation) const override;
  [[nodiscard]] std::optional<double> bits_per_byte(double nats) const override;

 private:
  std::shared_ptr<models::CausalLm> lm_;
  std::unique_ptr<data::BatchSource> source_;
  nn::State state_;
  bool carries_;
  std::vector<std::string> eval_files_;
  std::vector<std::shared_ptr<const data::Corpus>> eval_chats_;  ///< of each file, where they are conversations
  int64_t eval_segment_;
  double bytes_per_token_ = 1;
};

}  // namespace everlong::train
