#include "everlong/data/token_stream.h"

#include <algorithm>
#include <utility>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"

namespace everlong::data {

TokenStream::TokenStream(std::shared_ptr<const Corpus> corpus, const StreamOptions& options) : corpus_(std::move(corpus)), options_(options) {
  require(corpus_ != nullptr, [] { return Complaint{.where = "data", .expected = "a corpus", .got = "none"}; });
  lay_in_order();
}

void TokenStream::lay_in_order() {
  order_.clear();
  for (int64_t document = 0; document < corpus_->num_documents(); ++document) {
    if (corpus_->document_len(document) > 0) order_.push_back(document);
  }
  lay_end_to_end();
}

void TokenStream::lay_shuffled(uint64_t key) {
  std::sort(order_.begin(), order_.end());
  CounterRng rng(key, 0);
  for (size_t left = order_.size(); left > 1; --left) std::swap(order_[left - 1], order_[rng.next_below(left)]);
  lay_end_to_end();
}

void TokenStream::lay_end_to_end() {
  begins_.assign(1, 0);
  begins_.reserve(order_.size() + 1);
  for (const int64_t document : order_) begins_.push_back(begins_.back() + corpus_->document_len(document) + (options_.eos_id ? 1 : 0));
}

void TokenStream::copy_from_document(int64_t document, int64_t begin, std::span<int64_t> tokens) const {
  if (begin + static_cast<int64_t>(tokens.size()) > corpus_->document_len(document)) {
    tokens.back() = *options_.eos_id;
    tokens = tokens.first(tokens.size() - 1);
  }
  corpus_->copy_tokens(corpus_->document_begin(document) + begin, tokens);
}

void TokenStream::drop_unlearned(int64_t document, int64_t begin, std::span<int64_t> targets) const {
  if (!corpus_->has_unlearned()) return;
  const int64_t inside =
      std::min(static_cast<int64_t>(targets.size()), corpus_->document_len(document) - begin);  // beyond: the end token, or nothing
  if (inside <= 0) return;
  std::vector<uint8_t> learned(static_cast<size_t>(inside));
  corpus_->copy_learned(corpus_->document_begin(document) + begin, learned);
  for (size_t i = 0; i < learned.size(); ++i)
    if (learned[i] == 0) targets[i] = kNoTarget;
}

TokenStream::RowSummary TokenStream::read_row(int64_t begin, const Row& row) const {
  const auto seq_len = row.tokens.size();
  begin %= num_tokens();
  auto place = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), begin) - begins_.begin()) - 1;
  RowSummary summary{.begins_document = begin == begins_[place]};
  int64_t document_id = 0;
  for (size_t done = 0; done < seq_len; begin = begins_[place], ++document_id) {
    const int64_t inside = begin - begins_[place];
    const int64_t rest = begins_[place + 1] - begin;
    const size_t take = std::min(seq_len - done, static_cast<size_t>(rest));
    copy_from_document(order_[place], inside, row.tokens.subspan(done, take));
    std::fill_n(row.document_ids.begin() + static_cast<int64_t>(done), take, document_id);
    std::copy_n(row.tokens.begin() + static_cast<int64_t>(done) + 1, take - 1, row.targets.begin() + static_cast<int64_t>(done));
    done += take;
    int64_t& last_target = row.targets[done - 1];
    const bool goes_on = std::cmp_less(take, rest);
    if (goes_on) copy_from_document(order_[place], inside + static_cast<int64_t>(take), {&last_target, 1});
    drop_unlearned(order_[place], inside + 1, row.targets.subspan(done - take, take));
    if (goes_on) break;
    place = (place + 1) % order_.size();
    last_target = kNoTarget;
    if (options_.predict_across_documents) copy_from_document(order_[place], 0, {&last_target, 1});
  }
  summary.document_inside = row.document_ids.front() != row.document_ids.back();
  summary.num_targets = static_cast<int64_t>(seq_len) - std::count(row.targets.begin(), row.targets.end(), kNoTarget);
  return summary;
}

}  // namespace everlong::data
