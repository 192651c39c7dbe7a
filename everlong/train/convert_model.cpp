#include "everlong/train/convert_model.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
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

void refuse_taken(const fs::path& destination) {
  if (!fs::exists(destination) || (fs::is_directory(destination) && fs::is_empty(destination))) return;
  throw StateError(
      {.where = destination.string(), .expected = "a new or empty folder", .got = fs::is_directory(destination) ? "one with files in it" : "a file"});
}

/// The stored dtype of a tensor by its public name; files of a model without a head leave the prefix out.
at::ScalarType dtype_in_source(const models::LoadedModel& loaded, const std::string& name) {
  const std::string_view prefix = loaded.model->config().base_prefix();
  const auto& dtypes = loaded.stored_dtypes;
  auto found = dtypes.find(name);
  if (found == dtypes.end() && name.starts_with(prefix)) found = dtypes.find(name.substr(prefix.size()));
  return found == dtypes.end() ? at::kFloat : found->second;
}

checkpoint::TensorMap stored_tensors(const models::LoadedModel& loaded, const ConvertOptions& options) {
  checkpoint::TensorMap tensors = models::public_weights(*loaded.model);
  for (auto& [name, tensor] : tensors)
    if (tensor.is_floating_point()) tensor = tensor.detach().to(options.dtype.value_or(dtype_in_source(loaded, name)));
  return tensors;
}

/// As config.json spells it under "torch_dtype".
std::string public_dtype_name(at::ScalarType dtype) { return dtype == at::kDouble ? "float64" : dtype == at::kBFloat16 ? "bfloat16" : "float32"; }

models::LoadedModel load_as_stored(const fs::path& folder) {
  models::LoadedModel loaded = models::load_causal_lm(folder);
  const auto is_double = [](const auto& item) { return item.second == at::kDouble; };
  if (std::none_of(loaded.stored_dtypes.begin(), loaded.stored_dtypes.end(), is_double)) return loaded;
  return models::load_causal_lm(folder, at::kDouble);
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

ConvertReport report_of(models::LoadedModel& loaded, const fs::path& source) {
  ConvertReport report{.source = source, .notes = std::move(loaded.notes)};
  report.loaded = std::move(loaded.report.loaded);
  report.ignored = std::move(loaded.report.ignored);
  report.unexpected = std::move(loaded.report.unexpected);
  const auto rules = loaded.model->config().name_rules(loaded.model->task());
  for (const std::string& name : report.loaded)
    if (!checkpoint::to_own_name(rules, name)) report.renamed.emplace_back(name, std::string(loaded.model->config().base_prefix()) + name);
  const auto config = loaded.model->config().clone();
  report.kept_keys = loaded.document.apply(config->fields());
  std::erase_if(report.kept_keys, [](const std::string& key) { return key == "model_type" || key == "architectures" || key == "torch_dtype"; });
  report.parameter_count = loaded.model->config().parameter_count();
  return report;
}

}  // namespace

ConvertReport convert_model(const fs::path& source, const fs::path& destination, const ConvertOptions& options) {
  refuse_taken(destination);
  const fs::path folder = resolve_model_path(source);
  models::LoadedModel loaded = load_as_stored(folder);
  const checkpoint::TensorMap tensors = stored_tensors(loaded, options);

  fs::path target = fs::absolute(destination).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  fs::create_directories(target.parent_path());
  io::AtomicFolder written(target, io::IfExists::replace);
  checkpoint::save_tensors(written.temporary() / "model.safetensors", tensors, {{"format", "pt"}});
  const auto config = loaded.model->config().clone();
  if (options.dtype) loaded.document.set_text("torch_dtype", public_dtype_name(*options.dtype));
  loaded.document.write(written.temporary() / "config.json", config->fields(), config->model_type(), config->head_class(loaded.model->task()));
  ConvertReport report = report_of(loaded, folder);
  report.copied = copy_small_files(folder, written.temporary());
  report.num_tensors = std::ssize(tensors);
  report.size_bytes = static_cast<int64_t>(fs::file_size(written.temporary() / "model.safetensors"));
  refuse_taken(destination);
  written.commit();
  return report;
}

}  // namespace everlong::train
