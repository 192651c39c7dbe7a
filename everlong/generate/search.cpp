#include "everlong/generate/search.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/generate/beam_row.h"
#include "everlong/generate/token_rules.h"
#include "everlong/tensor/torch.h"

namespace everlong::generate {
namespace {

void check(const models::CausalLm& model, const models::ModelInput& prompt, const SearchOptions& options) {
  const auto demand = [](bool ok, const char* where, std::string expected, std::string got) {
    require(ok, [&] { return Complaint{.where = where, .expected = std::move(expected), .got = std::move(got)}; });
  };
  demand(prompt.tokens.defined() && prompt.tokens.dim() == 2 && prompt.tokens.size(1) > 0, "search", "a prompt [B, T] with T >= 1", "none");
  demand(options.num_beams >= 1, "num_beams", "an integer >= 1", fmt::format("{}", options.num_beams));
  demand(options.num_results >= 1 && options.num_results <= options.num_beams, "num_results", fmt::format("1 .. num_beams = {}", options.num_beams),
         fmt::format("{}", options.num_results));
  demand(options.max_new_tokens >= 0, "max_new_tokens", "an integer >= 0", fmt::format("{}", options.max_new_tokens));
  demand(std::isfinite(options.length_penalty), "length_penalty", "a number", fmt::format("{}", options.length_penalty));
  demand(options.no_repeat_ngram_size >= 0, "no_repeat_ngram_size", "an integer >= 0", fmt::format("{}", options.no_repeat_ngram_size));
  demand(options.repetition_penalty > 0 && std::isfinite(options.repetition_penalty), "repetition_penalty", "a number > 0",
         fmt::format("{}", options.repetition_penalty));
  demand(!options.sampling || options.num_beams == 1, "num_beams", "1 with sampling", fmt::format("{}", options.num_beams));
  if (model.model().capabilities().streaming == models::Streaming::none)
    throw Unsupported({.where = "search", .expected = "a model that streams", .hint = "bidirectional models read whole sequences"});
}

/// The tokens of one row that are not padding.
std::vector<int64_t> tokens_of(const models::ModelInput& prompt, int64_t row) {
  const at::Tensor tokens = prompt.tokens[row].to(at::kCPU);
  const at::Tensor kept = prompt.valid ? tokens.masked_select((*prompt.valid)[row].to(at::kCPU).ne(0)) : tokens.contiguous();
  return {kept.const_data_ptr<int64_t>(), kept.const_data_ptr<int64_t>() + kept.numel()};
}

class Search {
 public:
  Search(models::CausalLm& model, const models::ModelInput& prompt, const SearchOptions& options) : model_(model), options_(options) {
    for (int64_t row = 0; row < prompt.tokens.size(0); ++row) {
      rows_.emplace_back(tokens_of(prompt, row), options_);
      if (!options.sampling) continue;
      SamplingOptions sampling = *options.sampling;
      sampling.repetition_penalty = 1;  // applied to all of the row before the draw
      samplers_.emplace_back(sampling, options.seed + static_cast<uint64_t>(row));
    }
    if (options.max_new_tokens == 0) return;
    auto read = model_.forward(prompt, model_.model().initial_state(prompt.tokens.size(0)), true);
    scores_ = scores_of(read.logits);
    state_ = std::move(read.state);
  }

  SearchResult run() {
    SearchResult result;
    for (int64_t step = 1; step <= options_.max_new_tokens && !result.interrupted; ++step) {
      const std::vector<int64_t> parents = choose();
      result.interrupted = options_.on_step && !options_.on_step(step);
      if (parents.empty() || step == options_.max_new_tokens || result.interrupted) break;
      advance(parents);
    }
    for (BeamRow& row : rows_) result.rows.push_back(row.results());
    return result;
  }

 private:
  static at::Tensor scores_of(const at::Tensor& logits) { return logits.squeeze(1).to(at::kCPU, at::kDouble).contiguous(); }

