#include "everlong/train/config.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/toml.h"
#include "everlong/models/model_directory.h"
#include "everlong/models/registry.h"
#include "everlong/train/run_directory.h"

namespace everlong::train {
namespace {

Fields data_fields(DataConfig& data) {
  Fields fields;
  fields
      .add("train", data.train,
           "training corpora: .txt, .jsonl (.gz, .zst), nanoGPT .bin, Megatron .idx; of tasks with labels .tsv, .jsonl and images-idx3")
      .add("eval", data.eval, "files that bits per byte, or the scores of the task, are measured on")
      .add("format", data.format, "text: documents, all of it learned; chats: conversations in .jsonl of which the answers are learned",
           std::span<const std::pair<std::string_view, DataFormat>>(kDataFormatNames))
      .add("chat_template", data.chat_template, "chats: file with a chat template; empty = the tokenizer's own, else a plain one")
      .add("tokenizer", data.tokenizer, "bytes; bpe (trained on data.train, for tasks with <s>, </s>, <mask>; or with model.init that model's own); or a tokenizer file or folder")
      .add("vocab_size", data.vocab_size, "tokens of a trained bpe", {.min = 257})
      .add("order", data.order, "lanes: documents in order with carried state; windows: shuffled windows without it",
           std::span<const std::pair<std::string_view, DataOrder>>(kDataOrderNames))
      .add("batch_size", data.batch_size, "rows in a batch (B)", {.min = 1})
      .add("seq_len", data.seq_len, "tokens a row in a batch (T); gradients reach back this far", {.min = 1})
      .add("end_of_document", data.end_of_document, "append the tokenizer's end token to each document")
      .add("max_len", data.max_len, "tokens an example of a task, marks included; the rest is cut off", {.min = 4})
      .add("pad_to_multiple", data.pad_to_multiple, "round the length of each batch of a task up to one of this", {.min = 1})
      .add("text_column", data.text_column, "column or key of the first text; empty = found by the usual names")
      .add("text_b_column", data.text_b_column, "column or key of the second text; empty = as above")
      .add("label_column", data.label_column, "column or key of the label; empty = as above")
      .add("pixel_mean", data.pixel_mean, "images: pixels v become (v / 255 - pixel_mean) / pixel_std")
      .add("pixel_std", data.pixel_std, "images: as above", {.min = 1e-6})
      .add("mask_ratio", data.mask_ratio, "masked-lm: share of the tokens to predict", {.min = 0.001, .max = 1})
      .add("whole_words", data.whole_words, "masked-lm: mask words, not tokens");
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
  fields.add("task", run.task, "what is learned", std::span<const std::pair<std::string_view, models::Task>>(models::kTaskNames).first(6))
      .add("problem_type", run.problem_type, "what sequence labels mean; automatic = one class an example",
           std::span<const std::pair<std::string_view, models::ProblemType>>(kProblemTypeNames))
      .add("steps", run.steps, "optimizer steps", {.min = 1})
      .add("seed", run.seed, "of initialisation, data order and dropout", {.min = 0})
      .add("dtype", run.dtype, "of activations and matrix products: f32, bf16 or f64; parameters stay fp32")
      .add("device", run.device, "where to compute: auto, cpu or cuda")
      .add("accumulate", run.accumulate, "batches a step", {.min = 1})
      .add("activation_checkpointing", run.activation_checkpointing, "recompute each layer in the backward pass to save memory")
      .add("average_decay", run.average_decay, "moving average of the weights, used for evaluation and saved as the model; 0 = off",
           {.min = 0, .max = 0.99999})
      .add("checkpoint_every", run.checkpoint_every, "steps between checkpoints; the last step always makes one", {.min = 1})
      .add("keep_last", run.keep_last, "newest checkpoints to keep", {.min = 1})
      .add("keep_best", run.keep_best, "also keep the checkpoint that is best on data.eval, of those whose own step is evaluated")
      .add("metric", run.metric, "score that says which is best; empty = bits per byte, or the first score of the task")
      .add("classifier_dropout", run.classifier_dropout, "dropout before a classifier; null = the model's own", {.min = 0, .max = 0.999});
  const Fields classifier = models::classifier_shape_fields(run.classifier);
  for (const Field& field : classifier.all()) fields.append(field);
  fields.add("eval_every", run.eval_every, "steps between evaluations; 0 = at the end only", {.min = 0})
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

/// The configuration that the other model keys change: of model.init if its folder is there, else the architecture's own.
void start_model(TrainConfig& config) {
  if (config.init.empty() || !std::filesystem::exists(config.init)) {
    config.model = models::find_architecture(config.architecture).make_config();
    return;
  }
  config.model = models::load_config(resolve_model_path(config.init)).config;
  config.architecture = models::find_architecture(config.model->model_type()).name;
}

}  // namespace

Fields TrainConfig::fields() {
  Fields all;
  all.add("model.architecture", architecture, "architecture of the model")
      .add("model.preset", preset, "named set of model keys to start from; empty = none")
      .add("model.init", init, "model directory or run to start from: its configuration, weights and tokenizer; empty = none");
  if (model) all.section("model", model->fields());
  all.section("data", data_fields(data)).section("optim", optim_fields(optim)).section("train", run_fields(train));
  return all;
}

void TrainConfig::validate() const {
  require(!data.train.empty(), [] { return Complaint{.where = "data.train", .expected = "at least one file", .got = "none"}; });
  require(train.dtype == "f32" || train.dtype == "bf16" || train.dtype == "f64",
          [&] { return Complaint{.where = "train.dtype", .expected = "f32, bf16 or f64", .got = train.dtype}; });
  require(train.device == "auto" || train.device == "cpu" || train.device == "cuda",
          [&] { return Complaint{.where = "train.device", .expected = "auto, cpu or cuda", .got = train.device}; });
  require(init.empty() || preset.empty(), [] { return Complaint{.where = "model.preset", .expected = "none with model.init", .got = "both"}; });
  require(data.format != DataFormat::chats || data.tokenizer != "bpe" || !init.empty(), [] {
    return Complaint{.where = "data.tokenizer", .expected = "a tokenizer or model.init with data.format = chats", .got = "bpe, learned from text"};
  });
  model->validate();
}

TrainConfig read_train_config(const std::filesystem::path& path, std::span<const std::string> overrides) {
  static constexpr std::array<std::string_view, 1> kModelSection{"model"};
  TrainConfig config;
  std::vector<io::TomlEntry> model_keys = io::apply_toml_file(config.fields(), path, kModelSection);
  std::vector<std::pair<std::string, ConfigValue>> later;
  for (const std::string& text : overrides) {
    auto [key, value] = split_override(text);
    if (key == "model.architecture" || key == "model.preset" || key == "model.init") {
      config.fields().set(key, value);
    } else {
      later.emplace_back(std::move(key), std::move(value));
    }
  }
  start_model(config);
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
