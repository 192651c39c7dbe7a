#pragma once
// TOML configurations: read into fields, written from fields. This is what the config.toml of a run is.

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/base/config.h"

namespace everlong::io {

inline constexpr int64_t kMaxTomlBytes = int64_t{4} << 20;

/// One key of a TOML file with its value.
struct TomlEntry {
  std::string key;  ///< dotted: [optim] lr = 1 is "optim.lr"
  ConfigValue value;
  int64_t line = 0;    ///< of the key, from 1
  int64_t column = 0;  ///< of the key, from 1
};

/// Reads a TOML document into its entries, in the order of the file.
/// Errors   FormatError naming file, line and column if it is no TOML, is too large or nested too deep (32 values, 16 parts a key), names a key
/// twice,
///          or holds what a configuration has no place for: dates, tables in lists, lists in lists
[[nodiscard]] std::vector<TomlEntry> parse_toml(std::string_view text, std::string_view file_name);

/// Sets every field that the document names. The text "none" means null where a field takes no text.
/// Returns the entries below `open_sections` that are no field, for the caller to keep.
/// Errors   FormatError as parse_toml; InvalidArgument naming file, line and key if a value does not fit, or if a key is unknown outside the open
///          sections (the hint names the nearest known one)
[[nodiscard]] std::vector<TomlEntry> apply_toml(const Fields& fields, std::string_view text, std::string_view file_name,
                                                std::span<const std::string_view> open_sections = {});

/// Errors   as apply_toml; IoError if the file cannot be read
[[nodiscard]] std::vector<TomlEntry> apply_toml_file(const Fields& fields, const std::filesystem::path& path,
                                                     std::span<const std::string_view> open_sections = {});

/// All fields as a TOML document: sections for dotted keys, sentence and type of each field as a comment above it, null as "none".
/// Reading it back gives the same values.
/// Errors   InvalidArgument if a text is not UTF-8
[[nodiscard]] std::string to_toml(const Fields& fields);

}  // namespace everlong::io
