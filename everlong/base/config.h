#pragma once
// A configuration names each of its fields once; files, --set, validation, tables and fingerprints derive from that list.

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace everlong {

/// One value as configuration files know it. monostate = null.
using ConfigValue = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<std::string>>;

/// The value as a person would type it after `--set key=`.
[[nodiscard]] std::string to_text(const ConfigValue& value);

/// Reads what a person typed after `--set key=`: true/false, null, integers, numbers, [a, b] lists; anything else is text.
[[nodiscard]] ConfigValue value_from_text(std::string_view text);

/// One field of a configuration, bound to the struct it came from.
struct Field {
  std::string key;                                ///< dotted path: "optim.lr"
  std::string type;                               ///< "integer >= 1", "one of softmax, relu2, laplace"
  std::string doc;                                ///< one sentence, with the unit
  std::function<ConfigValue()> get;
  std::function<bool(const ConfigValue&)> accept; ///< stores the value if it fits, else says false and changes nothing

  /// Errors   InvalidArgument with key, type and what came if the value does not fit
  void set(const ConfigValue& value) const;
};

struct IntegerRange {
  int64_t min = std::numeric_limits<int64_t>::min();
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct NumberRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
};

/// The fields of one configuration object. Bound by reference: the object must outlive the list.
class Fields {
 public:
  Fields& add(std::string key, bool& value, std::string doc);
  Fields& add(std::string key, int64_t& value, std::string doc, IntegerRange range = {});
  Fields& add(std::string key, double& value, std::string doc, NumberRange range = {});
  Fields& add(std::string key, std::string& value, std::string doc);
  Fields& add(std::string key, std::vector<std::string>& value, std::string doc);
  Fields& add(std::string key, std::optional<int64_t>& value, std::string doc, IntegerRange range = {});
  Fields& add(std::string key, std::optional<double>& value, std::string doc, NumberRange range = {});

  /// Adds a field that takes one of a few names.
  template <class E>
  Fields& add(std::string key, E& value, std::string doc, std::span<const std::pair<std::string_view, E>> names) {
    std::vector<std::string_view> texts;
    for (const auto& name : names) texts.push_back(name.first);
    return add_choice(
        std::move(key), std::move(doc), texts,
        [&value, names] {
          for (size_t i = 0; i < names.size(); ++i)
            if (names[i].second == value) return i;
          return size_t{0};
        },
        [&value, names](size_t i) { value = names[i].second; });
  }

  /// Adds all fields of `nested` under "prefix.".
  Fields& section(std::string_view prefix, Fields nested);

  /// Adds one field of another list.
  Fields& append(Field field);

  [[nodiscard]] const std::vector<Field>& all() const& { return fields_; }
  [[nodiscard]] std::vector<Field> all() && { return std::move(fields_); }  ///< a loop over the fields of a temporary keeps them
  [[nodiscard]] const Field* find(std::string_view key) const;

  /// Sets one field. Errors  InvalidArgument if the key is unknown (the hint names the nearest known one) or the value does not fit
  void set(std::string_view key, const ConfigValue& value) const;

  /// Sets "key=value key=value ...", the values as after --set. Errors  as set(); InvalidArgument where a part is not key=value
  void set_all(std::string_view settings) const;

  /// Known key with the smallest edit distance to `key`; empty if nothing is near.
  [[nodiscard]] std::string nearest(std::string_view key) const;

  /// "key=value" lines in the order of declaration: what a fingerprint is taken of.
  [[nodiscard]] std::string canonical_text() const;

 private:
  Fields& add_choice(std::string key, std::string doc, const std::vector<std::string_view>& names, std::function<size_t()> get,
                     std::function<void(size_t)> set);

  std::vector<Field> fields_;
};

}  // namespace everlong
