#include "everlong/nn/token_spans.h"

#include <algorithm>

#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

struct Interval {
  int64_t begin, end;
};

/// What the pieces of a row connect, by first token.
std::vector<Interval> connected(const ChunkWindow& window, int64_t row) {
  std::vector<Interval> intervals;
  for (const ops::AttentionPiece& piece : window.pieces) {
    if (piece.row >= 0 && piece.row != row) continue;
    intervals.push_back(
        {std::min(piece.query_begin, piece.key_begin), std::max(piece.query_begin + piece.query_len, piece.key_begin + piece.key_len)});
  }
  std::sort(intervals.begin(), intervals.end(), [](const Interval& a, const Interval& b) { return a.begin < b.begin; });
  return intervals;
}

void cut_row(const ChunkWindow& window, int64_t row, int64_t seq_len, int64_t tokens, std::vector<TokenSpan>& spans) {
  int64_t begin = 0, reach = 0;
  const auto cut = [&](int64_t end) {
    spans.push_back({.row = row, .rows = 1, .begin = begin, .len = end - begin});
    begin = end;
  };
  for (const Interval& interval : connected(window, row)) {
    if (interval.begin >= reach && interval.end - begin > tokens && interval.begin > begin) cut(interval.begin);
    reach = std::max(reach, interval.end);
  }
  cut(seq_len);
}

}  // namespace

std::vector<TokenSpan> plan_spans(const ChunkWindow& window, int64_t batch_size, int64_t seq_len, int64_t tokens) {
  std::vector<TokenSpan> spans;
  if (window.past > 0) return spans;
  if (seq_len <= tokens) {
    const int64_t rows = tokens / seq_len;
    for (int64_t row = 0; row < batch_size; row += rows) spans.push_back({.row = row, .rows = std::min(rows, batch_size - row), .len = seq_len});
  } else {
    for (int64_t row = 0; row < batch_size; ++row) cut_row(window, row, seq_len, tokens, spans);
  }
  if (spans.size() == 1) spans.clear();
  return spans;
}

ChunkWindow window_of(const ChunkWindow& window, const TokenSpan& span) {
  ChunkWindow part;
  part.chunk_size = window.chunk_size;
  part.uniform = window.uniform;
  part.longest = window.longest;
  if (window.valid) part.valid = span.of(*window.valid).contiguous();
  for (ops::AttentionPiece piece : window.pieces) {
    const bool row_in = piece.row < 0 || (piece.row >= span.row && piece.row < span.row + span.rows);
    if (!row_in || piece.query_begin < span.begin || piece.query_begin >= span.begin + span.len) continue;
    if (piece.row >= 0) piece.row -= span.row;
    piece.query_begin -= span.begin;
    piece.key_begin -= span.begin;
    part.pieces.push_back(piece);
  }
  return part;
}

}  // namespace everlong::nn
