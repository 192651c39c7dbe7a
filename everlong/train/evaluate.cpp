#include "everlong/train/evaluate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "everlong/base/error.h"
#include "everlong/data/evaluation_stream.h"
#include "everlong/data/token_stream.h"
#include "everlong/io/byte_source.h"
#include "everlong/tensor/torch.h"
#include "everlong/text/piece_encoder.h"

namespace everlong::train {
namespace {

constexpr int64_t kFirstBound = 16;
constexpr size_t kPieceBytes = size_t{1} << 16;

/// Bucket of a token's index: [0, 16), [16, 32), [32, 64), ...
size_t bucket_of(int64_t index) { return index < kFirstBound ? 0 : static_cast<size_t>(std::bit_width(static_cast<uint64_t>(index / kFirstBound))); }

void add_loss(std::vector<PositionLoss>& buckets, int64_t index, double nats) {
  const size_t bucket = bucket_of(index);
  while (buckets.size() <= bucket) {
    const int64_t end = kFirstBound << buckets.size();
    buckets.push_back({.begin = buckets.empty() ? 0 : end / 2, .end = end});
  }
  buckets[bucket].tokens += 1;
  buckets[bucket].nats += nats;
}

}  // namespace

double Evaluation::nats_per_token() const { return nats / static_cast<double>(tokens); }
double Evaluation::perplexity() const { return std::exp(nats_per_token()); }
double Evaluation::bits_per_byte() const { return nats / std::numbers::ln2 / static_cast<double>(bytes); }

Evaluator::Evaluator(models::CausalLm& model, EvaluateOptions options) : model_(model), options_(std::move(options)) {
  require(options_.segment >= 1, [] { return Complaint{.where = "evaluate", .expected = "segments of at least one token"}; });
  if (options_.context == Context::carry && model.model().capabilities().streaming == models::Streaming::none)
    throw Unsupported({.where = "evaluate", .expected = "a model that carries a state", .hint = "use --context reset"});
  model_.eval();
}

void Evaluator::read(std::span<const int32_t> tokens) {
  pending_.insert(pending_.end(), tokens.begin(), tokens.end());
  size_t used = 0;
  // A segment of T inputs needs T + 1 tokens: the last one is the target of the one before and the first input of the next segment.
  while (static_cast<int64_t>(pending_.size() - used) > options_.segment) {
    run_segment(std::span(pending_).subspan(used, static_cast<size_t>(options_.segment) + 1));
    used += static_cast<size_t>(options_.segment);
  }
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(used));
}

void Evaluator::run_segment(std::span<const int32_t> tokens) {
  const at::NoGradGuard no_grad;
  if (result_.tokens == 0) count(0, std::log(static_cast<double>(model_.model().vocab_size())));
  const at::Tensor all = at::from_blob(const_cast<int32_t*>(tokens.data()), {1, static_cast<int64_t>(tokens.size())}, at::kInt)
                             .to(at::kLong)
                             .to(model_.model().embedding_weight().device());
  if (state_.empty() || options_.context == Context::reset) state_ = model_.model().initial_state(1);
  const int64_t len = all.size(1) - 1;
  auto loss = model_.token_loss({.tokens = all.narrow(1, 0, len)}, all.narrow(1, 1, len), std::move(state_));
  state_ = std::move(loss.state);
  const at::Tensor nats = loss.nats.to(at::kCPU, at::kDouble).contiguous();
  for (int64_t t = 0; t < len; ++t) count(result_.tokens, nats.const_data_ptr<double>()[t]);
  if (options_.progress) options_.progress(result_.tokens);
}

void Evaluator::count(int64_t index, double nats) {
  add_loss(result_.by_position, index, nats);
  result_.nats += nats;
  ++result_.tokens;
}

Evaluation Evaluator::finish(std::string file, int64_t bytes) {
  require(!pending_.empty() || result_.tokens > 0, [&] { return Complaint{.where = file, .expected = "a text to evaluate", .got = "an empty one"}; });
  if (pending_.size() > 1) run_segment(pending_);
  if (result_.tokens == 0) count(0, std::log(static_cast<double>(model_.model().vocab_size())));
  result_.file = std::move(file);
  result_.bytes = bytes;
  return std::move(result_);
}

Evaluation evaluate_tokens(models::CausalLm& model, std::span<const int32_t> tokens, int64_t bytes, const EvaluateOptions& options) {
  Evaluator evaluator(model, options);
  evaluator.read(tokens);
  return evaluator.finish("tokens", bytes);
}

Evaluation evaluate_file(models::CausalLm& model, const text::Tokenizer& tokenizer, const std::filesystem::path& file,
                         const EvaluateOptions& options) {
  Evaluator evaluator(model, options);
  const auto source = io::open_bytes(file);
  text::PieceEncoder encoder(tokenizer);
  std::vector<char> buffer(kPieceBytes);
  std::vector<int32_t> ids;
  int64_t bytes_read = 0, bytes_decoded = 0, left = options.max_tokens.value_or(std::numeric_limits<int64_t>::max());
  for (size_t size = 1; size > 0 && left > 0;) {
    size = source->read(buffer);
    bytes_read += static_cast<int64_t>(size);
    ids.clear();
    if (size > 0) {
      encoder.push({buffer.data(), size}, ids);
    } else {
      encoder.finish(ids);
    }
    ids.resize(static_cast<size_t>(std::min<int64_t>(left, static_cast<int64_t>(ids.size()))));
    left -= static_cast<int64_t>(ids.size());
    if (options.max_tokens) bytes_decoded += static_cast<int64_t>(tokenizer.decode(ids).size());
    evaluator.read(ids);
  }
  return evaluator.finish(file.string(), left == 0 ? bytes_decoded : bytes_read);
}

Evaluation evaluate_answers(models::CausalLm& model, const text::Tokenizer& tokenizer, const std::shared_ptr<const data::Corpus>& corpus,
                            std::string file, int64_t segment) {
  const at::NoGradGuard no_grad;
  model.eval();
  data::EvaluationStream stream(corpus, segment);
  const at::Device device = model.model().embedding_weight().device();
  Evaluation result{.file = std::move(file)};
  nn::State state;
  std::vector<int32_t> learned;
  while (const auto piece = stream.next()) {
    if (piece->begins_document) state = model.model().initial_state(1);
    auto loss = model.token_loss({.tokens = piece->tokens.to(device)}, piece->targets.to(device), std::move(state));
    state = std::move(loss.state);
    result.nats += loss.nats.sum(at::kDouble).item<double>();
    result.tokens += piece->num_targets;
    const int64_t* target = piece->targets.const_data_ptr<int64_t>();
    for (int64_t t = 0; t < piece->targets.numel(); ++t)
      if (target[t] != data::kNoTarget) learned.push_back(static_cast<int32_t>(target[t]));
  }
  require(result.tokens > 0, [&] { return Complaint{.where = result.file, .expected = "conversations with answers", .got = "none"}; });
  result.bytes = std::max<int64_t>(1, static_cast<int64_t>(tokenizer.decode(learned).size()));
  return result;
}

}  // namespace everlong::train
