#include "everlong/checkpoint/training_file.h"

#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

/// The plain value, or none for what is a container or a tensor.
std::optional<ConfigValue> plain(const io::TorchValue& value) {
  if (value.get_if<std::monostate>() != nullptr) return ConfigValue(std::monostate());
  if (const auto* flag = value.get_if<bool>()) return ConfigValue(*flag);
  if (const auto* integer = value.get_if<int64_t>()) return ConfigValue(*integer);
  if (const auto* real = value.get_if<double>()) return ConfigValue(*real);
  if (const auto* text = value.get_if<std::string>()) return ConfigValue(*text);
  return std::nullopt;
}

/// A dictionary of settings: "args", or since fairseq 0.10 "model" of "cfg".
const io::TorchDict* settings_of(const io::TorchValue& top) {
  const io::TorchValue* args = top.find("args");
  if (args != nullptr && args->get_if<io::TorchDict>() != nullptr) return args->get_if<io::TorchDict>();
  const io::TorchValue* cfg = top.find("cfg");
  const io::TorchValue* model = cfg == nullptr ? nullptr : cfg->find("model");
  return model == nullptr ? nullptr : model->get_if<io::TorchDict>();
}

io::TorchValue to_torch(const ConfigValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return {*flag};
  if (const auto* integer = std::get_if<int64_t>(&value)) return {*integer};
  if (const auto* real = std::get_if<double>(&value)) return {*real};
  if (const auto* text = std::get_if<std::string>(&value)) return {*text};
  return {};
}

}  // namespace

bool is_training_file(const std::filesystem::path& path) {
  return std::filesystem::is_regular_file(path) && io::looks_like_torch_file(io::MappedFile(path).bytes());
}

TrainingFile read_training_file(const std::filesystem::path& path) {
  const auto file = io::TorchFile::open(path);
  TrainingFile read{.tensors = read_state_dict(file).tensors, .settings = {}, .path = path};
  const io::TorchDict* settings = settings_of(file.value());
  if (settings == nullptr) return read;
  for (const io::TorchItem& item : settings->items) {
    const auto* key = item.key.get_if<std::string>();
    const auto value = plain(item.value);
    if (key != nullptr && value) read.settings.emplace(*key, *value);
  }
  return read;
}

void write_training_file(const std::filesystem::path& path, const TensorMap& tensors, const Settings& settings) {
  io::TorchDict args, top;
  for (const auto& [key, value] : settings) args.items.push_back({.key = {key}, .value = to_torch(value)});
  top.items.push_back({.key = {std::string("args")}, .value = {std::move(args)}});
  save_torch_tensors(path, tensors, {.key = "model", .beside = std::move(top)});
}

}  // namespace everlong::checkpoint
