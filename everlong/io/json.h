#pragma once
// JSON read strictly, JSON written atomically, and configurations in both directions.
// This header only forward-declares the JSON type; sources that look inside a value include <nlohmann/json.hpp>.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "everlong/io/mapped_file.h"

namespace everlong {
class Fields;
}

namespace everlong::io {

using Json = nlohmann::json;                 ///< members sorted by key
using OrderedJson = nlohmann::ordered_json;  ///< members in the order of insertion: what configuration files are written from

struct JsonLimits {
  int64_t max_depth = 200;
  int64_t max_bytes = kMaxTextBytes;
};

/// Reads one JSON value that fills the whole text.
/// Errors   FormatError naming file, byte offset and the path of keys, for anything RFC 8259 forbids (comments, NaN, a comma too many, text after
///          the value, invalid UTF-8, lone surrogates), numbers beyond the range of a double, duplicate keys, and deeper nesting than the limit
[[nodiscard]] Json parse_json(std::string_view text, std::string_view file_name, const JsonLimits& limits = {});

/// Errors   as parse_json; IoError if the file cannot be read
[[nodiscard]] Json read_json_file(const std::filesystem::path& path, const JsonLimits& limits = {});

/// Writes indented by two spaces, with a line feed at the end, atomically.
/// Errors   IoError; InvalidArgument if a text in it is not UTF-8
void write_json(const std::filesystem::path& path, const Json& value);
void write_json(const std::filesystem::path& path, const OrderedJson& value);

/// Sets every field that `object` names. A member "optim": {"lr": 1} and a member "optim.lr": 1 mean the same.
/// Returns the dotted keys that are no field, for the caller to keep and to warn about; they stay in `object`.
/// Errors   InvalidArgument naming file and key if a value does not fit; FormatError if `object` is no JSON object
[[nodiscard]] std::vector<std::string> apply_json(const Fields& fields, const Json& object, std::string_view file_name);

enum class KeyStyle {
  flat,    ///< "optim.lr": 1
  nested,  ///< "optim": {"lr": 1}
};

/// All fields with their values, in the order of declaration.
/// Errors   InvalidArgument if, nested, one key is both a value and a section
[[nodiscard]] OrderedJson to_json(const Fields& fields, KeyStyle style = KeyStyle::flat);

}  // namespace everlong::io
