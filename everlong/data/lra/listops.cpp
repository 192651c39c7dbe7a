#include "everlong/data/lra/listops.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/rng.h"
#include "everlong/io/excerpt.h"

namespace everlong::data {
namespace {

constexpr std::array<std::string_view, 4> kOperators = {"[MIN", "[MAX", "[MED", "[SM"};
constexpr int32_t kFirstOperator = 1, kClose = 5, kFirstDigit = 6;
constexpr int64_t kMaxDraws = 1'000'000;

int64_t apply(int32_t op, std::vector<int64_t>& values) {
  switch (op - kFirstOperator) {
    case 0:
      return *std::min_element(values.begin(), values.end());
    case 1:
      return *std::max_element(values.begin(), values.end());
    case 2: {
      std::sort(values.begin(), values.end());
      const size_t middle = values.size() / 2;
      return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }
    default:
      return std::accumulate(values.begin(), values.end(), int64_t{0}) % 10;
  }
}

/// One draw, as ids.
class Draw {
 public:
  Draw(const ListOpsOptions& options, CounterRng& rng) : options_(options), rng_(rng) {}

  /// The value of one expression, appended to ids(); absent once that is longer than allowed.
  std::optional<int64_t> expression(int64_t depth) {
    if (std::cmp_greater_equal(ids_.size(), options_.max_len)) return std::nullopt;
    if (depth >= options_.max_depth || rng_.next_uniform() >= options_.value_share) {
      const auto digit = static_cast<int32_t>(rng_.next_below(10));
      ids_.push_back(kFirstDigit + digit);
      return digit;
    }
    const auto op = kFirstOperator + static_cast<int32_t>(rng_.next_below(kOperators.size()));
    ids_.push_back(op);
    const auto count = 2 + static_cast<int64_t>(rng_.next_below(static_cast<uint64_t>(options_.max_args) - 1));
    std::vector<int64_t> values;
    for (int64_t i = 0; i < count; ++i) {
      const auto value = expression(depth + 1);
      if (!value) return std::nullopt;
      values.push_back(*value);
    }
    ids_.push_back(kClose);
    return apply(op, values);
  }

  [[nodiscard]] const std::vector<int32_t>& ids() const { return ids_; }
  void clear() { ids_.clear(); }

 private:
  const ListOpsOptions& options_;
  CounterRng& rng_;
  std::vector<int32_t> ids_;
};

std::string text_of(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) {
    if (!text.empty()) text += ' ';
    if (id >= kFirstDigit) {
      text += static_cast<char>('0' + id - kFirstDigit);
    } else {
      text += id == kClose ? "]" : kOperators[static_cast<size_t>(id - kFirstOperator)];
    }
  }
  return text;
}

int32_t id_of(std::string_view word, const FileLocation& location) {
  if (word == "]") return kClose;
  if (word.size() == 1 && word[0] >= '0' && word[0] <= '9') return kFirstDigit + (word[0] - '0');
  const auto found = std::find(kOperators.begin(), kOperators.end(), word);
  if (found == kOperators.end()) throw FormatError(location, "[MIN, [MAX, [MED, [SM, ] or a digit", fmt::format("'{}'", io::excerpt(word)));
  return kFirstOperator + static_cast<int32_t>(found - kOperators.begin());
}

void check(const ListOpsOptions& options, int64_t number) {
  const auto demand = [](bool ok, std::string_view expected, auto got) {
    require(ok, [&] { return Complaint{.where = "listops", .expected = std::string(expected), .got = fmt::format("{}", got)}; });
  };
  demand(number >= 0, "a number >= 0", number);
  demand(options.max_depth >= 2 && options.max_depth <= 64, "max_depth from 2 to 64", options.max_depth);
  demand(options.max_args >= 2 && options.max_args <= 1000, "max_args from 2 to 1000", options.max_args);
  demand(options.value_share > 0 && options.value_share <= 1, "0 < value_share <= 1", options.value_share);
  demand(options.min_len >= 1 && options.min_len <= options.max_len, "1 <= min_len <= max_len", options.min_len);
  demand(options.max_len <= int64_t{1} << 24, "max_len <= 16777216", options.max_len);
}

}  // namespace

ListOpsExample make_listops(const ListOpsOptions& options, int64_t number) {
  check(options, number);
  constexpr uint64_t kStream = 0x115705;
  CounterRng rng(options.seed, kStream << 40 | static_cast<uint64_t>(number));
  Draw draw(options, rng);
  for (int64_t i = 0; i < kMaxDraws; ++i) {
    draw.clear();
    const auto value = draw.expression(1);
    const auto len = static_cast<int64_t>(draw.ids().size());
    if (value && len >= options.min_len && len <= options.max_len) return {.text = text_of(draw.ids()), .value = *value, .len = len};
  }
  throw InvalidArgument({.where = "listops",
                         .expected = fmt::format("a length from {} to {} within {} draws", options.min_len, options.max_len, kMaxDraws),
                         .got = "none",
                         .hint = "widen the lengths, or raise max_depth and max_args"});
}

std::vector<int32_t> listops_ids(std::string_view text, const FileLocation& location) {
  std::vector<int32_t> ids;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) ids.push_back(id_of(text.substr(0, end), location));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return ids;
}

int64_t listops_value(std::string_view text, const FileLocation& location) {
  struct Open {
    int32_t op;
    std::vector<int64_t> values;
  };
  std::vector<Open> open = {{kFirstOperator, {}}};  // what the whole expression is an argument of
  for (const int32_t id : listops_ids(text, location)) {
    if (id < kClose) {
      open.push_back({id, {}});
      continue;
    }
    int64_t value = id - kFirstDigit;
    if (id == kClose) {
      if (open.size() < 2 || open.back().values.empty()) throw FormatError(location, "an operator with arguments before each ]", "none");
      value = apply(open.back().op, open.back().values);
      open.pop_back();
    }
    open.back().values.push_back(value);
  }
  if (open.size() != 1 || open[0].values.size() != 1) throw FormatError(location, "one whole expression", io::excerpt(text));
  return open[0].values[0];
}

}  // namespace everlong::data
