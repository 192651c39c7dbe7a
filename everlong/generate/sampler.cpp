#include "everlong/generate/sampler.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::generate {
namespace {

constexpr uint64_t kSamplingStream = 0x5a3b;

struct Candidate {
  float logit;
  int32_t token;
};

bool better(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.token < b.token; }

/// Candidates in order, best first, sorted only as far as they are asked for: most draws end among the first few of fifty thousand.
class BestFirst {
 public:
  explicit BestFirst(std::span<const float> logits) {
    all_.reserve(logits.size());
    for (size_t i = 0; i < logits.size(); ++i)
      if (std::isfinite(logits[i])) all_.push_back({logits[i], static_cast<int32_t>(i)});
  }

  [[nodiscard]] bool empty() const { return all_.empty(); }
  [[nodiscard]] size_t size() const { return all_.size(); }
  const Candidate& operator[](size_t i) {
    if (i >= sorted_) sort(std::max({i + 1, kLeast, 4 * sorted_}));
    return all_[i];
  }
  /// The `count` best in any order.
  std::span<const Candidate> best(size_t count) {
    if (count < all_.size()) sort(count);
    return std::span(all_).first(std::min(count, all_.size()));
  }

 private:
  static constexpr size_t kLeast = 256;

  void sort(size_t count) {
    if (count <= sorted_) return;
    const auto from = all_.begin() + static_cast<std::ptrdiff_t>(sorted_),
               to = all_.begin() + static_cast<std::ptrdiff_t>(std::min(count, all_.size()));
    if (to != all_.end()) std::nth_element(from, to, all_.end(), better);
    std::sort(from, to, better);
    sorted_ = static_cast<size_t>(to - all_.begin());
  }

  std::vector<Candidate> all_;
  size_t sorted_ = 0;
};

}  // namespace

Sampler::Sampler(const SamplingOptions& options, uint64_t seed) : options_(options), rng_(seed, kSamplingStream) {
  const auto demand = [](bool ok, const char* where, const char* expected, double got) {
    require(ok, [&] { return Complaint{.where = where, .expected = expected, .got = fmt::format("{}", got)}; });
  };
  demand(options.temperature >= 0 && std::isfinite(options.temperature), "temperature", "a number >= 0", options.temperature);
  demand(options.top_k >= 0, "top-k", "an integer >= 0", static_cast<double>(options.top_k));
  demand(options.top_p > 0 && options.top_p <= 1, "top-p", "a number in (0, 1]", options.top_p);
  demand(options.min_p >= 0 && options.min_p < 1, "min-p", "a number in [0, 1)", options.min_p);
  demand(options.repetition_penalty > 0 && std::isfinite(options.repetition_penalty), "repetition-penalty", "a number > 0",
         options.repetition_penalty);
  demand(options.repetition_window >= 0, "repetition-window", "an integer >= 0", static_cast<double>(options.repetition_window));
}

void Sampler::observe(int32_t token) {
  recent_.push_back(token);
  if (static_cast<int64_t>(recent_.size()) > 2 * options_.repetition_window)
    recent_.erase(recent_.begin(), recent_.end() - options_.repetition_window);
}

void Sampler::penalize(std::span<float> logits) const {
  if (options_.repetition_penalty == 1.0) return;
  const auto reach = std::min<int64_t>(options_.repetition_window, static_cast<int64_t>(recent_.size()));
  const auto penalty = static_cast<float>(options_.repetition_penalty);
  for (const int32_t token : std::set<int32_t>(recent_.end() - reach, recent_.end())) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

int32_t Sampler::draw(std::span<float> logits) {
  penalize(logits);
  BestFirst candidates(logits);
  require(!candidates.empty(), [] {
    return Complaint{.where = "sampler", .expected = "a finite score", .got = "none", .hint = "the model's weights hold NaN or infinity"};
  });
  const std::span<const Candidate> all = candidates.best(candidates.size());
  const Candidate top = *std::min_element(all.begin(), all.end(), better);
  if (options_.temperature == 0) return top.token;

  // Probabilities are not normalised: the best candidate's is 1.
  const auto weight = [&](const Candidate& candidate) {
    const double distance = static_cast<double>(candidate.logit) - static_cast<double>(top.logit);
    return static_cast<double>(std::exp(static_cast<float>(distance / options_.temperature)));
  };
  size_t kept = options_.top_k > 0 ? std::min(candidates.size(), static_cast<size_t>(options_.top_k)) : candidates.size();
  double total = 0;
  for (const Candidate& candidate : candidates.best(kept)) total += weight(candidate);
  if (options_.top_p < 1 || options_.min_p > 0) {
    const double wanted = options_.top_p * total;
    const size_t most = kept;
    double sum = 0;
    for (kept = 0; kept < most && (kept == 0 || (sum < wanted && weight(candidates[kept]) >= options_.min_p)); ++kept)
      sum += weight(candidates[kept]);
    total = sum;
  }
  double point = rng_.next_uniform() * total;
  for (size_t i = 0; i < kept; ++i) {
    point -= weight(candidates[i]);
    if (point < 0) return candidates[i].token;
  }
  return candidates[kept - 1].token;
}

}  // namespace everlong::generate
