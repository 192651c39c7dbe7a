#include "everlong/ops/chunk_attention/chunk_plan.h"

#include <algorithm>
#include <string>

#include "everlong/base/error.h"

namespace everlong::ops {
namespace {

constexpr std::string_view kWhere = "plan_chunks";

void check_plan(int64_t batch_size, int64_t seq_len, const ChunkPlanOptions& options) {
  const auto refuse = [](bool ok, const char* expected, int64_t got) {
    require(ok, [&] { return Complaint{kWhere, expected, std::to_string(got)}; });
  };
  refuse(batch_size >= 1, "batch_size >= 1", batch_size);
  refuse(seq_len >= 1, "seq_len >= 1", seq_len);
  refuse(!options.chunk_size || *options.chunk_size >= 1, "chunk_size >= 1", options.chunk_size.value_or(0));
  const auto num_past = static_cast<int64_t>(options.past_len.size()), num_starts = static_cast<int64_t>(options.document_starts.size());
  refuse(num_past == 0 || num_past == batch_size, "past_len of no or of each batch row", num_past);
  refuse(num_starts == 0 || num_starts == batch_size, "document_starts of no or of each batch row", num_starts);
  for (const int64_t past : options.past_len) {
    constexpr int64_t kLongest = int64_t{1} << 40;
    refuse(past >= 0 && past <= kLongest, "0 <= past_len <= 2^40", past);
    require(!options.chunk_size || past < *options.chunk_size, [&] {
      return Complaint{kWhere, "past_len < chunk_size = " + std::to_string(*options.chunk_size), std::to_string(past),
                       "a finished chunk is dropped from the cache"};
    });
  }
  for (const auto& starts : options.document_starts) {
    int64_t previous = -1;
    for (const int64_t start : starts) {
      refuse(start > previous && start < seq_len, "document_starts ascending within [0, seq_len)", start);
      previous = start;
    }
  }
}

/// The pieces of one row, all with row = -1, in the order of its tokens; returns the length of the chunk left unfinished.
int64_t plan_row(int64_t seq_len, int64_t cache_len, int64_t past, const std::vector<int64_t>& starts, std::optional<int64_t> chunk_size,
                 std::vector<AttentionPiece>& pieces) {
  int64_t begin = 0;
  auto next_start = starts.begin();
  while (begin < seq_len) {
    if (next_start != starts.end() && *next_start == begin) {
      past = 0;
      ++next_start;
    }
    const int64_t document_end = next_start == starts.end() ? seq_len : *next_start;
    int64_t len = document_end - begin;
    if (chunk_size) len = std::min(len, *chunk_size - past);
    pieces.push_back({.row = -1, .query_begin = begin, .query_len = len, .key_begin = cache_len + begin - past, .key_len = past + len});
    begin += len;
    past += len;
    if (begin < document_end) past = 0;
  }
  return chunk_size && past == *chunk_size ? 0 : past;
}

}  // namespace

ChunkPlan plan_chunks(int64_t batch_size, int64_t seq_len, const ChunkPlanOptions& options) {
  check_plan(batch_size, seq_len, options);
  ChunkPlan plan;
  if (!options.past_len.empty()) plan.cache_len = *std::max_element(options.past_len.begin(), options.past_len.end());

  const std::vector<int64_t> no_starts;
  const int64_t num_layouts = options.past_len.empty() && options.document_starts.empty() ? 1 : batch_size;
  std::vector<std::vector<AttentionPiece>> rows(static_cast<size_t>(num_layouts));
  for (size_t b = 0; b < rows.size(); ++b) {
    const int64_t past = options.past_len.empty() ? 0 : options.past_len[b];
    const auto& starts = options.document_starts.empty() ? no_starts : options.document_starts[b];
    plan.next_past_len.push_back(plan_row(seq_len, plan.cache_len, past, starts, options.chunk_size, rows[b]));
  }
  plan.next_past_len.resize(static_cast<size_t>(batch_size), plan.next_past_len.back());

  const bool shared = std::all_of(rows.begin(), rows.end(), [&](const auto& row) { return row == rows.front(); });
  for (size_t b = 0; b < (shared ? 1 : rows.size()); ++b) {
    for (AttentionPiece piece : rows[b]) {
      piece.row = shared ? -1 : static_cast<int64_t>(b);
      plan.pieces.push_back(piece);
      plan.max_key_len = std::max(plan.max_key_len, piece.key_len);
    }
  }
  return plan;
}

}  // namespace everlong::ops
