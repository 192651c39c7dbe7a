#pragma once
// Documents in order, each in pieces that one model call reads, for evaluation with carried state.

#include <cstdint>
#include <memory>
#include <optional>

#include <ATen/core/Tensor.h>

#include "everlong/data/corpus.h"

namespace everlong::data {

/// Some tokens of one document.
struct EvaluationSegment {
  at::Tensor tokens;             ///< [1, T] int64; the last segment of a document is shorter
  at::Tensor targets;            ///< [1, T] int64: the token that follows; kNoTarget after the document's last one
  int64_t document = 0;          ///< its number in the corpus
  bool begins_document = false;  ///< the state must be reset before
  bool ends_document = false;
  int64_t num_targets = 0;
};

/// Reads every document that is not empty once, in order.
class EvaluationStream {
 public:
  /// Errors   InvalidArgument if there is no corpus or seq_len < 1
  EvaluationStream(std::shared_ptr<const Corpus> corpus, int64_t seq_len);

  /// Absent after the last document. Errors  FormatError as Corpus::copy_tokens
  [[nodiscard]] std::optional<EvaluationSegment> next();

  /// Leaves out the rest of the document that next() is in.
  void skip_document();

  [[nodiscard]] const Corpus& corpus() const { return *corpus_; }

 private:
  std::shared_ptr<const Corpus> corpus_;
  int64_t seq_len_;
  int64_t document_ = 0;
  int64_t inside_ = 0;  ///< tokens of the document already read
};

/// Bits for each byte of text, from the summed loss of its tokens.
/// Math     nats / (ln 2 * bytes)
/// Units    `bytes` counts whole documents (Corpus::document_bytes), also their first tokens, which nothing predicts; the error of one token a
///          document favours the model
/// Errors   InvalidArgument if bytes < 1
[[nodiscard]] double bits_per_byte(double nats, int64_t bytes);

}  // namespace everlong::data
