#pragma once
// Documents of a corpus in some order, laid end to end and closed to a ring.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "everlong/data/corpus.h"

namespace everlong::data {

/// Target of a position after which nothing is to be predicted.
inline constexpr int64_t kNoTarget = -100;

struct StreamOptions {
  std::optional<int64_t> eos_id = {};     ///< a token appended to every document that is not empty
  bool predict_across_documents = false;  ///< the target of a document's last token is the next document's first one, not kNoTarget
};

class TokenStream {
 public:
  /// Errors   InvalidArgument if there is no corpus
  TokenStream(std::shared_ptr<const Corpus> corpus, const StreamOptions& options);

  /// Tokens of one round, end-of-document tokens included. Empty documents have none.
  [[nodiscard]] int64_t num_tokens() const { return begins_.back(); }

  /// Lays the documents in the order of the corpus, or in a random order that is a function of `key` alone.
  void lay_in_order();
  void lay_shuffled(uint64_t key);

  /// Where to write one row of T tokens.
  struct Row {
    std::span<int64_t> tokens, targets, document_ids;  ///< [T] each
  };
  struct RowSummary {
    bool begins_document = false;  ///< the first token is the first of its document
    bool document_inside = false;  ///< a later token is
    int64_t num_targets = 0;
  };

  /// Reads T tokens from `begin` (taken modulo num_tokens()) on. document_ids count documents from 0 within the row. Tokens that the corpus says are
  /// not to be predicted are no targets.
  /// Errors   FormatError as Corpus::copy_tokens
  RowSummary read_row(int64_t begin, const Row& row) const;

 private:
  void lay_end_to_end();
  void copy_from_document(int64_t document, int64_t begin, std::span<int64_t> tokens) const;
  /// Takes away the targets that are not to be predicted; targets[i] is token begin + i of the document.
  void drop_unlearned(int64_t document, int64_t begin, std::span<int64_t> targets) const;

  std::shared_ptr<const Corpus> corpus_;
  StreamOptions options_;
  std::vector<int64_t> order_;         ///< documents that are not empty
  std::vector<int64_t> begins_ = {0};  ///< of each of them in the stream, and the end
};

}  // namespace everlong::data
