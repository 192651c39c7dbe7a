#include "everlong/data/evaluation_stream.h"

#include <algorithm>
#include <numbers>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/data/token_stream.h"
#include "everlong/tensor/torch.h"

namespace everlong::data {

EvaluationStream::EvaluationStream(std::shared_ptr<const Corpus> corpus, int64_t seq_len) : corpus_(std::move(corpus)), seq_len_(seq_len) {
  require(corpus_ != nullptr, [] { return Complaint{.where = "data", .expected = "a corpus", .got = "none"}; });
  require(seq_len >= 1, [&] { return Complaint{.where = "data", .expected = "seq_len >= 1", .got = fmt::format("{}", seq_len)}; });
}

std::optional<EvaluationSegment> EvaluationStream::next() {
  while (document_ < corpus_->num_documents() && inside_ == corpus_->document_len(document_)) skip_document();
  if (document_ == corpus_->num_documents()) return std::nullopt;
  const int64_t rest = corpus_->document_len(document_) - inside_;
  const int64_t len = std::min(rest, seq_len_), num_targets = std::min(rest - 1, seq_len_);
  EvaluationSegment segment{.tokens = at::empty({1, len}, at::kLong),
                            .targets = at::full({1, len}, kNoTarget, at::kLong),
                            .document = document_,
                            .begins_document = inside_ == 0,
                            .ends_document = len == rest,
                            .num_targets = num_targets};
  const int64_t begin = corpus_->document_begin(document_) + inside_;
  corpus_->copy_tokens(begin, {segment.tokens.mutable_data_ptr<int64_t>(), static_cast<size_t>(len)});
  corpus_->copy_tokens(begin + 1, {segment.targets.mutable_data_ptr<int64_t>(), static_cast<size_t>(num_targets)});
  if (corpus_->has_unlearned() && num_targets > 0) {
    std::vector<uint8_t> learned(static_cast<size_t>(num_targets));
    corpus_->copy_learned(begin + 1, learned);
    int64_t* targets = segment.targets.mutable_data_ptr<int64_t>();
    for (size_t i = 0; i < learned.size(); ++i)
      if (learned[i] == 0) targets[i] = kNoTarget;
    segment.num_targets = std::count(learned.begin(), learned.end(), uint8_t{1});
  }
  inside_ += len;
  return segment;
}

void EvaluationStream::skip_document() {
  document_ = std::min(document_ + 1, corpus_->num_documents());
  inside_ = 0;
}

double bits_per_byte(double nats, int64_t bytes) {
  require(bytes >= 1, [&] { return Complaint{.where = "bits_per_byte", .expected = "bytes >= 1", .got = fmt::format("{}", bytes)}; });
  return nats / (std::numbers::ln2 * static_cast<double>(bytes));
}

}  // namespace everlong::data