  /// Adds a token to every beam of every open row. Returns the row of the batch that each new beam continues.
  std::vector<int64_t> choose() {
    std::vector<int64_t> parents;
    int64_t first = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i].done()) continue;
      const auto width = static_cast<int64_t>(rows_[i].open().size());
      const auto best = options_.num_beams == 1 ? single(i, first) : several(rows_[i], first);
      for (const size_t parent : rows_[i].advance(best)) parents.push_back(first + static_cast<int64_t>(parent));
      first += width;
    }
    return parents;
  }

  /// Scores of a row of the batch after the rules, and what they were before, as log-probabilities.
  std::span<double> ruled(const at::Tensor& scores, const Beam& beam) const {
    const std::span<double> values(scores.mutable_data_ptr<double>(), static_cast<size_t>(scores.numel()));
    penalize_repetition(values, beam.tokens, options_.repetition_penalty);
    if (options_.no_repeat_ngram_size > 0) ban_repeated_ngrams(values, beam.tokens, options_.no_repeat_ngram_size);
    return values;
  }

  /// The one next token of a row: the best score, or a drawn one.
  std::vector<Candidate> single(size_t row, int64_t place) {
    const Beam& beam = rows_[row].open().front();
    const at::Tensor scores = scores_[place];
    const at::Tensor log_probabilities = scores.log_softmax(-1);
    const auto values = ruled(scores, beam);
    int64_t token = std::distance(values.begin(), std::max_element(values.begin(), values.end()));
    if (!std::isfinite(values[static_cast<size_t>(token)])) return {};
    if (options_.sampling) {
      std::vector<float> logits(values.begin(), values.end());
      token = samplers_[row].draw(logits);
    }
    return {{.beam = 0, .token = token, .score = beam.score + log_probabilities[token].item<double>()}};
  }

  /// The best 2 num_beams continuations of all open beams of a row: if all of the better half end, as many open ones are left.
  std::vector<Candidate> several(const BeamRow& row, int64_t first) const {
    const auto width = static_cast<int64_t>(row.open().size());
    const int64_t V = scores_.size(1);
    const at::Tensor scores = scores_.narrow(0, first, width).log_softmax(-1);
    for (int64_t i = 0; i < width; ++i) {
      const Beam& beam = row.open()[static_cast<size_t>(i)];
      static_cast<void>(ruled(scores[i], beam));
      scores[i].add_(beam.score);
    }
    const auto [values, places] = scores.flatten().topk(std::min(2 * options_.num_beams, width * V));
    std::vector<Candidate> best;
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double score = values.const_data_ptr<double>()[i];
      const int64_t place = places.const_data_ptr<int64_t>()[i];
      if (std::isfinite(score)) best.push_back({.beam = static_cast<size_t>(place / V), .token = place % V, .score = score});
    }
    return best;
  }

  /// Reads the last token of every open beam.
  void advance(const std::vector<int64_t>& parents) {
    std::vector<int64_t> last;
    for (const BeamRow& row : rows_)
      if (!row.done())
        for (const Beam& beam : row.open()) last.push_back(beam.tokens.back());
    bool same = static_cast<int64_t>(parents.size()) == state_.batch_size();
    for (size_t i = 0; same && i < parents.size(); ++i) same = parents[i] == static_cast<int64_t>(i);
    if (!same) state_ = state_.select(at::tensor(parents, at::kLong));
    const at::Device device = model_.model().embedding_weight().device();
    auto read = model_.forward({.tokens = at::tensor(last, at::kLong).unsqueeze(1).to(device)}, std::move(state_), true);
    scores_ = scores_of(read.logits);
    state_ = std::move(read.state);
  }

  models::CausalLm& model_;
  const SearchOptions& options_;
  std::vector<BeamRow> rows_;
  std::vector<Sampler> samplers_;
  at::Tensor scores_;  ///< [open beams of all rows, V] fp64, logits of the next token
  nn::State state_;
};

}  // namespace

SearchResult search(models::CausalLm& model, const models::ModelInput& prompt, const SearchOptions& options) {
  check(model, prompt, options);
  const at::NoGradGuard no_grad;
  return Search(model, prompt, options).run();
}

SearchResult search(models::EncoderDecoder& model, const models::ModelInput& source, SearchOptions options) {
  const at::NoGradGuard no_grad;
  const models::EncodedSource encoded = model.encode(source);
  if (!options.end_token && model.config().eos_token_id >= 0) options.end_token = model.config().eos_token_id;
  const at::Tensor start =
      at::full({encoded.states.size(0), 1}, model.config().decoder_start_token_id, at::TensorOptions(at::kLong).device(encoded.states.device()));
  return search(model.decoder(), {.tokens = start, .memory = encoded.states, .memory_valid = encoded.valid}, options);
}

at::Tensor padded_ids(const at::Tensor& prompt, const SearchResult& result, std::optional<int64_t> end_token, int64_t pad_token) {
  size_t longest = 0, count = 0;
  const auto ids_of = [&](const Continuation& continuation) {
    std::vector<int64_t> ids = continuation.tokens;
    if (continuation.ended && end_token) ids.push_back(*end_token);
    return ids;
  };
  for (const auto& row : result.rows)
    for (const Continuation& continuation : row) longest = std::max(longest, ids_of(continuation).size()), ++count;
  const int64_t prompt_len = prompt.size(1);
  at::Tensor ids = at::full({static_cast<int64_t>(count), prompt_len + static_cast<int64_t>(longest)}, pad_token, at::kLong);
  int64_t place = 0;
  for (size_t row = 0; row < result.rows.size(); ++row)
    for (const Continuation& continuation : result.rows[row]) {
      ids[place].narrow(0, 0, prompt_len).copy_(prompt[static_cast<int64_t>(row)]);
      const auto found = ids_of(continuation);
      ids[place++].narrow(0, prompt_len, static_cast<int64_t>(found.size())).copy_(at::tensor(found, at::kLong));
    }
  return ids;
}

}  // namespace everlong::generate
