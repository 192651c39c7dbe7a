#include "everlong/checkpoint/config_document.h"

#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"

namespace everlong::checkpoint {

struct ConfigDocument::Content {
  io::Json object = io::Json::object();
  std::string file;
  std::string model_type;

  void recognise(const Recognise& by_keys);
  void check(const std::string& key);
  [[nodiscard]] io::OrderedJson complete(const Fields& fields, std::string_view type, std::string_view head_class) const;
};

ConfigDocument::ConfigDocument() : content_(std::make_unique<Content>()) {}
ConfigDocument::~ConfigDocument() = default;
ConfigDocument::ConfigDocument(const ConfigDocument& other) : content_(std::make_unique<Content>(*other.content_)) {}
ConfigDocument& ConfigDocument::operator=(const ConfigDocument& other) {
  content_ = std::make_unique<Content>(*other.content_);
  return *this;
}

namespace {

ConfigDocument::KeySet keys_of(const io::Json& object) {
  ConfigDocument::KeySet keys;
  for (const auto& item : object.items()) keys.insert(item.key());
  return keys;
}

}  // namespace

/// Gives a configuration of a release without "model_type" one, and takes it out of the settings of a run.
void ConfigDocument::Content::recognise(const Recognise& by_keys) {
  if (!by_keys || !object.is_object() || object.contains("model_type")) return;
  const auto settings = object.find("model");
  const bool inner = settings != object.end() && settings->is_object();
  for (const io::Json& candidate : {object, inner ? *settings : io::Json::object()}) {
    const std::string type = by_keys(keys_of(candidate));
    if (type.empty()) continue;
    io::Json found = candidate;
    found["model_type"] = type;
    object = std::move(found);
    return;
  }
}

/// Checks an object of a file. `key` names the part that it is; empty = the whole.
void ConfigDocument::Content::check(const std::string& key) {
  if (!object.is_object()) throw FormatError({.file = file, .field = key}, "a JSON object", object.type_name());
  const auto type = object.find("model_type");
  if (type == object.end() || !type->is_string())
    throw FormatError({.file = file, .field = key.empty() ? "model_type" : key + ".model_type"}, "the name of an architecture",
                      type == object.end() ? "nothing" : "no text");
  model_type = type->get<std::string>();
}

ConfigDocument ConfigDocument::read(const std::filesystem::path& path, const Recognise& recognise) {
  ConfigDocument document;
  document.content_->file = path.string();
  document.content_->object = io::read_json_file(path);
  document.content_->recognise(recognise);
  document.content_->check("");
  return document;
}

ConfigDocument ConfigDocument::part(const std::string& key) const {
  const auto found = content_->object.find(key);
  if (found == content_->object.end()) throw FormatError({.file = content_->file, .field = key}, "the configuration of a model", "nothing");
  ConfigDocument document;
  document.content_->file = content_->file;
  document.content_->object = *found;
  document.content_->check(key);
  return document;
}

void ConfigDocument::set_part(const std::string& key, const ConfigDocument& part) { content_->object[key] = part.content_->object; }

const std::string& ConfigDocument::model_type() const { return content_->model_type; }

ConfigDocument::KeySet ConfigDocument::keys() const { return keys_of(content_->object); }

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

void ConfigDocument::drop(const KeySet& keys) {
  for (const std::string& key : keys) content_->object.erase(key);
}

void ConfigDocument::set_text(const std::string& key, const std::string& value) { content_->object[key] = value; }
void ConfigDocument::set_flag(const std::string& key, bool value) { content_->object[key] = value; }

std::vector<std::string> ConfigDocument::apply(const Fields& fields) const {
  io::Json object = content_->object;
  for (auto& item : object.items())
    if (item.value().is_null() && item.key().ends_with("_token_id")) item.value() = -1;
  if (const auto type = object.find("problem_type"); type != object.end() && type->is_null()) object.erase(type);
  return io::apply_json(fields, object, content_->file);
}

io::OrderedJson ConfigDocument::Content::complete(const Fields& fields, std::string_view type, std::string_view head_class) const {
  io::OrderedJson written = io::OrderedJson::object();
  written["architectures"] = {std::string(head_class)};
  written["model_type"] = std::string(type);
  const io::OrderedJson known = io::to_json(fields);
  for (const auto& item : known.items()) written[item.key()] = item.value();
  for (const auto& item : object.items())
    if (!written.contains(item.key())) written[item.key()] = io::OrderedJson::parse(item.value().dump());
  return written;
}

ConfigDocument ConfigDocument::with(const Fields& fields, std::string_view model_type, std::string_view head_class) const {
  ConfigDocument document;
  document.content_->file = content_->file;
  document.content_->object = io::Json::parse(content_->complete(fields, model_type, head_class).dump());
  document.content_->model_type = model_type;
  return document;
}

void ConfigDocument::write(const std::filesystem::path& path, const Fields& fields, std::string_view model_type, std::string_view head_class) const {
  io::write_json(path, content_->complete(fields, model_type, head_class));
}

}  // namespace everlong::checkpoint
