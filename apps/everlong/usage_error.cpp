#include "apps/everlong/usage_error.h"

#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "apps/everlong/description.h"
#include "apps/everlong/output.h"
#include "apps/everlong/suggest.h"

namespace everlong::app {
namespace {

std::vector<std::string> option_names(const VerbDescription& verb, const VerbDescription& program) {
  std::vector<std::string> names;
  for (const auto* options : {&verb.options, &program.options})
    for (const ArgumentDescription& option : *options) names.insert(names.end(), option.names.begin(), option.names.end());
  return names;
}

std::string with_hint(std::string text, const std::string& meant) {
  if (!meant.empty()) text += fmt::format(". Did you mean {}?", meant);
  return text;
}

/// Explains the first word that nothing took.
std::string about_word(std::string word, const VerbDescription& verb, const VerbDescription& program) {
  if (word.size() > 1 && word.front() == '-') {
    word = word.substr(0, word.find('='));
    return with_hint(fmt::format("unknown option {}", printable(word)), nearest(word, option_names(verb, program)));
  }
  if (verb.verbs.empty()) return fmt::format("unexpected argument '{}'", printable(word));
  std::vector<std::string> names;
  for (const VerbDescription& below : verb.verbs) names.push_back(below.name());
  names.emplace_back("--help");  // "everlong help" is a fair guess
  return with_hint(fmt::format("unknown verb '{}'", printable(word)), nearest(word, names));
}

}  // namespace

const CLI::App& chosen_verb(const CLI::App& program) {
  const CLI::App* at = &program;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

std::string usage_message(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& chosen = chosen_verb(program);
  const VerbDescription verb = describe(chosen), whole = describe(program);
  const std::vector<std::string> untaken = program.remaining(true);
  const bool about_value =
      dynamic_cast<const CLI::ValidationError*>(&error) != nullptr || dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr;
  std::string what = printable(error.what());
  if (!untaken.empty() && !about_value)
    what = about_word(untaken.front(), verb, whole);
  else if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !verb.verbs.empty())
    what = "a verb is required";
  return fmt::format("{}: {}\nUsage: {}\nSee '{} --help'.\n", verb.command(), what, usage(verb), verb.command());
}

}  // namespace everlong::app
