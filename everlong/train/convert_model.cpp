#include "everlong/train/convert_model.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/checkpoint/training_file.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/json.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/run_directory.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 10> kCopiedFiles{"everlong_tokenizer.json",
                                                        "tokenizer.json",
                                                        "tokenizer_config.json",
                                                        "special_tokens_map.json",
                                                        "added_tokens.json",
                                                        "vocab.json",
                                                        "merges.txt",
                                                        "vocab.bpe",
                                                        "encoder.json",
                                                        "generation_config.json"};

bool is_one_file(Dialect dialect) { return dialect == Dialect::fairseq || dialect == Dialect::megalodon_jax; }

void refuse_taken(const fs::path& destination) {
  if (!fs::exists(destination) || (fs::is_directory(destination) && fs::is_empty(destination))) return;
  throw StateError(
      {.where = destination.string(), .expected = "a new or empty folder", .got = fs::is_directory(destination) ? "one with files in it" : "a file"});
}

/// The stored dtype of a tensor by its public name; files of a model without a head leave the prefix out.
at::ScalarType dtype_in_source(const models::LoadedHead& loaded, const std::string& name) {
  const std::string prefix(loaded.model->config().base_prefix());
  const auto& dtypes = loaded.stored_dtypes;
  auto found = dtypes.find(name);
  if (found == dtypes.end()) found = dtypes.find(name.starts_with(prefix) ? name.substr(prefix.size()) : prefix + name);
  return found == dtypes.end() ? at::kFloat : found->second;
}

checkpoint::TensorMap stored_tensors(const models::LoadedHead& loaded, const ConvertOptions& options) {
  checkpoint::TensorMap tensors = models::public_weights(*loaded.model);
  for (auto& [name, tensor] : tensors)
    if (tensor.is_floating_point()) tensor = tensor.detach().to(options.dtype.value_or(dtype_in_source(loaded, name)));
  return tensors;
}

/// As config.json spells it under "torch_dtype".
std::string public_dtype_name(at::ScalarType dtype) { return dtype == at::kDouble ? "float64" : dtype == at::kBFloat16 ? "bfloat16" : "float32"; }

models::LoadedHead load_as_stored(const fs::path& source, const ConvertOptions& options) {
  models::LoadOptions how{.task = options.task, .as_decoder = options.as_decoder};
  models::LoadedHead loaded = models::load_head(source, how);
  const auto is_double = [](const auto& item) { return item.second == at::kDouble; };
  if (std::none_of(loaded.stored_dtypes.begin(), loaded.stored_dtypes.end(), is_double)) return loaded;
  how.parameter_dtype = at::kDouble;
  return models::load_head(source, how);
}

std::vector<std::string> copy_small_files(const fs::path& source, const fs::path& destination) {
  std::vector<std::string> copied;
  for (const auto& entry : fs::directory_iterator(source)) {
    const std::string name = entry.path().filename().string();
    const bool wanted = std::find(kCopiedFiles.begin(), kCopiedFiles.end(), name) != kCopiedFiles.end() || entry.path().extension() == ".model";
    if (!wanted || !entry.is_regular_file()) continue;
    fs::copy_file(entry.path(), destination / name);
    copied.push_back(name);
  }
  std::sort(copied.begin(), copied.end());
  return copied;
}

ConvertReport report_of(models::LoadedHead& loaded, const fs::path& source) {
  ConvertReport report{.source = source, .notes = std::move(loaded.notes)};
  report.loaded = std::move(loaded.report.loaded);
  report.renamed = std::move(loaded.renamed);
  report.ignored = std::move(loaded.report.ignored);
  report.missing = std::move(loaded.report.missing);
  report.unexpected = std::move(loaded.report.unexpected);
  const auto config = loaded.model->config().clone();
  if (!fs::is_regular_file(source)) report.kept_keys = loaded.document.apply(config->fields());
  models::TaskConfig task_config;
  const Fields task_fields = task_config.fields();
  std::erase_if(report.kept_keys, [&](const std::string& key) {
    return key == "model_type" || key == "architectures" || key == "torch_dtype" || key == "id2label" || key == "label2id" ||
           task_fields.find(key) != nullptr;
  });
  report.parameter_count = models::count_parameters(*loaded.model);
  report.task = models::task_name(loaded.model->task());
  return report;
}

fs::path absolute_target(const fs::path& destination) {
  fs::path target = fs::absolute(destination).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  fs::create_directories(target.parent_path());
  return target;
}

/// Files of weights in a folder, as the report lists them.
void report_files(const fs::path& place, const checkpoint::TensorMap& tensors, ConvertReport& report) {
  report.num_tensors = std::ssize(tensors);
  for (const std::string& file : report.files)
    if (!file.ends_with(".json")) report.size_bytes += static_cast<int64_t>(fs::file_size(place / file));
}

void write_directory(const fs::path& folder, const fs::path& target, models::LoadedHead& loaded, const ConvertOptions& options,
                     ConvertReport& report) {
  const checkpoint::TensorMap tensors = stored_tensors(loaded, options);
  io::AtomicFolder written(target, io::IfExists::replace);
  const fs::path& place = written.temporary();
  report.files = checkpoint::save_weights(place, tensors,
                                          {.format = options.format, .max_shard_bytes = options.max_shard_bytes, .metadata = {{"format", "pt"}}});
  if (options.dtype) loaded.document.set_text("torch_dtype", public_dtype_name(*options.dtype));
  models::save_config(place, *loaded.model, loaded.document);
  if (fs::is_directory(folder)) report.copied = copy_small_files(folder, place);
  report_files(place, tensors, report);
  auto unknown = loaded.model->config().unknown_to_public_code();
  for (const std::string& key : loaded.model->task_config().unknown_to_public_code()) unknown.push_back(key);
  for (const std::string& key : unknown)
    report.notes.push_back(key + " is not known to the family's Hugging Face code, which would compute another model");
  refuse_taken(target);
  written.commit();
}

