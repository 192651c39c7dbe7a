// What every scan over time shares, once for each instruction set: vectors, the order of tokens, tiles and how they leave.
// Included by way of hwy/foreach_target.h: no #pragma once.
#if defined(EVERLONG_KERNELS_CPU_SCAN_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EVERLONG_KERNELS_CPU_SCAN_SIMD_INL_H_
#undef EVERLONG_KERNELS_CPU_SCAN_SIMD_INL_H_
#else
#define EVERLONG_KERNELS_CPU_SCAN_SIMD_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/ema.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Tag = hn::CappedTag<float, 16>;
using Vec = hn::Vec<Tag>;
inline constexpr Tag kTag{};
inline constexpr int64_t kLanes = HWY_MIN(HWY_LANES(float), 16);
inline constexpr int64_t kTile = 64;  // time steps whose rows stay in the cache while all channels pass over them
inline constexpr int64_t kLine = 64;  // bytes of a cache line
HWY_INLINE Vec load(const float* p) { return hn::LoadU(kTag, p); }
HWY_INLINE void store(Vec v, float* p) { hn::StoreU(v, kTag, p); }

HWY_INLINE Vec load(const uint16_t* p) {
  const hn::RebindToUnsigned<Tag> bits;
  return hn::BitCast(kTag, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(hn::Rebind<uint16_t, Tag>(), p))));
}

using HalfTag = hn::Rebind<uint16_t, Tag>;

/// Rounds to the nearest bfloat16, ties to even; NaN stays NaN.
HWY_INLINE hn::Vec<HalfTag> to_bfloat16(Vec v) {
  const hn::RebindToUnsigned<Tag> bits;
  const auto u = hn::BitCast(bits, v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(bits, 1));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(u, odd), hn::Set(bits, 0x7fff)));
  const auto is_nan = hn::RebindMask(bits, hn::IsNaN(v));
  return hn::TruncateTo(HalfTag(), hn::IfThenElse(is_nan, hn::Set(bits, 0x7fc0), rounded));
}
HWY_INLINE void store(Vec v, uint16_t* p) { hn::StoreU(to_bfloat16(v), HalfTag(), p); }

/// Past the caches, to an aligned place. Halves of a cache line must follow each other at once.
HWY_INLINE void stream(Vec v, float* p) { hn::Stream(v, kTag, p); }
HWY_INLINE void stream(Vec v, uint16_t* p) { hn::Stream(to_bfloat16(v), HalfTag(), p); }

/// Asks for the cache lines of the next tile, a row after the other, so that memory sees one stream.
struct Prefetcher {
  const char* row = nullptr;
  ptrdiff_t row_bytes = 0;
  int64_t lines = 0, line = 0, rows = 0;

  HWY_INLINE void next() {
    if (rows <= 0) return;
    __builtin_prefetch(row + line * kLine, 0, 2);
    if (++line == lines) {
      line = 0;
      row += row_bytes;
      --rows;
    }
  }
};

/// How many lines a Prefetcher takes in `steps` steps of one vector of T, so that it is through when the tile is.
template <class T>
constexpr int lines_in(int steps) {
  const int lines = static_cast<int>(steps * kLanes * static_cast<int64_t>(sizeof(T)) / kLine);
  return lines < 1 ? 1 : lines;
}

/// The tokens of one batch row in scan order, for the channels from `first_channel` on.
template <class T>
struct Lane {
  T* data = nullptr;
  ptrdiff_t stride = 0;
  HWY_INLINE T* at(int64_t step) const { return data + step * stride; }
};

/// Where the scan forgets: before step s when flags[s * stride] holds. Step 0 counts only if `at_start`.
struct Restarts {
  const bool* flags = nullptr;
  ptrdiff_t stride = 0;
  bool at_start = true;

  bool before(int64_t step) const { return flags != nullptr && (step > 0 || at_start) && flags[step * stride]; }
  /// The first step in (step, end) before which the scan forgets, or end.
  int64_t next(int64_t step, int64_t end) const {
    if (flags == nullptr) return end;
    for (++step; step < end; ++step) {
      if (flags[step * stride]) return step;
    }
    return end;
  }
};

