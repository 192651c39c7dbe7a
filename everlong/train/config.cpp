#include "everlong/train/config.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/toml.h"
#include "everlong/models/registry.h"

namespace everlong::train {
namespace {

Fields data_fields(DataConfig& data) {
  Fields fields;
  fields.add("train", data.train, "training corpora: .txt, .jsonl (.gz, .zst), nanoGPT .bin, Megatron .idx")
      .add("eval", data.eval, "files that bits per byte are measured on")
      .add("tokenizer", data.tokenizer, "bytes; bpe (trained on data.train); or a tokenizer file or folder")
      .add("vocab_size", data.vocab_size, "tokens of a trained bpe", {.min = 257})
      .add("order", data.order, "lanes: documents in order with carried state; windows: shuffled windows without it",
           std::span<const std::pair<std::string_view, DataOrder>>(kDataOrderNames))
      .add("batch_size", data.batch_size, "rows in a batch (B)", {.min = 1})
      .add("seq_len", data.seq_len, "tokens a row in a batch (T); gradients reach back this far", {.min = 1})
      .add("end_of_document", data.end_of_document, "append the tokenizer's end token to each document");
  return fields;
}

Fields optim_fields(OptimConfig& optim) {
  Fields fields;
  fields.add("lr", optim.lr, "peak learning rate", {.min = 0})
      .add("schedule", optim.schedule, "learning rate after the warm-up", std::span<const std::pair<std::string_view, Schedule>>(kScheduleNames))
      .add("warmup_steps", optim.warmup_steps, "steps of linear warm-up", {.min = 0})
      .add("final_lr_ratio", optim.final_lr_ratio, "learning rate at the last step, as a part of the peak", {.min = 0, .max = 1})
      .add("beta1", optim.beta1, "decay of the gradient's mean", {.min = 0, .max = 0.99999})
      .add("beta2", optim.beta2, "decay of the gradient's square", {.min = 0, .max = 0.99999})
      .add("eps", optim.eps, "added to the root of the square", {.min = 0})
      .add("weight_decay", optim.weight_decay, "decoupled weight decay", {.min = 0})
      .add("decay", optim.decay, "what decays: matrices only, or all parameters as MEGA's authors do",
           std::span<const std::pair<std::string_view, DecayedParameters>>(kDecayNames))
      .add("clip", optim.clip, "largest norm of all gradients together; 0 = no limit", {.min = 0});
  return fields;
}

Fields run_fields(RunConfig& run) {
  Fields fields;
  fields.add("steps", run.steps, "optimizer steps", {.min = 1})
      .add("seed", run.seed, "of initialisation, data order and dropout", {.min = 0})
      .add("dtype", run.dtype, "of activations and matrix products: f32, bf16 or f64; parameters stay fp32")
      .add("accumulate", run.accumulate, "batches a step", {.min = 1})
      .add("activation_checkpointing", run.activation_checkpointing, "recompute each layer in the backward pass to save memory")
      .add("average_decay", run.average_decay, "moving average of the weights, used for evaluation and saved as the model; 0 = off",
           {.min = 0, .max = 0.99999})
      .add("checkpoint_every", run.checkpoint_every, "steps between checkpoints; the last step always makes one", {.min = 1})
      .add("keep_last", run.keep_last, "newest checkpoints to keep", {.min = 1})
      .add("keep_best", run.keep_best, "also keep the checkpoint with the fewest bits per byte on data.eval, of those whose own step is evaluated")
      .add("eval_every", run.eval_every, "steps between evaluations; 0 = at the end only", {.min = 0})
      .add("eval_segment", run.eval_segment, "tokens a call in evaluation", {.min = 1})
      .add("log_every", run.log_every, "steps between lines of metrics.jsonl", {.min = 1})
      .add("sample_prompt", run.sample_prompt, "text that the sample at the end continues")
      .add("sample_tokens", run.sample_tokens, "tokens of the sample; 0 = none", {.min = 0});
  return fields;
}

/// "key=value" cut at the first '='.
std::pair<std::string, ConfigValue> split_override(const std::string& text) {
  const auto equals = text.find('=');
  require(equals != std::string::npos && equals > 0, [&] { return Complaint{.where = "--set", .expected = "key=value", .got = text}; });
  return {text.substr(0, equals), value_from_text(text.substr(equals + 1))};
}

/// Sets a field to what a TOML file says; there the text "none" stands for null where a field takes no text.
void set_from_file(const Field& field, const ConfigValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  const bool none = text != nullptr && *text == "none";
  if (!none || (!field.accept(value) && !field.accept(std::monostate{}))) field.set(value);
}

void apply_preset(TrainConfig& config) {
  const auto& presets = models::find_architecture(config.architecture).presets();
  const auto found = presets.find(config.preset);
  if (found == presets.end()) {
    std::string known;
    for (const auto& preset : presets) known += (known.empty() ? "" : ", ") + preset.first;
    throw InvalidArgument({.where = "model.preset", .expected = "one of " + known, .got = config.preset});
  }
  config.model->fields().set_all(found->second);
}

}  // namespace

Fields TrainConfig::fields() {
  Fields all;
  all.add("model.architecture", architecture, "architecture of the model")
      .add("model.preset", preset, "named set of model keys to start from; empty = none");
  if (model) all.section("model", model->fields());
  all.section("data", data_fields(data)).section("optim", optim_fields(optim)).section("train", run_fields(train));
  return all;
}

void TrainConfig::validate() const {
  require(!data.train.empty(), [] { return Complaint{.where = "data.train", .expected = "at least one file", .got = "none"}; });
  require(train.dtype == "f32" || train.dtype == "bf16" || train.dtype == "f64",
          [&] { return Complaint{.where = "train.dtype", .expected = "f32, bf16 or f64", .got = train.dtype}; });
  model->validate();
}

TrainConfig read_train_config(const std::filesystem::path& path, std::span<const std::string> overrides) {
  static constexpr std::array<std::string_view, 1> kModelSection{"model"};
  TrainConfig config;
  std::vector<io::TomlEntry> model_keys = io::apply_toml_file(config.fields(), path, kModelSection);
  std::vector<std::pair<std::string, ConfigValue>> later;
  for (const std::string& text : overrides) {
    auto [key, value] = split_override(text);
    if (key == "model.architecture" || key == "model.preset") {
      config.fields().set(key, value);
    } else {
      later.emplace_back(std::move(key), std::move(value));
    }
  }
  config.model = models::find_architecture(config.architecture).make_config();
  if (!config.preset.empty()) apply_preset(config);
  const Fields all = config.fields();
  for (const io::TomlEntry& entry : model_keys) {
    const std::string where = fmt::format("{}:{}", path.string(), entry.line);
    const Field* field = all.find(entry.key);
    require(field != nullptr, [&] {
      const auto near = all.nearest(entry.key);
      return Complaint{
          .where = where, .expected = "a known key", .got = entry.key, .hint = near.empty() ? "" : fmt::format("did you mean {}?", near)};
    });
    set_from_file(*field, entry.value);
  }
  for (const auto& item : later) all.set(item.first, item.second);
  return config;
}

}  // namespace everlong::train
