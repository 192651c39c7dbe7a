#include "everlong/base/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"

namespace everlong {
namespace {

std::optional<double> as_number(const ConfigValue& value) {
  if (const auto* number = std::get_if<double>(&value)) return *number;
  if (const auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<int64_t> as_integer(const ConfigValue& value) {
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer;
  const auto* number = std::get_if<double>(&value);  // 1e6 is a fair way to write an integer
  if (number != nullptr && std::nearbyint(*number) == *number && std::abs(*number) < 0x1p53) return static_cast<int64_t>(*number);
  return std::nullopt;
}

std::string integer_type(IntegerRange range) {
  const bool low = range.min != IntegerRange{}.min, high = range.max != IntegerRange{}.max;
  if (low && high) return fmt::format("integer in [{}, {}]", range.min, range.max);
  if (low) return fmt::format("integer >= {}", range.min);
  return high ? fmt::format("integer <= {}", range.max) : "integer";
}

std::string number_type(NumberRange range) {
  const bool low = std::isfinite(range.min), high = std::isfinite(range.max);
  if (low && high) return fmt::format("number in [{}, {}]", range.min, range.max);
  if (low) return fmt::format("number >= {}", range.min);
  return high ? fmt::format("number <= {}", range.max) : "number";
}

std::optional<int64_t> checked(const ConfigValue& value, IntegerRange range) {
  const auto integer = as_integer(value);
  if (integer && (*integer < range.min || *integer > range.max)) return std::nullopt;
  return integer;
}

std::optional<double> checked(const ConfigValue& value, NumberRange range) {
  const auto number = as_number(value);
  if (number && (!std::isfinite(*number) || *number < range.min || *number > range.max)) return std::nullopt;
  return number;
}

template <class T, class Range>
Field ranged_field(std::string key, std::string type, T& value, std::string doc, Range range) {
  const auto accept = [&value, range](const ConfigValue& given) {
    const auto fitting = checked(given, range);
    if (fitting) value = *fitting;
    return fitting.has_value();
  };
  return {.key = std::move(key), .type = std::move(type), .doc = std::move(doc), .get = [&value] { return ConfigValue(value); }, .accept = accept};
}

template <class T, class Range>
Field optional_field(std::string key, std::string type, std::optional<T>& value, std::string doc, Range range) {
  const auto accept = [&value, range](const ConfigValue& given) {
    const auto fitting = checked(given, range);
    if (!fitting && !std::holds_alternative<std::monostate>(given)) return false;
    value = fitting;
    return true;
  };
  const auto get = [&value] { return value ? ConfigValue(*value) : ConfigValue(); };
  return {.key = std::move(key), .type = type + " or null", .doc = std::move(doc), .get = get, .accept = accept};
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitution});
    }
  }
  return row[b.size()];
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string unquoted(std::string_view text) {
  text = trimmed(text);
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front()) text = text.substr(1, text.size() - 2);
  return std::string(text);
}

