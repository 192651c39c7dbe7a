#include "everlong/text/chat_values.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::text::chat {
namespace {

using io::Json;

constexpr std::array<std::string_view, 4> kTests = {"defined", "none", "string", "undefined"};
constexpr std::array<std::string_view, 2> kFilters = {"trim", "length"};
constexpr std::string_view kWhiteSpace = " \t\n\r\f\v";
constexpr size_t kMaxTextBytes = size_t{256} << 20;

std::string where(const Place& place) { return fmt::format("{}:{}", place.file, place.line); }

std::string kind(const Json& value) {
  if (value.is_discarded()) return "something undefined";
  return value.is_string() ? "a text" : value.is_array() ? "a list" : value.is_null() ? "none" : value.is_number() ? "a number" : value.type_name();
}

/// An index as Python counts: negative ones from the end.
std::optional<size_t> index_in(size_t size, const Json& key) {
  const int64_t index = key.get<int64_t>(), count = static_cast<int64_t>(size);
  if (index < -count || index >= count) return std::nullopt;
  return static_cast<size_t>(index < 0 ? index + count : index);
}

/// Bytes where the characters of a text begin, and its end.
std::vector<size_t> character_bounds(std::string_view text) {
  std::vector<size_t> bounds;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) bounds.push_back(i);
  bounds.push_back(text.size());
  return bounds;
}

}  // namespace

Json undefined() { return Json(Json::value_t::discarded); }

void not_in_subset(const Place& place, std::string_view construct) {
  throw Unsupported({.where = where(place),
                     .expected = "a chat template in the supported subset of Jinja",
                     .got = std::string(construct),
                     .hint = "docs/howto/tune_on_chats.md lists it; write a simpler template and name it in data.chat_template"});
}

void no_jinja(const Place& place, std::string_view expected, std::string_view got) {
  throw FormatError({.file = std::string(place.file), .offset = place.line, .field = "line"}, std::string(expected), std::string(got));
}

void cannot(const Place& place, std::string_view what) {
  throw InvalidArgument({.where = where(place), .expected = "values that go with the operation", .got = std::string(what)});
}

void refuse_chat(const Place& place, std::string_view words) {
  throw InvalidArgument({.where = where(place), .expected = "a conversation that the template takes", .got = io::excerpt(words)});
}

bool is_true(const Json& value) {
  if (value.is_discarded() || value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  return value.is_string() ? !value.get_ref<const std::string&>().empty() : !value.empty();
}

std::string printed(const Json& value, const Place& place) {
  if (value.is_discarded()) return {};
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_null()) return "None";
  if (!value.is_number()) cannot(place, fmt::format("{} to print", kind(value)));
  return value.dump();
}

bool compare(const Json& left, std::string_view sign, const Json& right, const Place& place) {
  const bool equal = left.is_discarded() || right.is_discarded() ? left.is_discarded() == right.is_discarded() : left == right;
  if (sign == "==") return equal;
  if (sign == "!=") return !equal;
  const bool comparable = (left.is_number() && right.is_number()) || (left.is_string() && right.is_string());
  if (!comparable) cannot(place, fmt::format("{} {} {}", kind(left), sign, kind(right)));
  if (sign == "<") return left < right;
  if (sign == "<=") return left <= right;
  return sign == ">" ? left > right : left >= right;
}

bool contains(const Json& whole, const Json& part, const Place& place) {
  if (whole.is_array()) return std::find(whole.begin(), whole.end(), part) != whole.end();
  if (!part.is_string() || !(whole.is_string() || whole.is_object())) cannot(place, fmt::format("{} in {}", kind(part), kind(whole)));
  const auto& key = part.get_ref<const std::string&>();
  return whole.is_object() ? whole.contains(key) : whole.get_ref<const std::string&>().find(key) != std::string::npos;
}

