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
void resolve_tied_output(checkpoint::TensorMap& tensors, const ArchitectureConfig& config, std::vector<std::string>& notes) {
  if (!config.lm_head().tied) return;
  const auto rules = config.name_rules();
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

void refuse_missing(checkpoint::LoadReport& report, std::vector<std::string>& notes, const std::string& file) {
  const auto bias = std::find(report.missing.begin(), report.missing.end(), kOutputBias);
  if (bias != report.missing.end()) {
    notes.push_back("the bias of the output matrix is not in the file; zeros are used");
    report.missing.erase(bias);
  }
  std::erase_if(report.missing, [](const std::string& name) { return name.ends_with("num_batches_tracked"); });
  if (!report.missing.empty())
    throw FormatError({.file = file}, "every tensor that config.json asks for", fmt::format("nothing for {}", fmt::join(report.missing, ", ")),
                      report.unexpected.empty() ? "" : fmt::format("the file has, and this model has not: {}", fmt::join(report.unexpected, ", ")));
}

}  // namespace

LoadedConfig load_config(const std::filesystem::path& folder) {
  LoadedConfig loaded{.config = nullptr, .document = checkpoint::ConfigDocument::read(folder / "config.json"), .unknown_keys = {}};
  loaded.config = find_architecture(loaded.document.model_type()).make_config();
  loaded.unknown_keys = loaded.document.apply(loaded.config->fields());
  loaded.config->adopt_public_defaults(loaded.document.keys());
  loaded.config->validate();
  return loaded;
}

LoadedModel load_causal_lm(const std::filesystem::path& folder, at::ScalarType parameter_dtype) {
  LoadedConfig config = load_config(folder);
  LoadedModel loaded{.model = std::make_shared<CausalLm>(*config.config), .document = std::move(config.document), .report = {}, .stored_dtypes = {}, .notes = {}};
  if (parameter_dtype == at::kDouble) loaded.model->to(at::kDouble);
  auto weights = checkpoint::load_weights(folder);
  for (const auto& [name, tensor] : weights.tensors) loaded.stored_dtypes.emplace(name, tensor.scalar_type());
  const std::string file = (folder / "model.safetensors").string();
  resolve_tied_output(weights.tensors, *config.config, loaded.notes);
  loaded.report = checkpoint::load_into(*loaded.model, weights.tensors, config.config->name_rules(), std::string(config.config->base_prefix()), file);
  refuse_missing(loaded.report, loaded.notes, file);
  loaded.model->eval();
  return loaded;
}

checkpoint::TensorMap public_weights(const CausalLm& model) {
  checkpoint::TensorMap tensors = checkpoint::public_tensors(model, model.config().name_rules());
  for (const Placeholder& placeholder : model.config().placeholders()) tensors.emplace(placeholder.name, at::zeros(placeholder.shape, at::kFloat));
  return tensors;
}

void save_causal_lm(const std::filesystem::path& folder, const CausalLm& model, const checkpoint::ConfigDocument& extra) {
  const auto config = model.config().clone();
  checkpoint::save_tensors(folder / "model.safetensors", public_weights(model), {{"format", "pt"}});
  extra.write(folder / "config.json", config->fields(), config->model_type(), config->head_class());
}

}  // namespace everlong::models
