#include "everlong/models/model_directory.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"
#include "everlong/models/registry.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {
namespace {

constexpr std::string_view kOutputWeight = "head.output.weight";
constexpr std::string_view kOutputBias = "head.output.bias";
constexpr std::string_view kEmbeddingWeight = "model.embedding.weight";

/// With tied weights the head's tensor wins over the embedding's, as in transformers 4.40.2, and either alone is enough.
void resolve_tied_output(checkpoint::TensorMap& tensors, const std::vector<checkpoint::NameRule>& rules, std::vector<std::string>& notes) {
  const auto head = tensors.find(*checkpoint::to_public_name(rules, kOutputWeight));
  if (head == tensors.end()) return;
  const std::string embedding = *checkpoint::to_public_name(rules, kEmbeddingWeight);
  const auto found = tensors.find(embedding);
  if (found != tensors.end() && !at::equal(found->second, head->second))
    notes.push_back(fmt::format("{} and {} are tied and differ in the file; {} is used for both", embedding, head->first, head->first));
  const at::Tensor weight = head->second;
  tensors.erase(head);
  tensors[embedding] = weight;
}

/// Parts of the head may be missing: they keep their fresh values. Anything else is an error.
void settle_missing(checkpoint::LoadReport& report, std::vector<std::string>& notes, const std::string& file, const std::string& may_start_fresh) {
  std::vector<std::string> fresh;
  std::erase_if(report.missing, [](const std::string& name) { return name.ends_with("num_batches_tracked"); });
  std::erase_if(report.missing, [&](const std::string& name) {
    const bool allowed = name.starts_with("head.") || (!may_start_fresh.empty() && name.find(may_start_fresh) != std::string::npos);
    if (allowed && name != kOutputBias) fresh.push_back(name);
    if (name == kOutputBias) notes.push_back("the bias of the output layer is not in the file; zeros are used");
    return allowed;
  });
  if (!fresh.empty()) notes.push_back(fmt::format("not in the file, so freshly initialised: {}", fmt::join(fresh, ", ")));
  if (!report.missing.empty())
    throw FormatError({.file = file}, "every tensor that config.json asks for", fmt::format("nothing for {}", fmt::join(report.missing, ", ")),
                      report.unexpected.empty() ? "" : fmt::format("the file has, and this model has not: {}", fmt::join(report.unexpected, ", ")));
}

bool is_language_model(Task task) { return task == Task::causal_lm || task == Task::masked_lm; }

/// Calls use(document, fields, class) with what config.json of a model says.
template <class Use>
void describe(const TaskHead& model, const checkpoint::ConfigDocument& extra, const Use& use) {
  const auto config = model.config().clone();
  TaskConfig task_config = model.task_config();
  Fields fields = config->fields();
  checkpoint::ConfigDocument document = extra;
  if (!is_language_model(model.task()) && model.task() != Task::embedding) {
    const Fields task_fields = task_config.fields();
    for (const Field& field : task_fields.all())
      if (to_text(field.get()) != "automatic") fields.append(field);  // the public file has null there
    if (!task_config.label_names.empty()) document.set_label_names(task_config.label_names);
  }
  use(document, fields, config->head_class(model.task()));
}

}  // namespace

Task LoadedConfig::saved_task() const {
  const std::string saved = document.saved_class();
  for (const auto& entry : kTaskNames)
    if (!saved.empty() && config->head_class(entry.second) == saved) return entry.second;
  return config->default_task();
}

LoadedConfig load_config(const std::filesystem::path& folder) { return config_from(checkpoint::ConfigDocument::read(folder / "config.json")); }

