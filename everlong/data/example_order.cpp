#include "everlong/data/example_order.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/data/permutation.h"
#include "everlong/data/position.h"
#include "everlong/io/json_number.h"

namespace everlong::data {

ExampleOrder::ExampleOrder(std::vector<int64_t> lens, const ExampleOrderOptions& options)
    : lens_(std::move(lens)),
      options_(options),
      position_{.seed = options.seed, .batch_size = options.batch_size, .num_examples = static_cast<int64_t>(lens_.size())} {
  require(options.batch_size >= 1 && options.bucket_batches >= 1, [&] {
    return Complaint{.where = "data",
                     .expected = "batch_size and bucket_batches >= 1",
                     .got = fmt::format("{} and {}", options.batch_size, options.bucket_batches)};
  });
  const int64_t full = num_examples() / options.batch_size;
  batches_per_epoch_ = full + (!options.drop_last && num_examples() % options.batch_size != 0);
  require(batches_per_epoch_ > 0, [&] {
    return Complaint{.where = "data",
                     .expected = options.drop_last ? fmt::format("at least one batch of {} examples", options.batch_size) : "at least one example",
                     .got = fmt::format("{}", num_examples())};
  });
  begin_epoch();
}

void ExampleOrder::begin_epoch() {
  const int64_t count = num_examples(), batch_size = options_.batch_size;
  order_.resize(static_cast<size_t>(count));
  batch_begin_.resize(static_cast<size_t>(batches_per_epoch_));
  std::iota(order_.begin(), order_.end(), int64_t{0});
  for (int64_t i = 0; i < batches_per_epoch_; ++i) batch_begin_[static_cast<size_t>(i)] = i * batch_size;
  if (!options_.shuffle) return;
  // The upper half of the stream number keeps these numbers apart from other uses of the seed.
  constexpr uint64_t kExampleOrder = 0xE7A3B1E5;
  CounterRng rng(position_.seed, kExampleOrder << 32 | static_cast<uint64_t>(position_.epoch));
  const Permutation example_at(count, rng.next_u64());
  for (int64_t i = 0; i < count; ++i) order_[static_cast<size_t>(i)] = example_at(i);
  if (options_.bucket_batches > 1) {
    // What drop_last leaves out is left out before sorting: else it would always be the longest examples.
    const int64_t sorted = options_.drop_last ? batches_per_epoch_ * batch_size : count;
    const int64_t run = options_.bucket_batches > count / batch_size ? count : options_.bucket_batches * batch_size;
    for (int64_t begin = 0; begin < sorted; begin += run) {
      std::stable_sort(order_.begin() + begin, order_.begin() + std::min(begin + run, sorted),
                       [&](int64_t a, int64_t b) { return lens_[static_cast<size_t>(a)] < lens_[static_cast<size_t>(b)]; });
    }
  }
  const Permutation batch_at(batches_per_epoch_, rng.next_u64());
  for (int64_t i = 0; i < batches_per_epoch_; ++i) batch_begin_[static_cast<size_t>(i)] = batch_at(i) * batch_size;
}

std::vector<int64_t> ExampleOrder::next() {
  const int64_t begin = batch_begin_[static_cast<size_t>(position_.batch)];
  const int64_t end = std::min(begin + options_.batch_size, num_examples());
  std::vector<int64_t> batch(order_.begin() + begin, order_.begin() + end);
  if (++position_.batch == batches_per_epoch_) {
    position_.batch = 0;
    ++position_.epoch;
    begin_epoch();
  }
  return batch;
}

void ExampleOrder::seek(const ExamplePosition& position) {
  require_same("seed", position_.seed, position.seed, "examples");
  require_same("batch_size", position_.batch_size, position.batch_size, "examples");
  require_same("num_examples", position_.num_examples, position.num_examples, "examples");
  require_inside_epoch(position.epoch, position.batch, batches_per_epoch_);
  const bool same_epoch = position.epoch == position_.epoch;
  position_ = position;
  if (!same_epoch) begin_epoch();
}

io::Json to_json(const ExamplePosition& position) {
  return {{"seed", position.seed},
          {"epoch", position.epoch},
          {"batch", position.batch},
          {"batch_size", position.batch_size},
          {"num_examples", position.num_examples}};
}

ExamplePosition example_position_from_json(const io::Json& value, std::string_view file_name) {
  const auto read = [&](const char* key, auto& number) { io::read_whole_number(value, key, file_name, number); };
  ExamplePosition position;
  read("seed", position.seed);
  read("epoch", position.epoch);
  read("batch", position.batch);
  read("batch_size", position.batch_size);
  read("num_examples", position.num_examples);
  return position;
}

}  // namespace everlong::data