Json add(const Json& left, char sign, const Json& right, const Place& place) {
  const bool texts = left.is_string() && right.is_string();
  if (sign == '~' || (sign == '+' && texts)) {
    std::string text = printed(left, place);
    text += printed(right, place);
    if (text.size() > kMaxTextBytes) cannot(place, "a text of more than 256 MiB");
    return text;
  }
  if (!left.is_number_integer() || !right.is_number_integer()) cannot(place, fmt::format("{} {} {}", kind(left), sign, kind(right)));
  const auto a = left.get<int64_t>(), b = right.get<int64_t>();
  const auto result = sign == '+' ? checked_add(a, b) : b == std::numeric_limits<int64_t>::min() ? std::nullopt : checked_add(a, -b);
  if (!result) cannot(place, "a number of more than 63 bits");
  return *result;
}

Json remainder(const Json& left, const Json& right, const Place& place) {
  if (!left.is_number_integer() || !right.is_number_integer()) cannot(place, fmt::format("{} % {}", kind(left), kind(right)));
  const auto a = left.get<int64_t>(), b = right.get<int64_t>();
  if (b == 0) cannot(place, "a division by zero");
  if (b == -1) return 0;
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Json member(const Json& object, const Json& key, const Place& place) {
  if (object.is_object() && key.is_string()) {
    const auto found = object.find(key.get_ref<const std::string&>());
    return found == object.end() ? undefined() : *found;
  }
  if (object.is_array() && key.is_number_integer()) {
    const auto index = index_in(object.size(), key);
    return index ? object[*index] : undefined();
  }
  if (object.is_discarded() || object.is_null())
    cannot(place, fmt::format("{} of {}", key.is_string() ? key.get<std::string>() : "an element", kind(object)));
  if (!object.is_string() || !key.is_number_integer()) return undefined();
  const auto& text = object.get_ref<const std::string&>();
  const std::vector<size_t> bounds = character_bounds(text);
  const auto index = index_in(bounds.size() - 1, key);
  return index ? Json(text.substr(bounds[*index], bounds[*index + 1] - bounds[*index])) : undefined();
}

Json rest_from(const Json& whole, const Json& from, const Place& place) {
  if (!from.is_number_integer() || !(whole.is_array() || whole.is_string()))
    cannot(place, fmt::format("a slice of {} from {}", kind(whole), kind(from)));
  const auto begin_in = [&](size_t size) {
    const auto count = static_cast<int64_t>(size), index = from.get<int64_t>();
    return std::clamp<int64_t>(index < -count ? 0 : index < 0 ? index + count : index, 0, count);
  };
  if (whole.is_array()) return Json(Json::array_t(whole.begin() + begin_in(whole.size()), whole.end()));
  const auto& text = whole.get_ref<const std::string&>();
  const std::vector<size_t> bounds = character_bounds(text);
  return text.substr(bounds[static_cast<size_t>(begin_in(bounds.size() - 1))]);
}

Json strip(const Json& value, bool at_start, bool at_end, const Place& place) {
  if (!value.is_string()) cannot(place, fmt::format("white space cut off {}", kind(value)));
  std::string_view text = value.get_ref<const std::string&>();
  if (at_start) text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
  if (at_end) text = text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
  return std::string(text);
}

bool is_known_test(std::string_view name) { return std::find(kTests.begin(), kTests.end(), name) != kTests.end(); }

bool passes(std::string_view test, const Json& value) {
  if (test == "none") return value.is_null();
  if (test == "string") return value.is_string();
  return (test == "undefined") == value.is_discarded();
}

bool is_known_filter(std::string_view name) { return std::find(kFilters.begin(), kFilters.end(), name) != kFilters.end(); }

Json filter(std::string_view name, const Json& value, const Place& place) {
  if (name == "trim") return strip(value, true, true, place);
  if (value.is_string()) return character_bounds(value.get_ref<const std::string&>()).size() - 1;
  if (!value.is_array() && !value.is_object()) cannot(place, fmt::format("the length of {}", kind(value)));
  return value.size();
}

}  // namespace everlong::text::chat
