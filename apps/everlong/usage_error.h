#pragma once
// What the program says about words that it does not understand.

#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace everlong::app {

/// The verb that parsing got to.
[[nodiscard]] const CLI::App& chosen_verb(const CLI::App& program);

/// Three lines: what is wrong and what was probably meant, the usage of the verb, where to read more.
[[nodiscard]] std::string usage_message(const CLI::App& program, const CLI::ParseError& error);

}  // namespace everlong::app
