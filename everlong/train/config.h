#pragma once
// The configuration of a training run: what config.toml holds.

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/base/config.h"
#include "everlong/models/architecture.h"
#include "everlong/models/task.h"
#include "everlong/train/schedule.h"

namespace everlong::train {

enum class DataFormat { text, chats };
enum class DataOrder { lanes, windows };
enum class DecayedParameters { matrices, all };

inline constexpr std::array<std::pair<std::string_view, DataFormat>, 2> kDataFormatNames{{{"text", DataFormat::text}, {"chats", DataFormat::chats}}};
inline constexpr std::array<std::pair<std::string_view, DataOrder>, 2> kDataOrderNames{
    {{"lanes", DataOrder::lanes}, {"windows", DataOrder::windows}}};
inline constexpr std::array<std::pair<std::string_view, models::ProblemType>, 4> kProblemTypeNames{
    {{"automatic", models::ProblemType::automatic},
     {"regression", models::ProblemType::regression},
     {"single_label_classification", models::ProblemType::single_label_classification},
     {"multi_label_classification", models::ProblemType::multi_label_classification}}};
inline constexpr std::array<std::pair<std::string_view, DecayedParameters>, 2> kDecayNames{
    {{"matrices", DecayedParameters::matrices}, {"all", DecayedParameters::all}}};

struct DataConfig {
  std::vector<std::string> train;
  std::vector<std::string> eval;
  DataFormat format = DataFormat::text;
  std::string chat_template;
  std::string tokenizer = "bpe";
  int64_t vocab_size = 2048;
  DataOrder order = DataOrder::lanes;
  int64_t batch_size = 8;
  int64_t seq_len = 512;
  bool end_of_document = false;
  int64_t max_len = 512;
  int64_t pad_to_multiple = 1;
  std::string text_column;
  std::string text_b_column;
  std::string label_column;
  double pixel_mean = 0.5;
  double pixel_std = 0.5;
  double mask_ratio = 0.4;
  bool whole_words = false;
};

struct OptimConfig {
  double lr = 1e-3;
  Schedule schedule = Schedule::cosine;
  int64_t warmup_steps = 100;
  double final_lr_ratio = 0.0;
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  DecayedParameters decay = DecayedParameters::matrices;
  double clip = 1.0;
};

struct RunConfig {
  models::Task task = models::Task::causal_lm;
  models::ProblemType problem_type = models::ProblemType::automatic;
  int64_t steps = 1000;
  int64_t seed = 1;
  std::string dtype = "bf16";
  std::string device = "auto";
  int64_t accumulate = 1;
  bool activation_checkpointing = false;
  double average_decay = 0.0;
  int64_t checkpoint_every = 500;
  int64_t keep_last = 2;
  bool keep_best = true;
  std::string metric;
  std::optional<double> classifier_dropout;
  models::ClassifierConfig classifier;
  int64_t eval_every = 500;
  int64_t eval_segment = 2048;
  int64_t log_every = 10;
  std::string sample_prompt;
  int64_t sample_tokens = 0;
};

/// Everything that `everlong train` reads. Sections [model], [data], [optim], [train].
struct TrainConfig {
  std::string architecture = "mega";
  std::string preset;
  std::string init;
  std::unique_ptr<models::ArchitectureConfig> model;
  DataConfig data;
  OptimConfig optim;
  RunConfig train;

  /// All fields: [data], [optim], [train], and [model] with the architecture's own keys. Bound to this object.
  [[nodiscard]] Fields fields();

  /// Checks fields against each other. Errors  InvalidArgument naming the keys
  void validate() const;
};

/// Reads a TOML file, then overrides "key=value" in order. `model.architecture`, `model.preset` and
/// `model.init` take effect before all other model keys; a folder that `model.init` names and that is gone counts only when weights are needed.
/// Errors   IoError; FormatError naming line and column; InvalidArgument naming the key, with the nearest known one
[[nodiscard]] TrainConfig read_train_config(const std::filesystem::path& path, std::span<const std::string> overrides = {});

}  // namespace everlong::train
