#include "everlong/text/json_node.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::text {

std::string JsonNode::path_of(std::string_view key) const { return path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key); }

std::string JsonNode::shown() const {
  if (value_->is_object() || value_->is_array()) return fmt::format("an {} of {}", value_->type_name(), value_->size());
  return io::excerpt(value_->dump());
}

void JsonNode::refuse(std::string_view expected, std::string_view got) const {
  throw FormatError({.file = std::string(file_), .field = path_}, expected, got);
}

void JsonNode::not_supported(std::string_view supported, std::string_view got, std::string_view hint) const {
  throw Unsupported({.where = fmt::format("{}, {}", file_, path_),
                     .expected = std::string(supported),
                     .got = std::string(got),
                     .hint = hint.empty() ? "docs/tokenizers.md lists what is supported" : std::string(hint)});
}

void JsonNode::check_object() const {
  if (!value_->is_object()) refuse("an object", shown());
}

JsonNode JsonNode::member_or_null(const char* key) const {
  static const nlohmann::json null;
  check_object();
  const auto found = value_->find(key);
  return JsonNode(found == value_->end() ? null : *found, file_, path_of(key));
}

std::optional<JsonNode> JsonNode::optional_member(const char* key) const {
  JsonNode node = member_or_null(key);
  return node.is_null() ? std::nullopt : std::optional(std::move(node));
}

JsonNode JsonNode::member(const char* key) const {
  auto found = optional_member(key);
  if (!found) refuse(fmt::format("a member '{}'", key), "none");
  return *found;
}

std::string JsonNode::text() const {
  if (!value_->is_string()) refuse("a text", shown());
  return value_->get<std::string>();
}

bool JsonNode::boolean() const {
  if (!value_->is_boolean()) refuse("true or false", shown());
  return value_->get<bool>();
}

int64_t JsonNode::integer(int64_t min, int64_t max) const {
  const bool fits = value_->is_number_integer() && (!value_->is_number_unsigned() || value_->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (!fits || value_->get<int64_t>() < min || value_->get<int64_t>() > max) refuse(fmt::format("an integer from {} to {}", min, max), shown());
  return value_->get<int64_t>();
}

std::vector<JsonNode> JsonNode::elements() const {
  if (!value_->is_array()) refuse("a list", shown());
  std::vector<JsonNode> nodes;
  nodes.reserve(value_->size());
  for (size_t i = 0; i < value_->size(); ++i) nodes.emplace_back((*value_)[i], file_, fmt::format("{}[{}]", path_, i));
  return nodes;
}

bool JsonNode::boolean_or(const char* key, bool otherwise) const {
  const auto found = optional_member(key);
  return found ? found->boolean() : otherwise;
}

void JsonNode::allow_only(std::initializer_list<std::string_view> keys) const {
  check_object();
  for (const auto& item : value_->items()) {
    if (std::find(keys.begin(), keys.end(), item.key()) != keys.end()) continue;
    JsonNode(item.value(), file_, path_of(io::excerpt(item.key()))).not_supported(fmt::format("only the keys {}", fmt::join(keys, ", ")), "one more");
  }
}

}  // namespace everlong::text