/// The model as the code of another dialect saves it.
models::OriginalCheckpoint original_of(const models::LoadedHead& loaded, const ConvertOptions& options) {
  checkpoint::TensorMap tensors = stored_tensors(loaded, options);
  if (loaded.model->task() == models::Task::embedding) {  // saved without the prefix
    const std::string prefix(loaded.model->config().base_prefix());
    checkpoint::TensorMap prefixed;
    for (const auto& [name, tensor] : tensors) prefixed.emplace(prefix + name, tensor);
    tensors = std::move(prefixed);
  }
  return loaded.model->config().original_checkpoint(options.dialect, loaded.model->task(), tensors);
}

void write_file(const fs::path& target, const models::OriginalCheckpoint& original, Dialect dialect, ConvertReport& report) {
  if (dialect == Dialect::fairseq)
    checkpoint::write_training_file(target, original.tensors, original.settings);
  else
    checkpoint::save_tensors(target, original.tensors, original.metadata);
  report.files = {target.filename().string()};
  report_files(target.parent_path(), original.tensors, report);
}

/// The name that the release has for a dtype.
std::string release_dtype_name(at::ScalarType dtype) {
  if (dtype == at::kFloat) return "fp32";
  if (dtype == at::kBFloat16) return "bf16";
  throw Unsupported(
      {.where = "convert to consolidated", .expected = "weights in fp32 or bf16", .got = c10::toString(dtype), .hint = "add --dtype f32"});
}

/// The files that the release reloads. Its tokenizer is a SentencePiece model, opened from where the program runs.
void write_consolidated(const fs::path& place, const models::OriginalCheckpoint& original, ConvertReport& report) {
  const auto model = std::find_if(report.copied.begin(), report.copied.end(), [](const std::string& name) { return name.ends_with(".model"); });
  io::Json tokenizer = {{"path", nullptr}, {"additional_vocab_size", 0}, {"data_tokenized", false}};
  if (model != report.copied.end())
    tokenizer["path"] = *model;
  else
    report.notes.emplace_back("the release needs a SentencePiece model: name one in config.json under tokenizer.path");
  const std::string dtype = release_dtype_name(original.tensors.at("embed.weight").scalar_type());
  io::write_json(place / "config.json", io::Json{{"model", io::parse_json(checkpoint::settings_text(original.settings), "config.json")},
                                                 {"tokenizer", std::move(tokenizer)}});
  io::write_json(place / "consolidate_config.json", io::Json{{"model_parallel_size", 1}, {"dtype", dtype}});
  checkpoint::save_torch_tensors(place / "consolidated.pth", original.tensors);
  report.files = {"consolidated.pth"};
}

void write_port(const fs::path& place, models::OriginalCheckpoint& original, const ConvertOptions& options, ConvertReport& report) {
  report.files = checkpoint::save_weights(place, original.tensors,
                                          {.format = options.format, .max_shard_bytes = options.max_shard_bytes, .metadata = {{"format", "pt"}}});
  original.settings["torch_dtype"] = public_dtype_name(original.tensors.at("model.embed.weight").scalar_type());
  io::write_json(place / "config.json", io::parse_json(checkpoint::settings_text(original.settings), "config.json"));
}

void write_folder(const fs::path& folder, const fs::path& target, models::OriginalCheckpoint& original, const ConvertOptions& options,
                  ConvertReport& report) {
  io::AtomicFolder written(target, io::IfExists::replace);
  const fs::path& place = written.temporary();
  if (fs::is_directory(folder)) report.copied = copy_small_files(folder, place);
  if (options.dialect == Dialect::consolidated)
    write_consolidated(place, original, report);
  else
    write_port(place, original, options, report);
  report_files(place, original.tensors, report);
  refuse_taken(target);
  written.commit();
}

void write_original(const fs::path& folder, const fs::path& target, const models::LoadedHead& loaded, const ConvertOptions& options,
                    ConvertReport& report) {
  models::OriginalCheckpoint original = original_of(loaded, options);
  report.renamed.insert(report.renamed.end(), original.renamed.begin(), original.renamed.end());
  report.notes.insert(report.notes.end(), original.notes.begin(), original.notes.end());
  if (is_one_file(options.dialect))
    write_file(target, original, options.dialect, report);
  else
    write_folder(folder, target, original, options, report);
}

}  // namespace

ConvertReport convert_model(const fs::path& source, const fs::path& destination, const ConvertOptions& options) {
  const fs::path target = absolute_target(destination);
  if (is_one_file(options.dialect) && fs::exists(target))
    throw StateError({.where = destination.string(), .expected = "the name of a new file", .got = "one that exists"});
  require(options.dialect != Dialect::megalodon_jax || target.extension() == ".safetensors", [&] {
    return Complaint{.where = destination.string(), .expected = "a file named .safetensors, as megalodon-jax wants it", .got = "another name"};
  });
  refuse_taken(target);
  const fs::path folder = checkpoint::is_training_file(source) ? source : resolve_model_path(source);
  models::LoadedHead loaded = load_as_stored(folder, options);
  ConvertReport report = report_of(loaded, folder);
  if (options.dialect == Dialect::hf)
    write_directory(folder, target, loaded, options, report);
  else
    write_original(folder, target, loaded, options, report);
  return report;
}

}  // namespace everlong::train