LoadedConfig config_from(checkpoint::ConfigDocument document) {
  LoadedConfig loaded{.config = nullptr, .task_config = {}, .document = std::move(document), .unknown_keys = {}};
  loaded.config = find_architecture(loaded.document.model_type()).make_config();
  const Fields task_fields = loaded.task_config.fields();
  loaded.unknown_keys = loaded.document.apply(loaded.config->fields());
  (void)loaded.document.apply(task_fields);
  std::erase_if(loaded.unknown_keys, [&](const std::string& key) { return task_fields.find(key) != nullptr; });
  loaded.task_config.label_names = loaded.document.label_names();
  const auto keys = loaded.document.keys();
  if (!keys.contains("num_labels") && !loaded.task_config.label_names.empty())
    loaded.task_config.num_labels = static_cast<int64_t>(loaded.task_config.label_names.size());
  loaded.config->adopt_public_defaults(keys);
  loaded.config->validate();
  return loaded;
}

LoadedHead load_head(const std::filesystem::path& folder, const LoadOptions& options) {
  LoadedConfig config = load_config(folder);
  checkpoint::TensorFile weights = checkpoint::load_weights(folder);
  return head_from(std::move(config), std::move(weights.tensors), weights.path.string(), options);
}

LoadedHead head_from(LoadedConfig config, checkpoint::TensorMap tensors, const std::string& file, const LoadOptions& options) {
  const Task task = options.task.value_or(config.saved_task());
  LoadedHead loaded{.model = make_head(*config.config, task, options.task_config.value_or(config.task_config)),
                    .document = std::move(config.document),
                    .report = {},
                    .stored_dtypes = {},
                    .notes = {}};
  if (options.parameter_dtype == at::kDouble) loaded.model->to(at::kDouble);
  for (const auto& [name, tensor] : tensors) loaded.stored_dtypes.emplace(name, tensor.scalar_type());
  const auto rules = config.config->name_rules(task);
  loaded.notes = config.config->adapt_public_tensors(tensors);
  if (is_language_model(task) && config.config->lm_head().tied) resolve_tied_output(tensors, rules, loaded.notes);
  loaded.report = checkpoint::load_into(*loaded.model, tensors, rules, std::string(config.config->base_prefix()), file);
  settle_missing(loaded.report, loaded.notes, file, options.may_start_fresh);
  loaded.model->eval();
  return loaded;
}

LoadedModel load_causal_lm(const std::filesystem::path& folder, at::ScalarType parameter_dtype) {
  LoadedHead loaded = load_head(folder, {.task = Task::causal_lm, .parameter_dtype = parameter_dtype});
  return {.model = std::static_pointer_cast<CausalLm>(loaded.model),
          .document = std::move(loaded.document),
          .report = std::move(loaded.report),
          .stored_dtypes = std::move(loaded.stored_dtypes),
          .notes = std::move(loaded.notes)};
}

checkpoint::TensorMap public_weights(const TaskHead& model) {
  checkpoint::TensorMap tensors = checkpoint::public_tensors(model, model.config().name_rules(model.task()));
  for (const Placeholder& placeholder : model.config().placeholders()) tensors.emplace(placeholder.name, at::zeros(placeholder.shape, at::kFloat));
  if (model.task() != Task::embedding) return tensors;
  checkpoint::TensorMap bare;  // a model without a head leaves the prefix out
  const std::string_view prefix = model.config().base_prefix();
  for (const auto& [name, tensor] : tensors) bare.emplace(name.starts_with(prefix) ? name.substr(prefix.size()) : name, tensor);
  return bare;
}

checkpoint::ConfigDocument public_config(const TaskHead& model, const checkpoint::ConfigDocument& extra) {
  checkpoint::ConfigDocument complete;
  describe(model, extra, [&](const checkpoint::ConfigDocument& document, const Fields& fields, std::string_view head_class) {
    complete = document.with(fields, model.config().model_type(), head_class);
  });
  return complete;
}

void save_model(const std::filesystem::path& folder, const TaskHead& model, const checkpoint::ConfigDocument& extra) {
  checkpoint::save_tensors(folder / "model.safetensors", public_weights(model), {{"format", "pt"}});
  describe(model, extra, [&](const checkpoint::ConfigDocument& document, const Fields& fields, std::string_view head_class) {
    document.write(folder / "config.json", fields, model.config().model_type(), head_class);
  });
}

}  // namespace everlong::models
