#pragma once
// Batches of tokens to train on, from a corpus, in an order that is a function of the seed and resumes to the token.

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <ATen/core/Tensor.h>

#include "everlong/data/corpus.h"
#include "everlong/data/token_stream.h"
#include "everlong/io/json.h"

namespace everlong::data {

/// What one training step reads. On the CPU.
struct Batch {
  at::Tensor tokens;                       ///< [B, T] int64
  at::Tensor targets;                      ///< [B, T] int64: the token that follows; kNoTarget where none is to be predicted
  at::Tensor restart;                      ///< [B] bool: the row starts anew with this batch's first token; its carried state must be reset
  std::optional<at::Tensor> document_ids;  ///< [B, T] int64: a change begins a document; none if no document begins inside a row
  int64_t num_targets = 0;                 ///< targets that are not kNoTarget
};

struct BatchOptions {
  int64_t batch_size = 1;  ///< B >= 1
  int64_t seq_len = 1;     ///< T >= 1
  uint64_t seed = 0;
  StreamOptions stream = {};
};

/// The batch that comes next, and what it is a batch of.
struct BatchPosition {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t batch = 0;       ///< within the epoch
  int64_t batch_size = 0;  ///< of the source; a source of other sizes refuses the position
  int64_t seq_len = 0;
  int64_t num_tokens = 0;  ///< of the whole stream, end-of-document tokens included

  friend bool operator==(const BatchPosition&, const BatchPosition&) = default;
};

[[nodiscard]] io::Json to_json(const BatchPosition& position);

/// Errors   FormatError naming `file_name` and the key if one is missing or is no integer in its range
[[nodiscard]] BatchPosition batch_position_from_json(const io::Json& value, std::string_view file_name);

/// An endless sequence of batches, epoch after epoch.
class BatchSource {
 public:
  virtual ~BatchSource() = default;

  /// Errors   FormatError if the corpus is mapped from a file that holds ids outside the vocabulary
  [[nodiscard]] virtual Batch next() = 0;

  /// The position of the batch that next() gives next.
  [[nodiscard]] BatchPosition position() const { return position_; }

  /// Continues at a position: the batches that follow equal those of an uninterrupted run.
  /// Errors   StateError naming what differs if the position was taken from a source with another seed, size or corpus, or is beyond an epoch
  void seek(const BatchPosition& position);

  [[nodiscard]] int64_t tokens_per_batch() const { return position_.batch_size * position_.seq_len; }
  [[nodiscard]] int64_t batches_per_epoch() const { return batches_per_epoch_; }

  /// Epochs done so far, with a fraction.
  [[nodiscard]] double epoch() const;

 protected:
  /// Errors   InvalidArgument if a size is below 1 or the corpus has less than one batch
  BatchSource(std::shared_ptr<const Corpus> corpus, const BatchOptions& options);

  /// Prepares what is particular to position_.epoch.
  virtual void begin_epoch() = 0;
  void advance();

  TokenStream stream_;
  BatchPosition position_;
  int64_t batches_per_epoch_ = 0;
};

/// Documents in random order, laid end to end and read by B lanes, each in order from batch to batch: the source for training with carried state.
/// Each epoch the documents are permuted, joined to a ring, and the ring is cut at a random place into B lanes of equal length, a multiple of T;
/// what is left over is skipped in that epoch. A row restarts at its lane's first batch and where a document begins with a batch; where one begins
/// inside a row, document_ids says so.
/// Cost     16 bytes a document; O(documents) at the start of an epoch
class DocumentLanes final : public BatchSource {
 public:
  DocumentLanes(std::shared_ptr<const Corpus> corpus, const BatchOptions& options);

  [[nodiscard]] Batch next() override;

 private:
  void begin_epoch() override;

  int64_t lane_len_ = 0;
  int64_t ring_begin_ = 0;  ///< where lane 0 begins
};

/// Windows of T tokens in random order, all of them restarting: the source for training without carried state.
/// Each epoch the corpus, a ring in its own order, is cut into windows at a random place; windows that do not fill a last batch are skipped in that
/// epoch.
/// Cost     16 bytes a document
class PackedWindows final : public BatchSource {
 public:
  PackedWindows(std::shared_ptr<const Corpus> corpus, const BatchOptions& options);

  [[nodiscard]] Batch next() override;

 private:
  void begin_epoch() override;

  int64_t ring_begin_ = 0;  ///< where window 0 begins
  uint64_t permutation_key_ = 0;
};

}  // namespace everlong::data
