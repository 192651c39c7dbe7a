#pragma once
// Small runs of tasks: a tokenizer with RoBERTa's special tokens, a tiny encoder, and files to learn from.

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/train/trainer.h"
#include "tests/support/files.h"

namespace everlong::train::testing_support {

/// GPT-2's spelling of a byte.
inline std::string spelling_of(int byte) {
  const auto plain = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; };
  int point = byte;
  if (!plain(byte)) {
    point = 256;
    for (int b = 0; b < byte; ++b) point += plain(b) ? 0 : 1;
  }
  if (point < 128) return std::string(1, static_cast<char>(point));
  return {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 63))};
}

/// Writes a tokenizer of single bytes as RoBERTa's are: 0 <s>, 1 <pad>, 2 </s>, 3 <unk>, the bytes, <mask>.
inline void write_byte_level_tokenizer(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  nlohmann::ordered_json vocabulary = {{"<s>", 0}, {"<pad>", 1}, {"</s>", 2}, {"<unk>", 3}};
  for (int byte = 0; byte < 256; ++byte) vocabulary[spelling_of(byte)] = 4 + byte;
  vocabulary["<mask>"] = 260;
  ::everlong::testing::write_text(folder / "vocab.json", vocabulary.dump());
  ::everlong::testing::write_text(folder / "merges.txt", "#version: 0.2\n");
}

/// Runs in a folder of their own, from one configuration and overrides.
class TaskRuns : public ::testing::Test {
 protected:
  using Overrides = std::vector<std::string>;

  void SetUp() override {
    write_byte_level_tokenizer(folder_ / "tokenizer");
    write("run.toml",
          "[model]\narchitecture = \"mega\"\nhidden_size = 32\nnum_hidden_layers = 2\nintermediate_size = 48\nema_projection_size = 4\n"
          "shared_representation_size = 16\nnffn_hidden_size = 48\nbidirectional = true\ninitializer_range = 0.1\n"
          "dropout_prob = 0\nhidden_dropout_prob = 0\nattention_probs_dropout_prob = 0\nnffn_activation_dropout_prob = 0\n"
          "[data]\ntokenizer = \"" + (folder_ / "tokenizer").string() + "\"\nbatch_size = 8\nmax_len = 64\n"
          "[optim]\nlr = 5e-3\nwarmup_steps = 10\nweight_decay = 0\n"
          "[train]\ndtype = \"f32\"\ncheckpoint_every = 100000\neval_every = 0\nlog_every = 50\n");
  }

  void write(const std::string& name, const std::string& content) const { ::everlong::testing::write_text(folder_ / name, content); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::unique_ptr<Trainer> start(const std::string& run, Overrides overrides, bool resume = false) const {
    return std::make_unique<Trainer>(read_train_config(folder_ / "run.toml", overrides), RunDirectory(folder_ / run), resume, TrainerCallbacks{});
  }
  /// Trains to the end and returns the scores of the first evaluation file.
  TaskEvaluation train(const std::string& run, const Overrides& overrides) const {
    const auto trainer = start(run, overrides);
    EXPECT_EQ(trainer->run({}), TrainOutcome::finished);
    return trainer->last_evaluation().tasks.empty() ? TaskEvaluation{} : trainer->last_evaluation().tasks.front();
  }
  std::filesystem::path checkpoint(const std::string& run, int64_t step) const { return RunDirectory(folder_ / run).checkpoint(step); }

  ::everlong::testing::TemporaryFolder folder_;
};

inline std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace everlong::train::testing_support
