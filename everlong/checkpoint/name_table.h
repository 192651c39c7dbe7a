#pragma once
// Names of tensors inside and outside: one table a dialect, read in both directions.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace everlong::checkpoint {

/// One line of a name table. Each side holds at most one '*', which stands for the same digits (a layer number) on both.
struct NameRule {
  std::string ours;
  std::string theirs;
  bool trailing_one = false;  ///< their tensor has an extra last axis of size 1
};

/// Name on the other side, or none where no rule matches.
[[nodiscard]] std::optional<std::string> to_public_name(const std::vector<NameRule>& rules, std::string_view ours);
[[nodiscard]] std::optional<std::string> to_own_name(const std::vector<NameRule>& rules, std::string_view theirs);

/// The rule that matches our name, or null.
[[nodiscard]] const NameRule* rule_for(const std::vector<NameRule>& rules, std::string_view ours);

}  // namespace everlong::checkpoint
