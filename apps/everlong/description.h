#pragma once
// The declared command line as plain data: what help, completion and manual are written from.

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace everlong::app {

struct ArgumentDescription {
  std::vector<std::string> names;    ///< "-o", "--out", shortest first; a positional has one name without dashes
  std::string value;                 ///< placeholder of the value: "FILE", "auto|cpu|cuda"; empty for a flag
  std::vector<std::string> choices;  ///< values that are allowed, if they are few
  std::string doc;
  std::string initial;      ///< default value; may be empty
  std::string environment;  ///< environment variable that stands in for it; may be empty
  bool positional = false;
  bool required = false;
  bool repeated = false;

  [[nodiscard]] bool is_flag() const { return !positional && value.empty(); }
  [[nodiscard]] bool takes_path() const { return value == "FILE" || value == "PATH" || value == "DIR"; }
  [[nodiscard]] bool takes_directory() const { return value == "DIR"; }
};

struct VerbDescription {
  std::vector<std::string> path;  ///< {"tokenize", "encode"}; empty for the program
  std::string summary;
  std::vector<std::string> examples;
  std::vector<ArgumentDescription> options;
  std::vector<ArgumentDescription> positionals;
  std::vector<VerbDescription> verbs;

  /// "everlong tokenize encode"
  [[nodiscard]] std::string command() const;
  [[nodiscard]] std::string name() const { return path.empty() ? "everlong" : path.back(); }
};

[[nodiscard]] VerbDescription describe(const CLI::App& app);

/// "-o, --out DIR" or "FILE...": an argument as help and manual head it.
[[nodiscard]] std::string heading(const ArgumentDescription& argument);

/// "everlong eval [options] MODEL FILE..."
[[nodiscard]] std::string usage(const VerbDescription& verb);

/// Calls `visit` for `verb` and all verbs below it, parents first.
template <class F>
void for_each_verb(const VerbDescription& verb, F&& visit) {
  visit(verb);
  for (const VerbDescription& below : verb.verbs) for_each_verb(below, visit);
}

}  // namespace everlong::app
