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

/// How many of the best candidates stay. `weights` are unnormalised probabilities, best first.
size_t kept_by_probability(const std::vector<double>& weights, double top_p, double min_p) {
  double total = 0;
  for (const double weight : weights) total += weight;
  double sum = 0;
  size_t kept = 0;
  while (kept < weights.size() && (kept == 0 || (sum < top_p * total && weights[kept] >= min_p * weights[0]))) sum += weights[kept++];
  return kept;
}

}  // namespace

Sampler::Sampler(const SamplingOptions& options, uint64_t seed) : options_(options), rng_(seed, kSamplingStream) {
  const auto demand = [](bool ok, const char* where, const char* expected, double got) {
    require(ok, [&] { return Complaint{.where = where, .expected = expected, .got = fmt::format("{}", got)}; });
  };
  demand(options.temperature >= 0 && std::isfinite(options.temperature), "temperature", "a number >= 0", options.temperature);
  demand(options.top_k >= 0, "top-k", "an integer >= 0", static_cast<double>(options.top_k));
  demand(options.top_p > 0 && options.top_p <= 1, "top-p", "a number in (0, 1]", options.top_p);
  demand(options.min_p >= 0 && options.min_p < 1, "min-p", "a number in [0, 1)", options.min_p);
  demand(options.repetition_penalty > 0 && std::isfinite(options.repetition_penalty), "repetition-penalty", "a number > 0", options.repetition_penalty);
  demand(options.repetition_window >= 0, "repetition-window", "an integer >= 0", static_cast<double>(options.repetition_window));
}

void Sampler::observe(int32_t token) {
  recent_.push_back(token);
  if (static_cast<int64_t>(recent_.size()) > 2 * options_.repetition_window) recent_.erase(recent_.begin(), recent_.end() - options_.repetition_window);
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
  std::vector<Candidate> candidates;
  candidates.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    if (std::isfinite(logits[i])) candidates.push_back({logits[i], static_cast<int32_t>(i)});
  require(!candidates.empty(), [] { return Complaint{.where = "sampler", .expected = "a finite score", .got = "none", .hint = "the model's weights hold NaN or infinity"}; });
  if (options_.temperature == 0) return std::min_element(candidates.begin(), candidates.end(), better)->token;

  const size_t kept = options_.top_k > 0 ? std::min(candidates.size(), static_cast<size_t>(options_.top_k)) : candidates.size();
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(kept), candidates.end(), better);
  candidates.resize(kept);
  std::vector<double> weights;
  for (const Candidate& candidate : candidates)
    weights.push_back(std::exp((static_cast<double>(candidate.logit) - static_cast<double>(candidates[0].logit)) / options_.temperature));
  weights.resize(kept_by_probability(weights, options_.top_p, options_.min_p));

  double total = 0;
  for (const double weight : weights) total += weight;
  double point = rng_.next_uniform() * total;
  for (size_t i = 0; i < weights.size(); ++i) {
    point -= weights[i];
    if (point < 0) return candidates[i].token;
  }
  return candidates[weights.size() - 1].token;
}

}  // namespace everlong::generate
