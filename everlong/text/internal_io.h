#pragma once
// Reading and writing whole small files, and JSON within limits.

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace everlong::text::internal {

using Json = nlohmann::json;

[[nodiscard]] std::string read_text_file(const std::filesystem::path& path);
[[nodiscard]] Json parse_json(std::string_view text, std::string_view file_name);
void atomic_write_text(const std::filesystem::path& path, std::string_view text);

}  // namespace everlong::text::internal
