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

/// Parts of the head may be missing, and what `may_start_fresh` names: they keep their fresh values and stay in the report. Anything else is an
/// error.
void settle_missing(checkpoint::LoadReport& report, std::vector<std::string>& notes, const std::string& file, const std::string& may_start_fresh) {
  std::vector<std::string> fresh, needed;
  std::erase_if(report.missing, [](const std::string& name) { return name.ends_with("num_batches_tracked"); });
  for (const std::string& name : report.missing) {
    const bool allowed = name.starts_with("head.") || (!may_start_fresh.empty() && name.find(may_start_fresh) != std::string::npos);
    if (!allowed) needed.push_back(name);
    if (allowed && name != kOutputBias) fresh.push_back(name);
    if (name == kOutputBias) notes.push_back("the bias of the output layer is not in the file; zeros are used");
  }
  if (!fresh.empty()) notes.push_back(fmt::format("not in the file, so freshly initialised: {}", fmt::join(fresh, ", ")));
  if (!needed.empty())
    throw FormatError({.file = file}, "every tensor that config.json asks for", fmt::format("nothing for {}", fmt::join(needed, ", ")),
                      report.unexpected.empty() ? "" : fmt::format("the file has, and this model has not: {}", fmt::join(report.unexpected, ", ")));
}

/// The architecture of a released configuration that does not name it.
std::string type_of_keys(const KeySet& keys) {
  for (const Architecture& architecture : architectures()) {
    const std::string_view key = architecture.make_config()->recognising_key();
    if (!key.empty() && keys.contains(key)) return std::string(architecture.model_type);
  }
  return {};
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
    models::TaskConfig usual;
    const Fields task_fields = task_config.fields(), unknown = task_config.classifier_fields(), defaults = usual.classifier_fields();
    for (const Field& field : task_fields.all()) {
      const std::string value = to_text(field.get());
      const bool left_out = value == "automatic" || (unknown.find(field.key) != nullptr && value == to_text(defaults.find(field.key)->get()));
      if (!left_out) fields.append(field);  // the public file has null or nothing there
    }
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

checkpoint::ConfigDocument read_config_document(const std::filesystem::path& path) { return checkpoint::ConfigDocument::read(path, type_of_keys); }

LoadedConfig load_config(const std::filesystem::path& folder) { return config_from(read_config_document(folder / "config.json")); }

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

namespace {

/// A model on disk, before its tensors are given to a module.
struct Source {
  LoadedConfig config;
  checkpoint::TensorMap tensors;
  std::string file;
  Task task;
  std::vector<Renaming> renamed;
  std::vector<std::string> ignored, notes;
};

Source read_original(const std::filesystem::path& path) {
  const checkpoint::TrainingFile original = checkpoint::read_training_file(path);
  for (const Architecture& architecture : architectures()) {
    auto config = architecture.make_config();
    auto adopted = config->adopt_original(original);
    if (!adopted) continue;
    config->validate();
    return {.config = {.config = std::move(config), .task_config = {}, .document = {}, .unknown_keys = {}},
            .tensors = std::move(adopted->tensors),
            .file = path.string(),
            .task = adopted->task,
            .renamed = std::move(adopted->renamed),
            .ignored = std::move(adopted->ignored),
            .notes = std::move(adopted->notes)};
  }
  throw Unsupported({.where = path.string(),
                     .expected = "tensors under the names of an original release known here",
                     .got = "others",
                     .hint = "name the folder with config.json if this is pytorch_model.bin"});
}

/// The weights of a model directory, in one piece.
checkpoint::TensorFile read_weights(const std::filesystem::path& path, const ArchitectureConfig& config) {
  const auto parts = checkpoint::find_model_shards(path);
  if (parts.empty() || std::filesystem::exists(checkpoint::find_weights(path))) return checkpoint::load_weights(path);
  std::vector<checkpoint::TensorFile> shards;
  for (const auto& part : parts) shards.push_back(checkpoint::load_tensors(part));
  return {.tensors = config.join_shards(shards), .metadata = {}, .path = parts.front()};
}

Source read_source(const std::filesystem::path& path) {
  if (checkpoint::is_training_file(path)) return read_original(path);
  LoadedConfig config = load_config(path);
  auto weights = read_weights(path, *config.config);
  const Task task = config.saved_task();
  return {.config = std::move(config),
          .tensors = std::move(weights.tensors),
          .file = weights.path.string(),
          .task = task,
          .renamed = {},
          .ignored = {},
          .notes = {}};
}

/// A causal and a masked language model have the same head under different names: gives a tensor of the other kind the name it has in this one.
void rename_sibling_head(Source& source, Task task) {
  const ArchitectureConfig& config = *source.config.config;
  const Task sibling = task == Task::causal_lm ? Task::masked_lm : Task::causal_lm;
  if (config.head_class(sibling).empty()) return;
  const auto rules = config.name_rules(task), others = config.name_rules(sibling);
  std::vector<Renaming> moves;
  for (const auto& entry : source.tensors) {
    if (checkpoint::to_own_name(rules, entry.first)) continue;
    const auto own = checkpoint::to_own_name(others, entry.first);
    const auto name = own ? checkpoint::to_public_name(rules, *own) : std::nullopt;
    if (name && own->starts_with("head.") && !source.tensors.contains(*name)) moves.emplace_back(entry.first, *name);
  }
  for (const auto& [from, to] : moves) {
    auto node = source.tensors.extract(from);
    node.key() = to;
    source.tensors.insert(std::move(node));
    source.renamed.emplace_back(from, to);
  }
}

/// Names without the prefix of a head's file, as a bare model is saved, count as renamed.
void note_prefixes(LoadedHead& loaded, const std::vector<checkpoint::NameRule>& rules) {
  if (loaded.model->task() == Task::embedding) return;
  for (const std::string& name : loaded.report.loaded)
    if (!checkpoint::to_own_name(rules, name)) loaded.renamed.emplace_back(name, std::string(loaded.model->config().base_prefix()) + name);
}

/// Builds the model and gives it the tensors.
LoadedHead load_source(Source source, const LoadOptions& options) {
  const auto& config = source.config.config;
  if (options.as_decoder) config->become_decoder();
  const Task task = options.task.value_or(options.as_decoder ? Task::causal_lm : source.task);
  LoadedHead loaded{.model = make_head(*config, task, options.task_config.value_or(source.config.task_config)),
                    .document = std::move(source.config.document),
                    .report = {},
                    .stored_dtypes = {},
                    .notes = std::move(source.notes),
                    .renamed = {}};
  if (options.parameter_dtype == at::kDouble) loaded.model->to(at::kDouble);
  if (is_language_model(task)) rename_sibling_head(source, task);
  for (const auto& [name, tensor] : source.tensors) loaded.stored_dtypes.emplace(name, tensor.scalar_type());
  const auto rules = config->name_rules(task);
  for (std::string& note : config->adapt_public_tensors(source.tensors)) loaded.notes.push_back(std::move(note));
  if (is_language_model(task) && config->lm_head().tied) resolve_tied_output(source.tensors, rules, loaded.notes);
  loaded.report = checkpoint::load_into(*loaded.model, source.tensors, rules, std::string(config->base_prefix()), source.file);
  settle_missing(loaded.report, loaded.notes, source.file, options.may_start_fresh);
  loaded.renamed = std::move(source.renamed);
  note_prefixes(loaded, rules);
  loaded.report.ignored.insert(loaded.report.ignored.end(), source.ignored.begin(), source.ignored.end());
  loaded.model->eval();
  return loaded;
}

}  // namespace

LoadedHead load_head(const std::filesystem::path& folder, const LoadOptions& options) { return load_source(read_source(folder), options); }

LoadedHead head_from(LoadedConfig config, checkpoint::TensorMap tensors, const std::string& file, const LoadOptions& options) {
  const Task task = config.saved_task();
  return load_source(
      {.config = std::move(config), .tensors = std::move(tensors), .file = file, .task = task, .renamed = {}, .ignored = {}, .notes = {}}, options);
}

LoadedModel load_causal_lm(const std::filesystem::path& folder, at::ScalarType parameter_dtype) {
  LoadedHead loaded = load_head(folder, {.task = Task::causal_lm, .parameter_dtype = parameter_dtype});
  return {.model = std::static_pointer_cast<CausalLm>(loaded.model),
          .document = std::move(loaded.document),
          .report = std::move(loaded.report),
          .stored_dtypes = std::move(loaded.stored_dtypes),
          .notes = std::move(loaded.notes),
          .renamed = std::move(loaded.renamed)};
}

checkpoint::TensorMap public_weights(const TaskHead& model) {
  checkpoint::TensorMap tensors = checkpoint::public_tensors(model, model.config().name_rules(model.task()));
  for (const Placeholder& placeholder : model.config().placeholders())
    tensors.emplace(placeholder.name, at::zeros(placeholder.shape, placeholder.dtype));
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

void save_config(const std::filesystem::path& folder, const TaskHead& model, const checkpoint::ConfigDocument& extra) {
  describe(model, extra, [&](const checkpoint::ConfigDocument& document, const Fields& fields, std::string_view head_class) {
    document.write(folder / "config.json", fields, model.config().model_type(), head_class);
  });
}

void save_model(const std::filesystem::path& folder, const TaskHead& model, const checkpoint::ConfigDocument& extra) {
  checkpoint::save_tensors(folder / "model.safetensors", public_weights(model), {{"format", "pt"}});
  save_config(folder, model, extra);
}

}  // namespace everlong::models
