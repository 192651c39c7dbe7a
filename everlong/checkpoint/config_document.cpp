#include "everlong/checkpoint/config_document.h"

#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"

namespace everlong::checkpoint {

struct ConfigDocument::Content {
  io::Json object = io::Json::object();
  std::string file;
  std::string model_type;
};

ConfigDocument::ConfigDocument() : content_(std::make_unique<Content>()) {}
ConfigDocument::~ConfigDocument() = default;
ConfigDocument::ConfigDocument(const ConfigDocument& other) : content_(std::make_unique<Content>(*other.content_)) {}
ConfigDocument& ConfigDocument::operator=(const ConfigDocument& other) {
  content_ = std::make_unique<Content>(*other.content_);
  return *this;
}

ConfigDocument ConfigDocument::read(const std::filesystem::path& path) {
  ConfigDocument document;
  document.content_->file = path.string();
  document.content_->object = io::read_json_file(path);
  const io::Json& object = document.content_->object;
  if (!object.is_object()) throw FormatError({.file = path.string()}, "a JSON object", object.type_name());
  if (!object.contains("model_type") || !object["model_type"].is_string())
    throw FormatError({.file = path.string(), .field = "model_type"}, "the name of an architecture", object.contains("model_type") ? "no text" : "nothing");
  document.content_->model_type = object["model_type"].get<std::string>();
  return document;
}

const std::string& ConfigDocument::model_type() const { return content_->model_type; }

std::set<std::string, std::less<>> ConfigDocument::keys() const {
  std::set<std::string, std::less<>> keys;
  for (const auto& item : content_->object.items()) keys.insert(item.key());
  return keys;
}

void ConfigDocument::set_text(const std::string& key, const std::string& value) { content_->object[key] = value; }

std::vector<std::string> ConfigDocument::apply(const Fields& fields) const {
  io::Json object = content_->object;
  for (auto& item : object.items())
    if (item.value().is_null() && item.key().ends_with("_token_id")) item.value() = -1;
  return io::apply_json(fields, object, content_->file);
}

void ConfigDocument::write(const std::filesystem::path& path, const Fields& fields, std::string_view model_type, std::string_view head_class) const {
  io::OrderedJson written = io::OrderedJson::object();
  written["architectures"] = {std::string(head_class)};
  written["model_type"] = std::string(model_type);
  const io::OrderedJson known = io::to_json(fields);
  for (const auto& item : known.items()) written[item.key()] = item.value();
  for (const auto& item : content_->object.items())
    if (!written.contains(item.key())) written[item.key()] = io::OrderedJson::parse(item.value().dump());
  io::write_json(path, written);
}

}  // namespace everlong::checkpoint
