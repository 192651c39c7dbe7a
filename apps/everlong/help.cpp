#include "apps/everlong/help.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace everlong::app {
namespace {

constexpr int kMaxColumn = 32;
constexpr size_t kMaxHeading = 60;

struct Entry {
  std::string left;
  std::string right;
};

std::string right_side(const ArgumentDescription& argument) {
  std::string text = argument.doc;
  if (argument.required && !argument.positional) text += " [required]";
  if (!argument.initial.empty() && !argument.is_flag()) text += fmt::format(" [default: {}]", argument.initial);
  if (!argument.environment.empty()) text += fmt::format(" [env: {}]", argument.environment);
  if (argument.repeated && !argument.positional) text += " (may be given several times)";
  return text;
}

void append_entries(std::string& out, const std::string& title, const std::vector<Entry>& entries, int width) {
  if (entries.empty()) return;
  int column = 0;
  for (const Entry& entry : entries) {
    const int needed = static_cast<int>(entry.left.size()) + 4;
    if (needed <= kMaxColumn) column = std::max(column, needed);
  }
  if (column == 0) column = kMaxColumn;
  out += fmt::format("\n{}:\n", title);
  for (const Entry& entry : entries) {
    const bool fits = static_cast<int>(entry.left.size()) + 4 <= column;
    const std::string right = wrapped(entry.right, std::max(width - column, 20), column);
    out += fits ? fmt::format("  {:<{}}{}\n", entry.left, column - 2, right) : fmt::format("  {}\n{:{}}{}\n", entry.left, "", column, right);
  }
}

std::vector<Entry> entries_of(const std::vector<ArgumentDescription>& arguments) {
  std::vector<Entry> entries;
  for (ArgumentDescription argument : arguments) {
    if (heading(argument).size() > kMaxHeading && !argument.choices.empty()) {  // a long list of choices is wrapped with the words
      argument.doc += fmt::format("; one of {}", fmt::join(argument.choices, ", "));
      argument.value = "NAME";
    }
    entries.push_back({heading(argument), right_side(argument)});
  }
  return entries;
}

}  // namespace

std::string wrapped(const std::string& text, int width, int indent) {
  std::string out, line;
  const auto flush = [&] {
    if (!out.empty()) out += "\n" + std::string(static_cast<size_t>(indent), ' ');
    out += line;
    line.clear();
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && static_cast<int>(line.size() + 1 + word.size()) > width) flush();
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  flush();
  return out;
}

std::string help_text(const VerbDescription& verb, const std::vector<ArgumentDescription>& globals, int width) {
  std::string out = wrapped(verb.summary, width, 0) + "\n\nUsage: " + usage(verb) + "\n";
  std::vector<Entry> verbs;
  for (const VerbDescription& below : verb.verbs) verbs.push_back({below.name(), below.summary});
  append_entries(out, "Verbs", verbs, width);
  append_entries(out, "Arguments", entries_of(verb.positionals), width);
  append_entries(out, "Options", entries_of(verb.options), width);
  if (!verb.path.empty()) append_entries(out, "Options of every verb", entries_of(globals), width);
  if (!verb.examples.empty()) out += "\nExamples:\n";
  for (const std::string& example : verb.examples) out += "  " + example + "\n";
  if (!verb.verbs.empty()) out += fmt::format("\nMore about a verb: {} VERB --help\n", verb.command());
  return out;
}

}  // namespace everlong::app
