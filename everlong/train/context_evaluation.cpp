#include "everlong/train/context_evaluation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong::train {
namespace {

constexpr int64_t kLongest = int64_t{1} << 40;
constexpr int64_t kMostWindows = 4096;

/// The text with what comes before it: token i >= 0 is the text's, -1 the last one of `before`, which goes round.
class Timeline {
 public:
  Timeline(std::span<const int32_t> before, std::span<const int32_t> text) : before_(before), text_(text) {}

  [[nodiscard]] int32_t at(int64_t index) const {
    if (index >= 0) return text_[static_cast<size_t>(index)];
    const auto size = static_cast<int64_t>(before_.size());
    return before_[static_cast<size_t>(size - 1 - (-1 - index) % size)];
  }

  /// How often `before` is begun again to reach back to `index`.
  [[nodiscard]] int64_t repeats_to(int64_t index) const { return index >= 0 ? 0 : (-index - 1) / static_cast<int64_t>(before_.size()); }

 private:
  std::span<const int32_t> before_, text_;
};

class ContextRun {
 public:
  ContextRun(models::CausalLm& model, const Timeline& timeline, std::vector<int64_t> begins, const ContextOptions& options)
      : model_(model), timeline_(timeline), begins_(std::move(begins)), options_(options) {}

  /// Nats of each window after so much history.
  std::vector<double> run(int64_t history) {
    const at::NoGradGuard no_grad;
    state_ = model_.model().initial_state(rows());
    for (int64_t offset = -history; offset < -1; offset += options_.segment) {
      const int64_t len = std::min(options_.segment, -1 - offset);
      state_ = model_.model().forward({.tokens = tokens(offset, len)}, std::move(state_)).state;
      count(len);
    }
    const double first = history == 0 ? std::log(static_cast<double>(model_.model().vocab_size())) : 0;
    std::vector<double> nats(begins_.size(), first);
    const int64_t end = options_.window_len - 1;  // the last token is only a target
    for (int64_t offset = history == 0 ? 0 : -1; offset < end; offset += options_.segment)
      score(offset, std::min(options_.segment, end - offset), nats);
    return nats;
  }

 private:
  [[nodiscard]] int64_t rows() const { return static_cast<int64_t>(begins_.size()); }

  void score(int64_t offset, int64_t len, std::vector<double>& nats) {
    auto loss = model_.token_loss({.tokens = tokens(offset, len)}, tokens(offset + 1, len), std::move(state_));
    state_ = std::move(loss.state);
    const at::Tensor sums = loss.nats.to(at::kCPU, at::kDouble).sum(1).contiguous();
    for (size_t row = 0; row < nats.size(); ++row) nats[row] += sums.const_data_ptr<double>()[row];
    count(len);
  }

  /// `len` tokens of each row, from `offset` tokens after its window's begin. Shapes  [rows, len]
  [[nodiscard]] at::Tensor tokens(int64_t offset, int64_t len) const {
    const at::Tensor all = at::empty({rows(), len}, at::kLong);
    int64_t* out = all.mutable_data_ptr<int64_t>();
    for (const int64_t begin : begins_)
      for (int64_t t = 0; t < len; ++t) *out++ = timeline_.at(begin + offset + t);
    return all.to(model_.model().embedding_weight().device());
  }

  void count(int64_t len) {
    read_ += rows() * len;
    if (options_.progress) options_.progress(read_);
  }

  models::CausalLm& model_;
  const Timeline& timeline_;
  std::vector<int64_t> begins_;
  const ContextOptions& options_;
  nn::State state_;
  int64_t read_ = 0;
};

void check(const models::CausalLm& model, const ContextOptions& options) {
  const auto complain = [](std::string expected, std::string got) {
    throw InvalidArgument({.where = "context lengths", .expected = std::move(expected), .got = std::move(got)});
  };
  if (options.lengths.empty()) complain("at least one length", "none");
  for (const int64_t length : options.lengths)
    if (length < 0 || length > kLongest) complain(fmt::format("lengths in [0, {}]", kLongest), fmt::format("{}", length));
  if (options.segment < 1) complain("segments of at least one token", fmt::format("{}", options.segment));
  if (options.windows < 1 || options.windows > kMostWindows)
    complain(fmt::format("windows in [1, {}]", kMostWindows), fmt::format("{}", options.windows));
  if (options.window_len < 2 || options.window_len > kLongest) complain("windows of at least two tokens", fmt::format("{}", options.window_len));
  if (model.model().capabilities().streaming == models::Streaming::none)
    throw Unsupported({.where = "context lengths", .expected = "a model that carries a state", .hint = "eval without context lengths"});
}

/// Where the windows begin: at equal distances, the last one at the end of the text.
std::vector<int64_t> place_windows(int64_t text_len, int64_t first_begin, const ContextOptions& options) {
  const int64_t room = text_len - first_begin - options.window_len;
  require(room >= (options.windows - 1) * options.window_len, [&] {
    return Complaint{.where = "context lengths",
                     .expected = fmt::format("a text of {} tokens: {} windows of {} and {} before them",
                                             first_begin + options.windows * options.window_len, options.windows, options.window_len, first_begin),
                     .got = fmt::format("{}", text_len),
                     .hint = "name a text that comes before with --history, or use fewer windows or shorter lengths"};
  });
  std::vector<int64_t> begins;
  for (int64_t i = 0; i < options.windows; ++i) begins.push_back(first_begin + (options.windows == 1 ? room : room * i / (options.windows - 1)));
  return begins;
}

void set_gain(ContextLoss& loss, const std::vector<double>& first, const std::vector<double>& nats, int64_t window_len) {
  const auto count = static_cast<double>(nats.size());
  std::vector<double> gains;
  for (size_t i = 0; i < nats.size(); ++i) gains.push_back((first[i] - nats[i]) / static_cast<double>(window_len));
  for (const double gain : gains) loss.gain += gain / count;
  if (gains.size() < 2) return;
  double squares = 0;
  for (const double gain : gains) squares += (gain - loss.gain) * (gain - loss.gain);
  loss.gain_error = std::sqrt(squares / (count - 1) / count);
}

}  // namespace

double ContextLoss::nats_per_token() const { return nats / static_cast<double>(tokens); }
double ContextLoss::perplexity() const { return std::exp(nats_per_token()); }
double ContextLoss::bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }

std::vector<ContextLoss> evaluate_context(models::CausalLm& model, const text::Tokenizer& tokenizer, std::span<const int32_t> before,
                                          std::span<const int32_t> text, const ContextOptions& options) {
  check(model, options);
  model.eval();
  const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
  const Timeline timeline(before, text);
  const std::vector<int64_t> begins = place_windows(static_cast<int64_t>(text.size()), before.empty() ? longest : 0, options);
  int64_t bytes = 0;
  for (const int64_t begin : begins)
    bytes += static_cast<int64_t>(tokenizer.decode(text.subspan(static_cast<size_t>(begin), static_cast<size_t>(options.window_len))).size());
  ContextRun run(model, timeline, begins, options);
  std::vector<ContextLoss> losses;
  std::vector<double> first;
  for (const int64_t history : options.lengths) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<double> nats = run.run(history);
    if (first.empty()) first = nats;
    ContextLoss& loss = losses.emplace_back(ContextLoss{.history = history, .tokens = options.windows * options.window_len, .bytes = bytes});
    for (const double window : nats) loss.nats += window;
    set_gain(loss, first, nats, options.window_len);
    loss.repeated = timeline.repeats_to(begins.front() - history);
    loss.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return losses;
}

}  // namespace everlong::train
