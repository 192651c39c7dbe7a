#include "everlong/checkpoint/training_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/checkpoint/torch_tensors.h"
#include "everlong/io/json.h"
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

/// The plain values of a JSON object; whatever else is left out.
Settings settings_from_text(const std::string& text, const std::string& file) {
  Settings settings;
  const io::Json object = io::parse_json(text, file);
  if (!object.is_object()) return settings;
  for (const auto& item : object.items()) {
    const io::Json& value = item.value();
    if (value.is_null()) settings.emplace(item.key(), std::monostate());
    if (value.is_boolean()) settings.emplace(item.key(), value.get<bool>());
    if (value.is_number_integer()) settings.emplace(item.key(), value.get<int64_t>());
    if (value.is_number_float()) settings.emplace(item.key(), value.get<double>());
    if (value.is_string()) settings.emplace(item.key(), value.get<std::string>());
  }
  return settings;
}

TrainingFile read_safetensors(const std::filesystem::path& path) {
  TensorFile file = load_tensors(path);
  TrainingFile read{.tensors = std::move(file.tensors), .settings = {}, .metadata = std::move(file.metadata), .path = path};
  const auto config = read.metadata.find("config_json");
  if (config != read.metadata.end()) read.settings = settings_from_text(config->second, path.string() + ", config_json");
  return read;
}

/// The shortest digits that read back as the same number, with the point or exponent that makes it a float.
std::string float_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string json_text(const ConfigValue& value) {
  const auto quoted = [](const std::string& text) { return io::Json(text).dump(-1, ' ', true); };
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return fmt::format("{}", *integer);
  if (const auto* real = std::get_if<double>(&value)) return float_text(*real);
  if (const auto* text = std::get_if<std::string>(&value)) return quoted(*text);
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  if (list == nullptr) return "null";
  std::string joined;
  for (const std::string& text : *list) joined += (joined.empty() ? "" : ",") + quoted(text);
  return "[" + joined + "]";
}

}  // namespace

bool is_training_file(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  return path.extension() == ".safetensors" || io::looks_like_torch_file(io::MappedFile(path).bytes());
}

TrainingFile read_training_file(const std::filesystem::path& path) {
  if (path.extension() == ".safetensors") return read_safetensors(path);
  const auto file = io::TorchFile::open(path);
  TrainingFile read{.tensors = read_state_dict(file).tensors, .settings = {}, .metadata = {}, .path = path};
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

std::string settings_text(const Settings& settings) {
  std::string text;
  for (const auto& [key, value] : settings) text += fmt::format("{}{}:{}", text.empty() ? "" : ",", json_text(key), json_text(value));
  return "{" + text + "}";
}

}  // namespace everlong::checkpoint
