#include "apps/everlong/syntax.h"

#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, Device>, 3> kDevices{{{"auto", Device::automatic}, {"cpu", Device::cpu}, {"cuda", Device::cuda}}};
constexpr std::array<std::pair<std::string_view, Dtype>, 3> kDtypes{{{"f32", Dtype::f32}, {"bf16", Dtype::bf16}, {"f64", Dtype::f64}}};

std::string placeholder(Kind kind) {
  switch (kind) {
    case Kind::file:
      return "FILE";
    case Kind::directory:
      return "DIR";
    case Kind::path:
      return "PATH";
    case Kind::text:
      break;
  }
  return "TEXT";
}

template <class T>
std::optional<T> whole_number_of(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
  return value;
}

/// "integer >= 1" in the words that configuration files use.
template <class T, class Range>
std::string type_text(Range range) {
  T value{};
  Fields fields;
  fields.add("value", value, "", range);
  return fields.all().front().type;
}

/// Checks a number and rewrites it in plain form: the parser behind would read 010 as octal.
template <class T, class Range>
CLI::Validator inside(Range range) {
  const auto check = [range](std::string& text) -> std::string {
    const auto value = whole_number_of<T>(text);
    if (!value || !(*value >= range.min && *value <= range.max)) return fmt::format("expected {}, got '{}'", type_text<T>(range), text);
    text = fmt::format("{}", *value);
    return {};
  };
  return CLI::Validator(check, "", "");
}

bool is_positional(const std::string& name) { return name.front() != '-'; }

}  // namespace

Names<Device> device_names() { return kDevices; }
Names<Dtype> dtype_names() { return kDtypes; }

Syntax Syntax::verb(const std::string& name, const std::string& summary) { return Syntax(*app_.add_subcommand(name, summary)); }

Syntax& Syntax::example(const std::string& line) {
  app_.footer(app_.get_footer() + line + "\n");
  return *this;
}

Syntax& Syntax::flag(const std::string& name, bool& value, const std::string& doc) {
  last_ = app_.add_flag(name, value, doc)->disable_flag_override();
  return *this;
}

Syntax& Syntax::integer(const std::string& name, int64_t& value, IntegerRange range, const std::string& doc) {
  last_ = app_.add_option(name, value, doc)->check(inside<int64_t>(range))->type_name("N")->capture_default_str();
  return *this;
}

Syntax& Syntax::integer(const std::string& name, std::optional<int64_t>& value, IntegerRange range, const std::string& doc) {
  last_ = app_.add_option(name, value, doc)->check(inside<int64_t>(range))->type_name("N");
  return *this;
}

Syntax& Syntax::number(const std::string& name, double& value, NumberRange range, const std::string& doc) {
  last_ = app_.add_option(name, value, doc)->check(inside<double>(range))->type_name("X")->default_str(fmt::format("{}", value));
  return *this;
}

Syntax& Syntax::number(const std::string& name, std::optional<double>& value, NumberRange range, const std::string& doc) {
  last_ = app_.add_option(name, value, doc)->check(inside<double>(range))->type_name("X");
  return *this;
}

Syntax& Syntax::value(const std::string& name, std::string& value, Kind kind, const std::string& doc) {
  last_ = app_.add_option(name, value, doc)->type_name(placeholder(kind))->default_str(value);
  return *this;
}

Syntax& Syntax::value(const std::string& name, std::optional<std::string>& value, Kind kind, const std::string& doc) {
  const auto store = [&value](const std::string& given) { value = given; };
  last_ = app_.add_option_function<std::string>(name, store, doc)->type_name(placeholder(kind));
  return *this;
}

Syntax& Syntax::values(const std::string& name, std::vector<std::string>& values, Kind kind, const std::string& doc) {
  last_ = app_.add_option(name, values, doc)->type_name(placeholder(kind));
  if (is_positional(name)) return *this;
  last_->allow_extra_args(false);  // else "--set a=1 config.toml" would take config.toml too
  return *this;
}

Syntax& Syntax::add_choice(const std::string& name, std::vector<std::string> texts, const std::string& initial, std::function<void(size_t)> set,
                           const std::string& doc) {
  const std::string all = fmt::format("{}", fmt::join(texts, "|"));
  const auto check = [texts, all](std::string& given) -> std::string {
    if (std::find(texts.begin(), texts.end(), given) != texts.end()) return {};
    return fmt::format("expected one of {}, got '{}'", all, given);
  };
  const auto store = [texts, set](const std::string& given) {
    set(static_cast<size_t>(std::find(texts.begin(), texts.end(), given) - texts.begin()));
  };
  last_ = app_.add_option_function<std::string>(name, store, doc)->check(CLI::Validator(check, "", ""))->type_name(all)->default_str(initial);
  return *this;
}

Syntax& Syntax::required() {
  last_->required()->default_str("");
  return *this;
}

Syntax& Syntax::excludes(const std::string& name) {
  last_->excludes(app_.get_option(name));
  return *this;
}

Syntax& Syntax::environment(const std::string& variable) {
  last_->envname(variable);
  return *this;
}

Syntax& Syntax::on_chosen(std::function<void()> action) {
  app_.callback(std::move(action));
  return *this;
}

Syntax& Syntax::require_verb() {
  app_.require_subcommand(1);
  return *this;
}

Syntax& Syntax::json(bool& value) { return flag("--json", value, "Print the report as JSON"); }

Syntax& Syntax::compute(ComputeOptions& options) {
  choice("--device", options.device, device_names(), "Where to compute; auto takes a GPU if there is one").environment("EVERLONG_DEVICE");
  return choice("--dtype", options.dtype, dtype_names(), "Compute precision; default: what the model says").environment("EVERLONG_DTYPE");
}

}  // namespace everlong::app
