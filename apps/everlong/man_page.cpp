#include "apps/everlong/man_page.h"

#include <fmt/format.h>

#include "everlong/base/version.h"

namespace everlong::app {
namespace {

constexpr const char* kDescription = R"(.SH DESCRIPTION
.B everlong
trains, evaluates, streams and inspects sequence models whose context never ends: what a model has read is carried in a state
of its own, which can be saved, copied and continued.
Data goes to standard output, messages to standard error.
A file named
.B \-
is standard input or standard output.
)";

constexpr const char* kTail = R"(.SH EXIT STATUS
.TP
.B 0
success
.TP
.B 1
failure; the reason is on standard error
.TP
.B 2
wrong usage
.TP
.B 130
interrupted
.SH FILES
.TP
.B libeverlong_compute.so
what computes; loaded by the verbs that need it, from the folder of the program or its library folder
)";

/// Text of one line: backslashes and dashes as troff wants them, and no line that begins like a request.
std::string troff(const std::string& text) {
  std::string out;
  if (!text.empty() && (text.front() == '.' || text.front() == '\'')) out += "\\&";
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else
      out += c;
  }
  return out;
}

std::string argument_text(const ArgumentDescription& argument) {
  std::string head = heading(argument);
  head.erase(0, head.find_first_not_of(' '));
  std::string text = fmt::format(".TP\n.B {}\n{}", troff(head), troff(argument.doc));
  if (!argument.initial.empty() && !argument.is_flag()) text += fmt::format(" (default: {})", troff(argument.initial));
  if (argument.repeated && !argument.positional) text += "; may be given several times";
  return text + ".\n";
}

std::string verb_text(const VerbDescription& verb) {
  std::string text =
      fmt::format(".SS {}\n{}.\n.PP\n.B {}\n", troff(verb.command().substr(verb.command().find(' ') + 1)), troff(verb.summary), troff(usage(verb)));
  for (const ArgumentDescription& argument : verb.positionals) text += argument_text(argument);
  for (const ArgumentDescription& option : verb.options)
    if (option.names.back() != "--help") text += argument_text(option);
  return text;
}

}  // namespace

std::string man_page(const VerbDescription& program) {
  std::string text = fmt::format(".TH EVERLONG 1 \"\" \"everlong {}\" \"User Commands\"\n", kVersion);
  text += fmt::format(".SH NAME\neverlong \\- {}\n", troff(program.summary));
  text += fmt::format(".SH SYNOPSIS\n.B {}\n", troff(usage(program)));
  text += kDescription;
  text += ".SH OPTIONS\nUnderstood by every verb.\n";
  for (const ArgumentDescription& option : program.options) text += argument_text(option);
  text += ".SH VERBS\n";
  std::string examples, variables;
  for_each_verb(program, [&](const VerbDescription& verb) {
    if (!verb.path.empty() && verb.verbs.empty()) text += verb_text(verb);
    for (const std::string& example : verb.examples) examples += troff(example) + "\n";
    for (const ArgumentDescription& option : verb.options) {
      if (option.environment.empty() || variables.find(option.environment) != std::string::npos) continue;
      variables += fmt::format(".TP\n.B {}\nstands in for {}\n", option.environment, troff(option.names.back()));
    }
  });
  text += ".SH EXAMPLES\n.nf\n" + examples + ".fi\n";
  text += ".SH ENVIRONMENT\n" + variables + ".TP\n.B NO_COLOR\nno colours, whatever its value\n";
  return text + kTail;
}

}  // namespace everlong::app
