#include "everlong/data/batches.h"

#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/data/permutation.h"
#include "everlong/data/position.h"
#include "everlong/io/json_number.h"
#include "everlong/tensor/torch.h"

namespace everlong::data {
namespace {

/// Random numbers of one epoch. The upper half of the stream number keeps them apart from other uses of the seed.
CounterRng epoch_rng(const BatchPosition& position) {
  constexpr uint64_t kDataOrder = 0xDA7A0D3E;
  return {position.seed, kDataOrder << 32 | static_cast<uint64_t>(position.epoch)};
}

/// Fills a batch whose row r begins at begin_of(r); restarts(r, document begins there) decides about its state.
Batch read_batch(const TokenStream& stream, const BatchPosition& position, const auto& begin_of, const auto& restarts) {
  const int64_t rows = position.batch_size, seq_len = position.seq_len;
  Batch batch{.tokens = at::empty({rows, seq_len}, at::kLong),
              .targets = at::empty({rows, seq_len}, at::kLong),
              .restart = at::empty({rows}, at::kBool),
              .document_ids = std::nullopt};
  const at::Tensor document_ids = at::empty({rows, seq_len}, at::kLong);
  const auto row_of = [&](const at::Tensor& tensor, int64_t row) {
    return std::span(tensor.mutable_data_ptr<int64_t>() + row * seq_len, static_cast<size_t>(seq_len));
  };
  for (int64_t row = 0; row < rows; ++row) {
    const auto summary = stream.read_row(begin_of(row), {row_of(batch.tokens, row), row_of(batch.targets, row), row_of(document_ids, row)});
    batch.restart.mutable_data_ptr<bool>()[row] = restarts(summary.begins_document);
    if (summary.document_inside) batch.document_ids = document_ids;
    batch.num_targets += summary.num_targets;
  }
  return batch;
}

}  // namespace

BatchSource::BatchSource(std::shared_ptr<const Corpus> corpus, const BatchOptions& options)
    : stream_(std::move(corpus), options.stream),
      position_{.seed = options.seed, .batch_size = options.batch_size, .seq_len = options.seq_len, .num_tokens = stream_.num_tokens()} {
  require(options.batch_size >= 1 && options.seq_len >= 1, [&] {
    return Complaint{
        .where = "data", .expected = "batch_size and seq_len >= 1", .got = fmt::format("{} and {}", options.batch_size, options.seq_len)};
  });
  require(!options.stream.eos_id || *options.stream.eos_id >= 0,
          [&] { return Complaint{.where = "data", .expected = "eos_id >= 0", .got = fmt::format("{}", *options.stream.eos_id)}; });
  const auto needed = checked_mul(options.batch_size, options.seq_len);
  require(needed && *needed <= stream_.num_tokens(), [&] {
    return Complaint{.where = "data",
                     .expected = fmt::format("a corpus of at least one batch, {} x {} tokens", options.batch_size, options.seq_len),
                     .got = fmt::format("{} tokens", stream_.num_tokens()),
                     .hint = "use a smaller batch_size or seq_len, or more text"};
  });
}

double BatchSource::epoch() const {
  return static_cast<double>(position_.epoch) + static_cast<double>(position_.batch) / static_cast<double>(batches_per_epoch_);
}

void BatchSource::advance() {
  if (++position_.batch < batches_per_epoch_) return;
  position_.batch = 0;
  ++position_.epoch;
  begin_epoch();
}

void BatchSource::seek(const BatchPosition& position) {
  require_same("seed", position_.seed, position.seed, "data");
  require_same("batch_size", position_.batch_size, position.batch_size, "data");
  require_same("seq_len", position_.seq_len, position.seq_len, "data");
  require_same("num_tokens", position_.num_tokens, position.num_tokens, "data");
  require_inside_epoch(position.epoch, position.batch, batches_per_epoch_);
  const bool same_epoch = position.epoch == position_.epoch;
  position_ = position;
  if (!same_epoch) begin_epoch();
}

DocumentLanes::DocumentLanes(std::shared_ptr<const Corpus> corpus, const BatchOptions& options) : BatchSource(std::move(corpus), options) {
  batches_per_epoch_ = position_.num_tokens / position_.batch_size / position_.seq_len;
  lane_len_ = batches_per_epoch_ * position_.seq_len;
  begin_epoch();
}

void DocumentLanes::begin_epoch() {
  CounterRng rng = epoch_rng(position_);
  ring_begin_ = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(position_.num_tokens)));
  stream_.lay_shuffled(rng.next_u64());
}

Batch DocumentLanes::next() {
  const int64_t inside_lane = position_.batch * position_.seq_len;
  Batch batch = read_batch(
      stream_, position_, [&](int64_t row) { return ring_begin_ + row * lane_len_ + inside_lane; },
      [&](bool begins_document) { return inside_lane == 0 || begins_document; });
  advance();
  return batch;
}

PackedWindows::PackedWindows(std::shared_ptr<const Corpus> corpus, const BatchOptions& options) : BatchSource(std::move(corpus), options) {
  batches_per_epoch_ = position_.num_tokens / position_.seq_len / position_.batch_size;
  begin_epoch();
}

void PackedWindows::begin_epoch() {
  CounterRng rng = epoch_rng(position_);
  ring_begin_ = static_cast<int64_t>(rng.next_below(static_cast<uint64_t>(position_.num_tokens)));
  permutation_key_ = rng.next_u64();
}

Batch PackedWindows::next() {
  const Permutation window_at(position_.num_tokens / position_.seq_len, permutation_key_);
  const int64_t first = position_.batch * position_.batch_size;
  Batch batch = read_batch(
      stream_, position_, [&](int64_t row) { return ring_begin_ + window_at(first + row) * position_.seq_len; }, [](bool) { return true; });
  advance();
  return batch;
}

io::Json to_json(const BatchPosition& position) {
  return {{"seed", position.seed},       {"epoch", position.epoch},          {"batch", position.batch}, {"batch_size", position.batch_size},
          {"seq_len", position.seq_len}, {"num_tokens", position.num_tokens}};
}

BatchPosition batch_position_from_json(const io::Json& value, std::string_view file_name) {
  const auto read = [&](const char* key, auto& number) { io::read_whole_number(value, key, file_name, number); };
  BatchPosition position;
  read("seed", position.seed);
  read("epoch", position.epoch);
  read("batch", position.batch);
  read("batch_size", position.batch_size);
  read("seq_len", position.seq_len);
  read("num_tokens", position.num_tokens);
  return position;
}

}  // namespace everlong::data
