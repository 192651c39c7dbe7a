#include <fmt/format.h>
#include <fmt/ranges.h>

#include "apps/everlong/completion.h"

namespace everlong::app {
namespace {

std::string key_of(const VerbDescription& verb) { return verb.path.empty() ? "none" : fmt::format("{}", fmt::join(verb.path, "/")); }

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string value_words(const ArgumentDescription& argument) {
  if (!argument.choices.empty()) return fmt::format(" -x -a {}", quoted(fmt::format("{}", fmt::join(argument.choices, " "))));
  if (argument.takes_directory()) return " -x -a '(__fish_complete_directories)'";
  return argument.takes_path() ? " -r -F" : " -x";
}

std::string option_line(const std::string& condition, const ArgumentDescription& option) {
  std::string text = "complete -c everlong" + condition;
  for (const std::string& name : option.names) text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  if (!option.is_flag()) text += value_words(option);
  return fmt::format("{} -d {}\n", text, quoted(option.doc));
}

std::string verb_lines(const VerbDescription& verb) {
  const std::string condition = fmt::format(" -n '__fish_everlong_at {}'", key_of(verb));
  std::string text;
  for (const VerbDescription& below : verb.verbs) {
    text += fmt::format("complete -c everlong{} -f -a {} -d {}\n", condition, below.name(), quoted(below.summary));
  }
  if (!verb.path.empty()) {
    for (const ArgumentDescription& option : verb.options) text += option_line(condition, option);
  }
  for (const ArgumentDescription& argument : verb.positionals) {
    if (!argument.choices.empty())
      text += fmt::format("complete -c everlong{} -f -a {}\n", condition, quoted(fmt::format("{}", fmt::join(argument.choices, " "))));
    else if (argument.takes_path())
      text += fmt::format("complete -c everlong{} -F\n", condition);
  }
  return text;
}

}  // namespace

std::string fish_completion(const VerbDescription& program) {
  std::string text = "# fish completion for everlong\n\nfunction __fish_everlong_at\n    set -l verb none\n";
  text += "    for word in (commandline -opc)[2..-1]\n        switch \"$verb/$word\"\n";
  for_each_verb(program, [&](const VerbDescription& verb) {
    for (const VerbDescription& below : verb.verbs) {
      text += fmt::format("            case '{}/{}'\n                set verb '{}'\n", key_of(verb), below.name(), key_of(below));
    }
  });
  text += "        end\n    end\n    test \"$verb\" = \"$argv[1]\"\nend\n\ncomplete -c everlong -f\n";
  for (const ArgumentDescription& option : program.options) text += option_line("", option);
  for_each_verb(program, [&](const VerbDescription& verb) { text += verb_lines(verb); });
  return text;
}

}  // namespace everlong::app
