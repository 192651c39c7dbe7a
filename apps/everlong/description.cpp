#include "apps/everlong/description.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

namespace everlong::app {
namespace {

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

ArgumentDescription describe(const CLI::Option& option) {
  ArgumentDescription argument;
  argument.positional = option.get_positional();
  if (argument.positional) argument.names.push_back(option.get_name(true));
  for (const std::string& name : option.get_snames()) argument.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) argument.names.push_back("--" + name);
  if (option.get_items_expected_max() > 0) argument.value = option.get_type_name();
  if (argument.value.find('|') != std::string::npos) argument.choices = split(argument.value, '|');
  argument.doc = option.get_description();
  argument.initial = option.get_default_str();
  argument.environment = option.get_envname();
  argument.required = option.get_required();
  argument.repeated = option.get_items_expected_max() > 1;
  return argument;
}

std::vector<std::string> path_of(const CLI::App& app) {
  std::vector<std::string> path;
  for (const CLI::App* at = &app; at->get_parent() != nullptr; at = at->get_parent()) path.insert(path.begin(), at->get_name());
  return path;
}

}  // namespace

std::string VerbDescription::command() const { return path.empty() ? "everlong" : fmt::format("everlong {}", fmt::join(path, " ")); }

VerbDescription describe(const CLI::App& app) {
  VerbDescription verb;
  verb.path = path_of(app);
  verb.summary = app.get_description();
  verb.examples = split(app.get_footer(), '\n');
  for (const CLI::Option* option : app.get_options()) {
    auto argument = describe(*option);
    (argument.positional ? verb.positionals : verb.options).push_back(std::move(argument));
  }
  for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; })) verb.verbs.push_back(describe(*below));
  return verb;
}

std::string heading(const ArgumentDescription& argument) {
  if (argument.positional) return argument.names.front() + (argument.repeated ? "..." : "");
  std::string text = fmt::format("{}", fmt::join(argument.names, ", "));
  if (argument.names.front().starts_with("--")) text = "    " + text;
  return argument.value.empty() ? text : fmt::format("{} {}", text, argument.value);
}

std::string usage(const VerbDescription& verb) {
  std::string text = verb.command();
  if (!verb.options.empty()) text += " [options]";
  for (const ArgumentDescription& option : verb.options)
    if (option.required) text += fmt::format(" {} {}", option.names.back(), option.value);
  if (!verb.verbs.empty()) text += " VERB ...";
  for (const ArgumentDescription& argument : verb.positionals) {
    const std::string words = heading(argument);
    text += argument.required ? " " + words : fmt::format(" [{}]", words);
  }
  return text;
}

}  // namespace everlong::app
