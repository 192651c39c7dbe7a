#pragma once
// Which examples make up which batch: near in length, in an order that is a function of the seed and resumes anywhere. No torch.

#include <cstdint>
#include <string_view>
#include <vector>

#include "everlong/io/json.h"

namespace everlong::data {

struct ExampleOrderOptions {
  int64_t batch_size = 32;
  uint64_t seed = 0;
  bool shuffle = true;          ///< false: in the order of the file, each epoch alike; for evaluation
  int64_t bucket_batches = 50;  ///< examples are shuffled, then sorted by length within runs of so many batches; 1: not sorted
  bool drop_last = false;       ///< leave out a last batch that is not full
};

/// The batch that comes next, and what it is a batch of.
struct ExamplePosition {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t batch = 0;         ///< within the epoch
  int64_t batch_size = 0;    ///< of the order; one of other sizes refuses the position
  int64_t num_examples = 0;  ///< of the whole set

  friend bool operator==(const ExamplePosition&, const ExamplePosition&) = default;
};

[[nodiscard]] io::Json to_json(const ExamplePosition& position);

/// Errors   FormatError naming `file_name` and the key if one is missing or is no integer in its range
[[nodiscard]] ExamplePosition example_position_from_json(const io::Json& value, std::string_view file_name);

/// An endless sequence of batches of example numbers, epoch after epoch. Each epoch has every example once, but for what drop_last leaves out.
/// Cost     16 bytes an example; O(n log n) at the start of an epoch
class ExampleOrder {
 public:
  /// `lens`: the length of each example.
  /// Errors   InvalidArgument if a size is below 1, or there is not one batch
  ExampleOrder(std::vector<int64_t> lens, const ExampleOrderOptions& options);

  /// The numbers of the examples of the next batch; batch_size of them, or fewer in the last batch of the epoch's examples.
  [[nodiscard]] std::vector<int64_t> next();

  [[nodiscard]] const ExamplePosition& position() const { return position_; }

  /// Continues at a position: the batches that follow equal those of an uninterrupted run.
  /// Errors   StateError naming what differs if the position was taken from other examples or sizes, or is beyond an epoch
  void seek(const ExamplePosition& position);

  [[nodiscard]] int64_t batches_per_epoch() const { return batches_per_epoch_; }
  [[nodiscard]] int64_t num_examples() const { return position_.num_examples; }

 private:
  void begin_epoch();

  std::vector<int64_t> lens_;
  ExampleOrderOptions options_;
  ExamplePosition position_;
  int64_t batches_per_epoch_ = 0;
  std::vector<int64_t> order_;  ///< of this epoch: batch i is the run of batch_size from batch_begin_[i]
  std::vector<int64_t> batch_begin_;
};

}  // namespace everlong::data
