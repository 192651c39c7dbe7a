// Configurations from JSON and to JSON.

#include <algorithm>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include <fmt/format.h>

#include "everlong/base/config.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::io {
namespace {

/// The value as configurations know it; absent for objects and for lists of lists or objects.
std::optional<ConfigValue> config_value(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return ConfigValue();
    case Json::value_t::boolean:
      return value.get<bool>();
    case Json::value_t::number_unsigned:
      if (!std::in_range<int64_t>(value.get<uint64_t>())) return value.get<double>();
      return value.get<int64_t>();
    case Json::value_t::number_integer:
      return value.get<int64_t>();
    case Json::value_t::number_float:
      return value.get<double>();
    case Json::value_t::string:
      return value.get<std::string>();
    case Json::value_t::array:
      break;
    default:
      return std::nullopt;
  }
  std::vector<std::string> list;
  for (const Json& element : value) {
    const auto item = element.is_array() ? std::nullopt : config_value(element);
    if (!item) return std::nullopt;
    list.push_back(to_text(*item));
  }
  return list;
}

struct JsonApplier {
  const Fields& fields;
  std::string file;
  std::vector<std::string> unknown;

  void member(const std::string& key, const Json& value) {
    if (const Field* field = fields.find(key)) {
      const auto given = config_value(value);
      if (given && field->accept(*given)) return;
      const std::string where = fmt::format("{}, {}", file, key);
      throw InvalidArgument({.where = where, .expected = field->type, .got = excerpt(value.dump(-1, ' ', false, Json::error_handler_t::replace))});
    }
    const std::string prefix = key + '.';
    const bool is_section = std::any_of(fields.all().begin(), fields.all().end(), [&](const Field& field) { return field.key.starts_with(prefix); });
    if (!is_section || !value.is_object()) {
      unknown.push_back(key);
      return;
    }
    for (const auto& [name, inner] : value.items()) member(prefix + name, inner);
  }
};

struct JsonPrinter {
  OrderedJson operator()(std::monostate) const { return nullptr; }
  OrderedJson operator()(const auto& value) const { return value; }
};

}  // namespace

std::vector<std::string> apply_json(const Fields& fields, const Json& object, std::string_view file_name) {
  JsonApplier applier{.fields = fields, .file = std::string(file_name)};
  if (!object.is_object()) throw FormatError({.file = applier.file}, "a JSON object", object.type_name());
  for (const auto& [key, value] : object.items()) applier.member(key, value);
  return std::move(applier.unknown);
}

OrderedJson to_json(const Fields& fields, KeyStyle style) {
  OrderedJson object = OrderedJson::object();
  for (const Field& field : fields.all()) {
    OrderedJson* place = &object;
    std::string_view key = field.key;
    for (size_t dot = key.find('.'); style == KeyStyle::nested && dot != std::string_view::npos; dot = key.find('.')) {
      place = &(*place)[std::string(key.substr(0, dot))];
      require(place->is_object() || place->is_null(), [&] { return Complaint{.where = field.key, .expected = "a section", .got = "a value"}; });
      key.remove_prefix(dot + 1);
    }
    OrderedJson& slot = (*place)[std::string(key)];
    require(slot.is_null(), [&] { return Complaint{.where = field.key, .expected = "a key of its own", .got = "a section or a second field"}; });
    slot = std::visit(JsonPrinter{}, field.get());
  }
  return object;
}

}  // namespace everlong::io
