#pragma once
// Which tokens of a call attend which keys, as rectangles: the one thing that chunks, caches, ragged tails and packed documents have in common.

#include <cstdint>
#include <optional>
#include <vector>

namespace everlong::ops {

/// One rectangle of attention: the queries [query_begin, + query_len) of a row attend the keys [key_begin, + key_len) of the same row.
/// Places are counted within the chunk: its first key has place 0. By default the last query stands at the place of the last key, so that
/// cached keys of an unfinished chunk only make key_len larger than query_len.
struct AttentionPiece {
  int64_t row = -1;  ///< batch row; -1 = the same rectangle in every row
  int64_t query_begin = 0;
  int64_t query_len = 0;
  int64_t key_begin = 0;
  int64_t key_len = 0;
  std::optional<int64_t> query_place = {};  ///< place of the first query; none = key_len - query_len

  [[nodiscard]] int64_t first_place() const { return query_place.value_or(key_len - query_len); }
  friend bool operator==(const AttentionPiece&, const AttentionPiece&) = default;
};

struct ChunkPlanOptions {
  std::optional<int64_t> chunk_size = {};                  ///< none = a document is one chunk
  std::vector<int64_t> past_len = {};                      ///< [B] tokens of the current chunk that the cache holds; empty = none anywhere
  std::vector<std::vector<int64_t>> document_starts = {};  ///< [B] ascending token indices of this call at which a document starts; empty = none
};

struct ChunkPlan {
  std::vector<AttentionPiece> pieces;  ///< cover every query once; full chunks of all rows stand together, with row = -1
  int64_t cache_len = 0;               ///< keys expected before those of this call: the largest past_len
  int64_t max_key_len = 0;             ///< the A of the bias vector [2A - 1]
  std::vector<int64_t> next_past_len;  ///< [B] tokens of the last, unfinished chunk: what the cache must keep
};

/// Cuts the tokens of a call into chunks for `chunk_attention`.
/// Chunks are counted from the start of the document, not of the call: a row with past_len p first finishes that chunk with chunk_size - p
/// tokens, and a document start begins a new chunk. Tokens of different documents never meet; a start at token 0 drops the cached keys.
/// Shapes   the keys of the call are [cache of cache_len | T new]; a row with a shorter past has its cached keys at the end of the cache part
/// Cost     O(number of pieces)
/// Errors   InvalidArgument if a size is negative, past_len >= chunk_size, a list has not B entries, or starts do not ascend within [0, T)
[[nodiscard]] ChunkPlan plan_chunks(int64_t batch_size, int64_t seq_len, const ChunkPlanOptions& options = {});

}  // namespace everlong::ops
