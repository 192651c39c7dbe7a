#include "everlong/checkpoint/name_table.h"

#include <algorithm>

namespace everlong::checkpoint {
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// What '*' stands for in `name`, "" for a pattern without one; none where the pattern does not match.
std::optional<std::string> match(std::string_view pattern, std::string_view name) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name ? std::optional<std::string>("") : std::nullopt;
  const auto head = pattern.substr(0, star), tail = pattern.substr(star + 1);
  if (name.size() <= head.size() + tail.size() || !name.starts_with(head) || !name.ends_with(tail)) return std::nullopt;
  const auto middle = name.substr(head.size(), name.size() - head.size() - tail.size());
  return all_digits(middle) ? std::optional<std::string>(middle) : std::nullopt;
}

std::string fill(std::string_view pattern, std::string_view digits) {
  std::string name(pattern);
  if (const auto star = name.find('*'); star != std::string::npos) name.replace(star, 1, digits);
  return name;
}

}  // namespace

const NameRule* rule_for(const std::vector<NameRule>& rules, std::string_view ours) {
  const auto found = std::find_if(rules.begin(), rules.end(), [&](const NameRule& rule) { return match(rule.ours, ours).has_value(); });
  return found == rules.end() ? nullptr : &*found;
}

std::optional<std::string> to_public_name(const std::vector<NameRule>& rules, std::string_view ours) {
  const NameRule* rule = rule_for(rules, ours);
  if (rule == nullptr) return std::nullopt;
  return fill(rule->theirs, *match(rule->ours, ours));
}

std::optional<std::string> to_own_name(const std::vector<NameRule>& rules, std::string_view theirs) {
  for (const NameRule& rule : rules)
    if (const auto digits = match(rule.theirs, theirs)) return fill(rule.ours, *digits);
  return std::nullopt;
}

}  // namespace everlong::checkpoint
