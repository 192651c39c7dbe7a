#include "everlong/generate/session.h"

#include <algorithm>
#include <chrono>

#include "everlong/base/error.h"
#include "everlong/models/state_file.h"
#include "everlong/tensor/torch.h"
#include "everlong/text/stream_decoder.h"

namespace everlong::generate {
namespace {

at::Tensor as_row(std::span<const int32_t> tokens, at::Device device) {
  return at::from_blob(const_cast<int32_t*>(tokens.data()), {1, static_cast<int64_t>(tokens.size())}, at::kInt).to(at::kLong).to(device);
}

/// Holds text back while it could still become a stop text, and cuts at the first one.
class StopFilter {
 public:
  explicit StopFilter(const std::vector<std::string>& stops) : stops_(stops) {}

  /// Adds text; returns what is safe to show. `stopped()` tells whether a stop text came.
  std::string push(std::string_view text) {
    held_ += text;
    for (const std::string& stop : stops_)
      if (const auto found = held_.find(stop); !stop.empty() && found != std::string::npos) {
        held_.resize(found);
        stopped_ = true;
      }
    const size_t keep = stopped_ ? 0 : longest_beginning();
    std::string shown = held_.substr(0, held_.size() - keep);
    held_.erase(0, shown.size());
    return shown;
  }
  std::string flush() { return std::exchange(held_, {}); }
  [[nodiscard]] bool stopped() const { return stopped_; }

 private:
  /// Length of the longest end of the held text that begins a stop text.
  [[nodiscard]] size_t longest_beginning() const {
    size_t longest = 0;
    for (const std::string& stop : stops_)
      for (size_t len = std::min(stop.size(), held_.size()); len > longest; --len)
        if (held_.ends_with(std::string_view(stop).substr(0, len))) longest = len;
    return longest;
  }

  const std::vector<std::string>& stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace

Session::Session(std::shared_ptr<models::CausalLm> model, std::shared_ptr<const text::Tokenizer> tokenizer)
    : model_(std::move(model)), tokenizer_(std::move(tokenizer)), state_(model_->model().initial_state(1)) {
  if (model_->model().capabilities().streaming == models::Streaming::none)
    throw Unsupported({.where = "session", .expected = "a model that streams", .hint = "bidirectional models read whole sequences: use eval or predict"});
}

int64_t Session::position() const { return state_.positions().front() + (pending_ >= 0 ? 1 : 0); }

at::Tensor Session::advance(std::span<const int32_t> tokens) {
  const at::NoGradGuard no_grad;
  auto read = model_->forward({.tokens = as_row(tokens, model_->model().embedding_weight().device())}, std::move(state_), true);
  state_ = std::move(read.state);
  return read.logits.view({-1}).to(at::kCPU, at::kFloat).contiguous();
}

void Session::read(std::string_view text, int64_t segment) { read_tokens(tokenizer_->encode(text, {.add_special = position() == 0}), segment); }

void Session::read_tokens(std::span<const int32_t> tokens, int64_t segment) {
  require(segment >= 1, [] { return Complaint{.where = "session", .expected = "segments of at least one token"}; });
  if (tokens.empty()) return;
  std::vector<int32_t> all;
  if (pending_ >= 0) all.push_back(pending_);
  all.insert(all.end(), tokens.begin(), tokens.end() - 1);
  pending_ = tokens.back();
  for (size_t begin = 0; begin < all.size(); begin += static_cast<size_t>(segment))
    static_cast<void>(advance(std::span(all).subspan(begin, std::min(static_cast<size_t>(segment), all.size() - begin))));
}

Generated Session::generate(const GenerateOptions& options) {
  require(pending_ >= 0, [] { return Complaint{.where = "generate", .expected = "a prompt or a state to continue", .got = "neither"}; });
  const auto start = std::chrono::steady_clock::now();
  Sampler sampler(options.sampling, options.seed);
  sampler.observe(pending_);
  text::StreamDecoder decoder(*tokenizer_);
  StopFilter filter(options.stop);
  const auto end_token = tokenizer_->special_ids().eos;
  Generated result;
  const auto show = [&](const std::string& text) {
    result.text += text;
    return text.empty() || !options.on_text || options.on_text(text);
  };
  bool wanted = true;
  while (wanted && !filter.stopped() && static_cast<int64_t>(result.tokens.size()) < options.max_tokens) {
    const at::Tensor logits = advance({&pending_, 1});
    const int32_t token = sampler.draw({logits.mutable_data_ptr<float>(), static_cast<size_t>(logits.numel())});
    if (end_token && token == *end_token) {
      pending_ = token;
      result.reason = StopReason::end_token;
      break;
    }
    sampler.observe(token);
    result.tokens.push_back(token);
    pending_ = token;
    wanted = show(filter.push(decoder.push(token)));
  }
  if (!filter.stopped() && wanted) wanted = show(filter.push(decoder.flush())) && show(filter.flush());
  if (filter.stopped()) result.reason = StopReason::stop_text;
  if (!wanted) result.reason = StopReason::callback;
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

Session Session::fork() const {
  Session copy(model_, tokenizer_);
  copy.state_ = state_.clone();
  copy.pending_ = pending_;
  return copy;
}

void Session::save(const std::filesystem::path& path) const {
  models::save_state(path, state_, model_->model().state_layout(), model_->config(), tokenizer_->fingerprint(), pending_);
}

void Session::load(const std::filesystem::path& path) {
  auto loaded = models::load_state(path, model_->model().state_layout(), model_->config(), tokenizer_->fingerprint());
  if (loaded.state.batch_size() != 1)
    throw StateError({.where = path.string(), .expected = "the state of one session", .got = std::to_string(loaded.state.batch_size()) + " rows"});
  state_ = loaded.state.to(model_->model().embedding_weight().device());
  pending_ = static_cast<int32_t>(loaded.next_token);
}

}  // namespace everlong::generate
