#pragma once
// The words in which a verb declares its arguments. Everything else that knows them - parser, help, completion, manual - reads that declaration.

#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/everlong/options.h"
#include "everlong/base/config.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace everlong::app {

/// What a value is; decides its placeholder in the help and what the shell completes.
enum class Kind { text, file, directory, path };

template <class E>
using Names = std::span<const std::pair<std::string_view, E>>;

/// Declares one verb (or the program itself). Names follow CLI11: "-o,--out" is an option, "MODEL" a positional argument.
/// Bound by reference: what is named here must outlive the parser.
class Syntax {
 public:
  explicit Syntax(CLI::App& app) : app_(app) {}

  /// Adds a verb below this one.
  Syntax verb(const std::string& name, const std::string& summary);

  /// Adds a command line to the examples of help and manual.
  Syntax& example(const std::string& line);

  Syntax& flag(const std::string& name, bool& value, const std::string& doc);
  Syntax& integer(const std::string& name, int64_t& value, IntegerRange range, const std::string& doc);
  Syntax& integer(const std::string& name, std::optional<int64_t>& value, IntegerRange range, const std::string& doc);
  Syntax& number(const std::string& name, double& value, NumberRange range, const std::string& doc);
  Syntax& number(const std::string& name, std::optional<double>& value, NumberRange range, const std::string& doc);
  Syntax& value(const std::string& name, std::string& value, Kind kind, const std::string& doc);
  /// As value(), and absent is not the same as empty.
  Syntax& value(const std::string& name, std::optional<std::string>& value, Kind kind, const std::string& doc);
  /// A positional takes one or more values; an option takes one each time it is given.
  Syntax& values(const std::string& name, std::vector<std::string>& values, Kind kind, const std::string& doc);

  template <class E>
  Syntax& choice(const std::string& name, E& value, Names<E> names, const std::string& doc) {
    std::string initial;
    for (const auto& [text, meaning] : names)
      if (meaning == value) initial = text;
    return add_choice(
        name, texts_of(names), initial, [&value, names](size_t i) { value = names[i].second; }, doc);
  }
  template <class E>
  Syntax& choice(const std::string& name, std::optional<E>& value, Names<E> names, const std::string& doc) {
    return add_choice(
        name, texts_of(names), "", [&value, names](size_t i) { value = names[i].second; }, doc);
  }

  /// Makes what was declared last required.
  Syntax& required();
  /// Makes what was declared last incompatible with the option `name`.
  Syntax& excludes(const std::string& name);
  /// Lets an environment variable stand in for what was declared last.
  Syntax& environment(const std::string& variable);
  /// Calls `action` when parsing ends with this verb chosen.
  Syntax& on_chosen(std::function<void()> action);
  /// Lets only one of the verbs below be chosen, and demands it.
  Syntax& require_verb();

  /// --json, and --device with --dtype: the same words in every verb.
  Syntax& json(bool& value);
  Syntax& compute(ComputeOptions& options);

  [[nodiscard]] CLI::App& app() const { return app_; }

 private:
  template <class E>
  static std::vector<std::string> texts_of(Names<E> names) {
    std::vector<std::string> texts;
    for (const auto& name : names) texts.emplace_back(name.first);
    return texts;
  }
  Syntax& add_choice(const std::string& name, std::vector<std::string> texts, const std::string& initial, std::function<void(size_t)> set,
                     const std::string& doc);

  CLI::App& app_;
  CLI::Option* last_ = nullptr;
};

/// Names of the enumerations in options.h, as typed.
[[nodiscard]] Names<Device> device_names();
[[nodiscard]] Names<Dtype> dtype_names();

}  // namespace everlong::app