/// Copies the parameters or states of one group of channels from [D, N] to [N, lanes]; lanes beyond D are zero.
inline void pack(const float* source, int64_t group, int64_t model_dim, int64_t ema_ndim, float* packed) {
  const int64_t channel = group * kLanes, present = std::min(kLanes, model_dim - channel);
  source += channel * ema_ndim;
  if (present == kLanes) {
    const hn::RebindToSigned<Tag> integer;
    const auto index = hn::Mul(hn::Iota(integer, 0), hn::Set(integer, static_cast<int32_t>(ema_ndim)));
    for (int64_t n = 0; n < ema_ndim; ++n) store(hn::GatherIndex(kTag, source + n, index), packed + n * kLanes);
    return;
  }
  for (int64_t n = 0; n < ema_ndim; ++n) {
    for (int64_t i = 0; i < kLanes; ++i) packed[n * kLanes + i] = i < present ? source[i * ema_ndim + n] : 0.0f;
  }
}

/// The way back of pack().
inline void unpack(const float* packed, int64_t group, int64_t model_dim, int64_t ema_ndim, float* target) {
  const int64_t channel = group * kLanes, present = std::min(kLanes, model_dim - channel);
  target += channel * ema_ndim;
  for (int64_t i = 0; i < present; ++i) {
    for (int64_t n = 0; n < ema_ndim; ++n) target[i * ema_ndim + n] = packed[n * kLanes + i];
  }
}

inline int64_t groups_of(int64_t model_dim) { return (model_dim + kLanes - 1) / kLanes; }

/// How the outputs of a group of channels reach memory. A cache line that is written past the caches must be written whole: where one
/// vector is half of it, the first half waits for the second.
enum class Output { kStore, kStream, kHold, kStreamBoth };

/// Rows of one group of channels over a tile: where inputs come from and outputs go to.
template <class In, class Out>
struct TileRows {
  Lane<const In> x;
  Lane<Out> y;
  float* sums = nullptr;     ///< [steps, lanes]: partial sums over n between blocks of states
  bool add_to_sums = false;  ///< starts from `sums` instead of zero
  bool last = false;         ///< writes y instead of `sums`
  Output output = Output::kStore;
  float* held = nullptr;  ///< [steps, lanes]: first halves of lines
};

template <class In, class Out>
HWY_INLINE void write_output(const TileRows<In, Out>& rows, int64_t t, Vec y) {
  if (!rows.last) {
    store(y, rows.sums + t * kLanes);
  } else if (rows.output == Output::kStore) {
    store(y, rows.y.at(t));
  } else if (rows.output == Output::kHold) {
    store(y, rows.held + t * kLanes);
  } else {
    if (rows.output == Output::kStreamBoth) stream(load(rows.held + t * kLanes), rows.y.at(t) - kLanes);
    stream(y, rows.y.at(t));
  }
}

template <class T>
Prefetcher next_tile(const Lane<const T>& rows, int64_t step, int64_t steps, int64_t channel, int64_t channels) {
  if (step >= steps) return {};
  constexpr ptrdiff_t kItem = sizeof(T);
  return {.row = reinterpret_cast<const char*>(rows.at(step) + channel),
          .row_bytes = rows.stride * kItem,
          .lines = (channels * kItem + kLine - 1) / kLine,
          .rows = std::min(kTile, steps - step)};
}

/// How the outputs of `group` are written, when those of the group before were written as `before`. `y` is at the group's first channel.
template <class Row, class T>
Output output_of(const Row& row, const T* y, int64_t group, int64_t last_group, Output before) {
  constexpr int64_t kVectorBytes = kLanes * static_cast<int64_t>(sizeof(T));
  if (before == Output::kHold) return Output::kStreamBoth;
  if (!row.stream_output || reinterpret_cast<uintptr_t>(y) % kLine != 0) return Output::kStore;
  if (kVectorBytes == kLine) return Output::kStream;
  const bool has_other_half = group + 1 < last_group && (group + 2) * kLanes <= row.model_dim;
  return 2 * kVectorBytes == kLine && has_other_half ? Output::kHold : Output::kStore;
}

