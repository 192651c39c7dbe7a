#include "everlong/data/example_order.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/data/permutation.h"

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
  const auto refuse_unless_equal = [](std::string_view name, auto here, auto there) {
    if (here == there) return;
    throw StateError({.where = "data",
                      .expected = fmt::format("a position with {} {}", name, here),
                      .got = fmt::format("{}", there),
                      .hint = "the position belongs to a run on other examples or with another configuration"});
  };
  refuse_unless_equal("seed", position_.seed, position.seed);
  refuse_unless_equal("batch_size", position_.batch_size, position.batch_size);
  refuse_unless_equal("num_examples", position_.num_examples, position.num_examples);
  if (position.epoch < 0 || position.batch < 0 || position.batch >= batches_per_epoch_) {
    throw StateError({.where = "data",
                      .expected = fmt::format("a position with epoch >= 0 and batch in [0, {})", batches_per_epoch_),
                      .got = fmt::format("epoch {}, batch {}", position.epoch, position.batch)});
  }
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
  const auto read = [&](const char* key, auto& number) {
    using Number = std::remove_reference_t<decltype(number)>;
    const auto found = value.find(key);
    if (found == value.end() || !found->is_number_integer() || (!found->is_number_unsigned() && found->template get<int64_t>() < 0) ||
        found->template get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<Number>::max())) {
      throw FormatError({.file = std::string(file_name), .field = key}, "an integer >= 0", found == value.end() ? "nothing" : found->dump());
    }
    number = found->template get<Number>();
  };
  ExamplePosition position;
  read("seed", position.seed);
  read("epoch", position.epoch);
  read("batch", position.batch);
  read("batch_size", position.batch_size);
  read("num_examples", position.num_examples);
  return position;
}

}  // namespace everlong::data
