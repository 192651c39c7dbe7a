#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/everlong/completion.h"

namespace everlong::app {
namespace {

constexpr const char* kHead = R"(# bash completion for everlong
_everlong() {
  local IFS=$' \t\n' cur="${COMP_WORDS[COMP_CWORD]}" prev="" verb="" word i
  ((COMP_CWORD > 0)) && prev="${COMP_WORDS[COMP_CWORD-1]}"
  if [[ $cur == "=" ]]; then
    cur=""
  elif [[ $prev == "=" ]] && ((COMP_CWORD > 1)); then
    prev="${COMP_WORDS[COMP_CWORD-2]}"
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="${COMP_WORDS[i]}"
    case "$verb/$word" in
)";

constexpr const char* kTail = R"(  esac
}

_everlong_words() {
  local IFS=$' \t\n'
  COMPREPLY=($(compgen -W "$2" -- "$1"))
}

_everlong_paths() {
  local IFS=$'\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$2" -- "$1"))
}

complete -F _everlong everlong
)";

std::string key_of(const VerbDescription& verb) { return fmt::format("{}", fmt::join(verb.path, " ")); }

/// What completes a value: a call of one of the two helpers, or nothing.
std::string action_for(const ArgumentDescription& argument) {
  if (!argument.choices.empty()) return fmt::format("_everlong_words \"$cur\" '{}'", fmt::join(argument.choices, " "));
  if (argument.takes_path()) return fmt::format("_everlong_paths \"$cur\" {}", argument.takes_directory() ? "-d" : "-f");
  return ":";
}

std::string option_words(const VerbDescription& verb, const VerbDescription& program) {
  std::string words;
  const auto append = [&words](const std::vector<ArgumentDescription>& options) {
    for (const ArgumentDescription& option : options)
      for (const std::string& name : option.names)
        if (words.find(name + " ") == std::string::npos) words += name + " ";
  };
  append(verb.options);
  append(program.options);
  return words;
}

std::string value_cases(const VerbDescription& verb, const std::string& pattern_prefix) {
  std::string text;
  for (const ArgumentDescription& option : verb.options) {
    if (option.is_flag()) continue;
    std::string patterns;
    for (const std::string& name : option.names) patterns += fmt::format("{}'{}/{}'", patterns.empty() ? "" : " | ", pattern_prefix, name);
    text += fmt::format("    {}) {}; return ;;\n", patterns, action_for(option));
  }
  return text;
}

}  // namespace

std::string bash_completion(const VerbDescription& program) {
  std::string steps, values, words;
  for_each_verb(program, [&](const VerbDescription& verb) {
    for (const VerbDescription& below : verb.verbs) steps += fmt::format("      '{}/{}') verb='{}' ;;\n", key_of(verb), below.name(), key_of(below));
    if (!verb.path.empty()) values += value_cases(verb, key_of(verb));
    std::string inside = verb.positionals.empty() ? ":" : action_for(verb.positionals.front());
    if (!verb.verbs.empty()) {
      std::string names;
      for (const VerbDescription& below : verb.verbs) names += below.name() + " ";
      inside = fmt::format("_everlong_words \"$cur\" '{}'", names);
    }
    words += fmt::format("    '{}')\n      if [[ $cur == -* ]]; then _everlong_words \"$cur\" '{}'\n      else {}\n      fi ;;\n", key_of(verb),
                         option_words(verb, program), inside);
  });
  std::string text = kHead + steps + "    esac\n  done\n  case \"$verb/$prev\" in\n" + values;
  for (const ArgumentDescription& option : program.options) {
    if (option.is_flag()) continue;
    std::string patterns;
    for (const std::string& name : option.names) patterns += fmt::format("{}*'/{}'", patterns.empty() ? "" : " | ", name);
    text += fmt::format("    {}) {}; return ;;\n", patterns, action_for(option));
  }
  return text + "  esac\n  case \"$verb\" in\n" + words + kTail;
}

}  // namespace everlong::app
