// Trains a small model on a text file with the Trainer, and continues the text with what it has learned.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "everlong/generate/session.h"
#include "everlong/models/model_directory.h"
#include "everlong/models/registry.h"
#include "everlong/train/trainer.h"

namespace {

namespace models = everlong::models;
namespace train = everlong::train;

train::TrainConfig small_run(const std::string& text, int64_t steps) {
  train::TrainConfig config;
  config.model = models::find_architecture("mega").tiny_config();
  config.model->fields().set("hidden_size", int64_t{64});
  config.model->fields().set("chunk_size", int64_t{32});
  config.data = {.train = {text}, .eval = {}, .tokenizer = "bytes", .batch_size = 8, .seq_len = 64};
  config.optim.lr = 5e-3;
  config.optim.warmup_steps = 10;
  config.train.steps = steps;
  config.train.dtype = "f32";
  config.train.log_every = steps < 10 ? 1 : steps / 10;
  return config;
}

void run(const std::string& text, const std::filesystem::path& folder, int64_t steps) {
  std::filesystem::remove_all(folder / "checkpoints");  // an example may overwrite its own run; the Trainer never does
  std::filesystem::remove(folder / "config.toml");
  std::filesystem::remove(folder / "metrics.jsonl");

  double first = 0, last = 0;
  train::TrainerCallbacks callbacks;
  callbacks.on_step = [&](const train::StepReport& report) {
    if (first == 0) first = report.loss;
    last = report.loss;
    fmt::print("step {:>4}  loss {:.3f} nats  {:.2f} bits per byte  {:.0f} tokens/s\n", report.step, report.loss, report.bits_per_byte.value_or(0),
               report.tokens_per_s);
  };
  train::Trainer trainer(small_run(text, steps), train::RunDirectory(folder), false, callbacks);
  trainer.run([] { return false; });
  if (!(last < first)) throw std::runtime_error("the loss did not fall");

  const auto checkpoint = train::resolve_model_path(folder);
  everlong::generate::Session session(models::load_causal_lm(checkpoint).model, everlong::text::load_tokenizer(checkpoint));
  session.read("Anne ");
  fmt::print("{}: Anne {}\n", checkpoint.string(), session.generate({.max_tokens = 80, .sampling = {.temperature = 0.7}}).text);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: {} TEXT RUN_FOLDER [STEPS]\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], argc > 3 ? std::stoll(argv[3]) : 300);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
