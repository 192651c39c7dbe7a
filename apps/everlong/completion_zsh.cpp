#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/everlong/completion.h"

namespace everlong::app {
namespace {

constexpr const char* kDispatch = R"(
if [ "$funcstack[1]" = "_everlong" ]; then
  _everlong "$@"
else
  compdef _everlong everlong
fi
)";

std::string function_name(const VerbDescription& verb) {
  return verb.path.empty() ? "_everlong" : fmt::format("_everlong_{}", fmt::join(verb.path, "_"));
}

/// Text inside an _arguments specification: ':' and brackets end fields there, a quote ends the shell word.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else if (c == ':' || c == '[' || c == ']' || c == '\\')
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

std::string action_for(const ArgumentDescription& argument) {
  if (!argument.choices.empty()) return fmt::format("({})", fmt::join(argument.choices, " "));
  if (argument.takes_path()) return argument.takes_directory() ? "_files -/" : "_files";
  return " ";
}

std::string option_lines(const std::vector<ArgumentDescription>& options) {
  std::string text;
  for (const ArgumentDescription& option : options) {
    const std::string value = option.is_flag() ? "" : fmt::format(":{}:{}", escaped(option.value), action_for(option));
    const std::string others = fmt::format("({})", fmt::join(option.names, " "));
    for (const std::string& name : option.names) {
      text += fmt::format("    '{}{}[{}]{}' \\\n", option.repeated ? "*" : others, name, escaped(option.doc), value);
    }
  }
  return text;
}

std::string leaf_function(const VerbDescription& verb, const std::vector<ArgumentDescription>& globals) {
  std::string text = fmt::format("{}() {{\n  _arguments -s -S \\\n{}{}", function_name(verb), option_lines(verb.options), option_lines(globals));
  int place = 1;
  for (const ArgumentDescription& argument : verb.positionals) {
    const std::string where = argument.repeated ? "*" : fmt::format("{}", place++);
    text += fmt::format("    '{}:{}:{}' \\\n", where, escaped(argument.names.front()), action_for(argument));
  }
  return text + "    && return 0\n}\n\n";
}

std::string group_function(const VerbDescription& verb, const std::vector<ArgumentDescription>& globals) {
  std::string text = fmt::format("{}() {{\n  local curcontext=\"$curcontext\" state line\n  local -a verbs\n  verbs=(\n", function_name(verb));
  for (const VerbDescription& below : verb.verbs) text += fmt::format("    '{}:{}'\n", below.name(), escaped(below.summary));
  text += fmt::format("  )\n  _arguments -C -S \\\n{}    '1: :->verb' \\\n    '*:: :->rest' && return 0\n  case $state in\n", option_lines(globals));
  text += "    verb) _describe -t verbs verb verbs ;;\n    rest)\n      case $line[1] in\n";
  for (const VerbDescription& below : verb.verbs) text += fmt::format("        {}) {} ;;\n", below.name(), function_name(below));
  return text + "      esac ;;\n  esac\n}\n\n";
}

}  // namespace

std::string zsh_completion(const VerbDescription& program) {
  std::string text = "#compdef everlong\n# zsh completion for everlong\n\n";
  std::vector<ArgumentDescription> globals;
  for (const ArgumentDescription& option : program.options)
    if (option.names.back() != "--help" && option.names.back() != "--version") globals.push_back(option);
  for_each_verb(program, [&](const VerbDescription& verb) {
    const auto& options = verb.path.empty() ? program.options : globals;
    text += verb.verbs.empty() ? leaf_function(verb, globals) : group_function(verb, options);
  });
  return text + kDispatch;
}

}  // namespace everlong::app
