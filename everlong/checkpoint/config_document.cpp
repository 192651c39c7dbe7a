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

std::string ConfigDocument::saved_class() const {
  const auto found = content_->object.find("architectures");
  if (found == content_->object.end() || !found->is_array() || found->empty() || !found->front().is_string()) return {};
  return found->front().get<std::string>();
}

std::vector<std::string> ConfigDocument::label_names() const {
  const auto found = content_->object.find("id2label");
  if (found == content_->object.end() || !found->is_object()) return {};
  std::vector<std::string> names;
  for (size_t id = 0; id < found->size(); ++id) {
    const auto name = found->find(std::to_string(id));
    if (name == found->end() || !name->is_string())
      throw FormatError({.file = content_->file, .field = "id2label"}, "a name for each id from 0 on", "none for " + std::to_string(id));
    names.push_back(name->get<std::string>());
  }
  return names;
}

void ConfigDocument::set_label_names(const std::vector<std::string>& names) {
  io::Json by_id = io::Json::object(), by_name = io::Json::object();
  for (size_t id = 0; id < names.size(); ++id) {
    by_id[std::to_string(id)] = names[id];
    by_name[names[id]] = id;
  }
  content_->object["id2label"] = std::move(by_id);
  content_->object["label2id"] = std::move(by_name);
}

void ConfigDocument::set_text(const std::string& key, const std::string& value) { content_->object[key] = value; }

std::vector<std::string> ConfigDocument::apply(const Fields& fields) const {
  io::Json object = content_->object;
  for (auto& item : object.items())
    if (item.value().is_null() && item.key().ends_with("_token_id")) item.value() = -1;
  if (const auto type = object.find("problem_type"); type != object.end() && type->is_null()) object.erase(type);
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