std::vector<std::string> list_from_text(std::string_view inside) {
  std::vector<std::string> items;
  while (!trimmed(inside).empty()) {
    const auto comma = inside.find(',');
    items.push_back(unquoted(inside.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    inside.remove_prefix(comma + 1);
  }
  return items;
}

}  // namespace

std::string to_text(const ConfigValue& value) {
  struct Printer {
    std::string operator()(std::monostate) const { return "null"; }
    std::string operator()(bool flag) const { return flag ? "true" : "false"; }
    std::string operator()(int64_t integer) const { return fmt::format("{}", integer); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return text; }
    std::string operator()(const std::vector<std::string>& list) const { return fmt::format("[{}]", fmt::join(list, ", ")); }
  };
  return std::visit(Printer{}, value);
}

ConfigValue value_from_text(std::string_view text) {
  text = trimmed(text);
  if (text == "true") return true;
  if (text == "false") return false;
  if (text == "null" || text == "none") return std::monostate{};
  if (text.size() >= 2 && text.front() == '[' && text.back() == ']') return list_from_text(text.substr(1, text.size() - 2));
  const char *begin = text.data(), *end = begin + text.size();
  int64_t integer = 0;
  if (const auto [rest, error] = std::from_chars(begin, end, integer); error == std::errc{} && rest == end) return integer;
  double number = 0;
  if (const auto [rest, error] = std::from_chars(begin, end, number); error == std::errc{} && rest == end) return number;
  return unquoted(text);
}

void Field::set(const ConfigValue& value) const {
  if (!accept(value)) throw InvalidArgument({.where = key, .expected = type, .got = to_text(value)});
}

Fields& Fields::add(std::string key, bool& value, std::string doc) {
  const auto accept = [&value](const ConfigValue& given) {
    const auto* flag = std::get_if<bool>(&given);
    if (flag != nullptr) value = *flag;
    return flag != nullptr;
  };
  fields_.push_back({.key = std::move(key), .type = "true or false", .doc = std::move(doc), .get = [&value] { return ConfigValue(value); }, .accept = accept});
  return *this;
}

Fields& Fields::add(std::string key, int64_t& value, std::string doc, IntegerRange range) {
  fields_.push_back(ranged_field(std::move(key), integer_type(range), value, std::move(doc), range));
  return *this;
}

Fields& Fields::add(std::string key, double& value, std::string doc, NumberRange range) {
  fields_.push_back(ranged_field(std::move(key), number_type(range), value, std::move(doc), range));
  return *this;
}

Fields& Fields::add(std::string key, std::string& value, std::string doc) {
  const auto accept = [&value](const ConfigValue& given) {
    if (std::holds_alternative<std::monostate>(given) || std::holds_alternative<std::vector<std::string>>(given)) return false;
    value = to_text(given);
    return true;
  };
  fields_.push_back({.key = std::move(key), .type = "text", .doc = std::move(doc), .get = [&value] { return ConfigValue(value); }, .accept = accept});
  return *this;
}

Fields& Fields::add(std::string key, std::vector<std::string>& value, std::string doc) {
  const auto accept = [&value](const ConfigValue& given) {
    const auto* list = std::get_if<std::vector<std::string>>(&given);
    const auto* text = std::get_if<std::string>(&given);
    if (list != nullptr) value = *list;
    if (text != nullptr) value = {*text};
    return list != nullptr || text != nullptr;
  };
  fields_.push_back({.key = std::move(key), .type = "list of texts", .doc = std::move(doc), .get = [&value] { return ConfigValue(value); }, .accept = accept});
  return *this;
}

Fields& Fields::add(std::string key, std::optional<int64_t>& value, std::string doc, IntegerRange range) {
  fields_.push_back(optional_field(std::move(key), integer_type(range), value, std::move(doc), range));
  return *this;
}

Fields& Fields::add(std::string key, std::optional<double>& value, std::string doc, NumberRange range) {
  fields_.push_back(optional_field(std::move(key), number_type(range), value, std::move(doc), range));
  return *this;
}

Fields& Fields::add_choice(std::string key, std::string doc, const std::vector<std::string_view>& names, std::function<size_t()> get,
                           std::function<void(size_t)> set) {
  const auto accept = [names, set = std::move(set)](const ConfigValue& given) {
    const auto* text = std::get_if<std::string>(&given);
    const auto found = text == nullptr ? names.end() : std::find(names.begin(), names.end(), *text);
    if (found == names.end()) return false;
    set(static_cast<size_t>(found - names.begin()));
    return true;
  };
  fields_.push_back({.key = std::move(key),
                     .type = fmt::format("one of {}", fmt::join(names, ", ")),
                     .doc = std::move(doc),
                     .get = [names, get = std::move(get)] { return ConfigValue(std::string(names[get()])); },
                     .accept = accept});
  return *this;
}

Fields& Fields::section(std::string_view prefix, Fields nested) {
  for (Field& field : nested.fields_) {
    field.key = fmt::format("{}.{}", prefix, field.key);
    fields_.push_back(std::move(field));
  }
  return *this;
}

Fields& Fields::append(Field field) {
  fields_.push_back(std::move(field));
  return *this;
}

const Field* Fields::find(std::string_view key) const {
  const auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) { return field.key == key; });
  return found == fields_.end() ? nullptr : &*found;
}

void Fields::set(std::string_view key, const ConfigValue& value) const {
  const Field* field = find(key);
  if (field == nullptr) {
    const auto near = nearest(key);
    throw InvalidArgument({.where = "config",
                           .expected = "a known key",
                           .got = std::string(key),
                           .hint = near.empty() ? "" : fmt::format("did you mean {}?", near)});
  }
  field->set(value);
}

void Fields::set_all(std::string_view settings) const {
  while (!settings.empty()) {
    const std::string_view part = settings.substr(0, settings.find(' '));
    settings.remove_prefix(std::min(part.size() + 1, settings.size()));
    const auto equals = part.find('=');
    require(equals != std::string_view::npos && equals > 0, [&] { return Complaint{.where = "setting", .expected = "key=value", .got = std::string(part)}; });
    set(part.substr(0, equals), value_from_text(part.substr(equals + 1)));
  }
}

std::string Fields::nearest(std::string_view key) const {
  std::string best;
  size_t best_distance = std::max<size_t>(2, key.size() / 3) + 1;
  for (const Field& field : fields_) {
    const size_t distance = edit_distance(key, field.key);
    if (distance < best_distance) {
      best_distance = distance;
      best = field.key;
    }
  }
  return best;
}

std::string Fields::canonical_text() const {
  std::string text;
  for (const Field& field : fields_) text += fmt::format("{}={}\n", field.key, to_text(field.get()));
  return text;
}

}  // namespace everlong
