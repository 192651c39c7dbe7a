#pragma once
// A value inside a JSON file that knows its path, so that every complaint names file and key.
// For sources of this room only: it includes the whole JSON library.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace everlong::text {

/// Refers to the JSON value and the file name, which must outlive it.
class JsonNode {
 public:
  JsonNode(const nlohmann::json& value, std::string_view file, std::string path = {}) : value_(&value), file_(file), path_(std::move(path)) {}

  /// All of these: Errors  FormatError if the value is of another type or the member is missing
  [[nodiscard]] JsonNode member(const char* key) const;
  [[nodiscard]] std::optional<JsonNode> optional_member(const char* key) const;  ///< absent also where it is null
  [[nodiscard]] JsonNode member_or_null(const char* key) const;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] int64_t integer(int64_t min, int64_t max) const;
  [[nodiscard]] std::vector<JsonNode> elements() const;

  [[nodiscard]] bool boolean_or(const char* key, bool otherwise) const;
  [[nodiscard]] std::string type() const { return member("type").text(); }
  [[nodiscard]] const nlohmann::json& json() const { return *value_; }
  [[nodiscard]] bool is_null() const { return value_->is_null(); }

  /// Errors   Unsupported if the object has a member that is not named here
  void allow_only(std::initializer_list<std::string_view> keys) const;

  [[noreturn]] void refuse(std::string_view expected, std::string_view got) const;
  [[noreturn]] void not_supported(std::string_view supported, std::string_view got, std::string_view hint = {}) const;

 private:
  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] std::string shown() const;
  void check_object() const;

  const nlohmann::json* value_;
  std::string_view file_;
  std::string path_;
};

}  // namespace everlong::text