/// The last group where D is no multiple of the lanes: through padded copies. `y` is at its first channel.
template <class Row, class T>
void scan_edge(const Row& row, Lane<T> y, int64_t group, int64_t tile, int64_t end, bool whole, float* sums, Prefetcher& ahead) {
  HWY_ALIGN float edge_x[kTile * kLanes];
  HWY_ALIGN float edge_y[kTile * kLanes];
  const T* x = row.x.at(tile) + group * kLanes;
  const int64_t present = row.model_dim - group * kLanes;
  for (int64_t t = 0; t < end - tile; ++t) {
    for (int64_t i = 0; i < kLanes; ++i) edge_x[t * kLanes + i] = i < present ? to_float(x[t * row.x.stride + i]) : 0.0f;
  }
  scan_tile(row, TileRows<float, float>{{edge_x, kLanes}, {edge_y, kLanes}, sums}, group, tile, end, whole, ahead);
  for (int64_t t = 0; t < end - tile; ++t) {
    for (int64_t i = 0; i < present; ++i) from_float(edge_y[t * kLanes + i], y.at(t) + i);
  }
}

/// Takes one batch row through its tiles, group by group. A Row is what the scan's own `scan_tile` takes; it has x, y, restarts, steps,
/// model_dim and stream_output.
template <template <class> class Row, class T>
void scan_row(const Row<T>& row, int64_t first_group, int64_t last_group) {
  HWY_ALIGN float sums[kTile * kLanes];
  HWY_ALIGN float held[kTile * kLanes];
  const int64_t channel = first_group * kLanes, channels = std::min(last_group * kLanes, row.model_dim) - channel;
  for (int64_t tile = 0; tile < row.steps; tile += kTile) {
    const int64_t end = std::min(tile + kTile, row.steps);
    const bool whole = row.restarts.next(tile, end) == end;
    Prefetcher ahead = next_tile(row.x, tile + kTile, row.steps, channel, channels);
    Output output = Output::kStore;
    for (int64_t group = first_group; group < last_group; ++group) {
      const Lane<T> y = {row.y.at(tile) + group * kLanes, row.y.stride};
      if (row.model_dim - group * kLanes < kLanes) {
        scan_edge(row, y, group, tile, end, whole, sums, ahead);
        continue;
      }
      TileRows<T, T> rows = {{row.x.at(tile) + group * kLanes, row.x.stride}, y, sums};
      rows.output = output = output_of(row, y.data, group, last_group, output);
      rows.held = held;
      scan_tile(row, rows, group, tile, end, whole, ahead);
    }
  }
  if (row.stream_output) hwy::FlushStream();
}

/// Whether outputs are worth writing past the caches (they would leave them anyway), and are laid out in whole lines.
template <class T>
bool should_stream(const EmaShape& shape, const MutableRows& rows) {
  constexpr int64_t kLargeBytes = 16 << 20;
  constexpr int64_t kItem = sizeof(T);
  return shape.batch_size * shape.seq_len * shape.model_dim * kItem >= kLargeBytes && reinterpret_cast<uintptr_t>(rows.data) % kLine == 0 &&
         rows.time_stride * kItem % kLine == 0 && rows.batch_stride * kItem % kLine == 0;
}

/// The tokens of batch row b in scan order, and how many there are.
template <class T, class Pointer>
Lane<T> scan_order(const EmaShape& shape, const Rows<Pointer>& rows, int64_t b, int64_t steps) {
  T* data = static_cast<T*>(rows.data) + b * rows.batch_stride;
  if (!shape.reverse) return {data, rows.time_stride};
  return {data + (steps - 1) * rows.time_stride, -rows.time_stride};
}

inline int64_t steps_of(const EmaShape& shape, int64_t b) {
  return shape.lengths == nullptr ? shape.seq_len : std::clamp<int64_t>(shape.lengths[b], 0, shape.seq_len);
}

inline Restarts restarts_of(const EmaShape& shape, int64_t b, int64_t steps) {
  if (shape.restart == nullptr) return {};
  const bool* flags = shape.restart + b * shape.seq_len;
  if (!shape.reverse) return {flags, 1, true};
  return {flags + (steps - 1), -1, true};
}

/// Zeroes the channels of `groups` from token `steps` on.
template <class T>
void clear_padding(const EmaShape& shape, const MutableRows& rows, int64_t b, int64_t steps, int64_t first_group, int64_t last_group) {
  const int64_t channel = first_group * kLanes, channels = std::min(last_group * kLanes, shape.model_dim) - channel;
  for (int64_t t = steps; t < shape.seq_len; ++t) {
    T* row = static_cast<T*>(rows.data) + b * rows.batch_stride + t * rows.time_stride + channel;
    std::memset(row, 0, static_cast<size_t>(channels) * sizeof(T));
  }
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
