#include "everlong/kernels/cpu/timestep_norm.h"

#include <numeric>
#include <utility>

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/timestep_norm_forward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/timestep_norm_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace tsn {

/// The statistics of a block: carried from token to token, those of one token, and what each token of a tile is normalised with.
struct Statistics {
  HWY_ALIGN double mean[kGroupBlock];
  HWY_ALIGN double variance[kGroupBlock];
  HWY_ALIGN float origin[kGroupBlock];  ///< a feature of the group, from which the sums below are counted
  HWY_ALIGN float sum[kGroupBlock];     ///< over the features of the group
  HWY_ALIGN float squares[kGroupBlock];
  HWY_ALIGN float sums[4 * kGroupBlock];  ///< the same, in four parts
  HWY_ALIGN float sums_of_squares[4 * kGroupBlock];
  HWY_ALIGN float rstd[kCells];    ///< z = (x - high) rstd + offset
  HWY_ALIGN float high[kCells];    ///< the mean as a float
  HWY_ALIGN float offset[kCells];  ///< -rstd times what the float has lost, so that a large mean costs no digits
  double share[kMaxTile];
};

/// Sums over the features of each group in one token. The first feature serves as the origin: it is one of those that are averaged, so the
/// digits that cancel in the variance are at most those of a factor 1 + width. kWidth: the group's width, or 0 where it is not known here.
template <int kWidth, class T>
HWY_NOINLINE void sum_features(const T* x, const Block& block, Statistics& s) {
  const int64_t width = kWidth > 0 ? kWidth : block.width;
  for (int64_t g = 0; g < block.groups; ++g, x += width) {
    const float origin = to_float(x[0]);
    s.origin[g] = origin;
    store_four_sums(width, s.sums + 4 * g, s.sums_of_squares + 4 * g, [&](auto tag, int64_t i, auto& sum, auto& squares) EVERLONG_VECTOR_BODY {
      const auto d = hn::Sub(load(tag, x + i), hn::Set(tag, origin));
      sum = hn::Add(sum, d);
      squares = hn::MulAdd(d, d, squares);
    });
  }
  add_up_fours(s.sums, block.groups, s.sum);
  add_up_fours(s.sums_of_squares, block.groups, s.squares);
}

/// Merges the token whose sums are in `s` into the statistics. Where all before it is forgotten, that is not read.
HWY_NOINLINE void merge_token(const Block& block, double share, double eps, int64_t cell, Statistics& s) {
  const Wide wide;
  const WideFloats floats;
  const auto weight = hn::Set(wide, share), rest = hn::Set(wide, 1 - share), small = hn::Set(wide, eps), zero = hn::Zero(wide);
  const auto each = hn::Set(wide, 1 / static_cast<double>(block.width));
  const auto promote = [&](const float* p) EVERLONG_VECTOR_BODY { return hn::PromoteTo(wide, hn::Load(floats, p)); };
  for (int64_t g = 0; g < block.stride(); g += static_cast<int64_t>(hn::MaxLanes(wide))) {
    const auto shift = hn::Mul(promote(s.sum + g), each), spread = hn::NegMulAdd(shift, shift, hn::Mul(promote(s.squares + g), each));
    auto m = hn::Add(promote(s.origin + g), shift), v = hn::IfThenElse(hn::Lt(spread, zero), zero, spread);  // NaN stays
    if (share < 1) {
      const auto old_mean = hn::Load(wide, s.mean + g), old_variance = hn::Load(wide, s.variance + g), d = hn::Sub(m, old_mean);
      m = hn::MulAdd(weight, d, old_mean);
      v = hn::MulAdd(weight, hn::Sub(hn::MulAdd(hn::Mul(rest, d), d, v), old_variance), old_variance);
    }
    hn::Store(m, wide, s.mean + g);
    hn::Store(v, wide, s.variance + g);
    const auto high = hn::DemoteTo(floats, m), rstd = hn::Div(hn::Set(floats, 1.0f), hn::Sqrt(hn::DemoteTo(floats, hn::Add(v, small))));
    hn::Store(high, floats, s.high + cell + g);
    hn::Store(rstd, floats, s.rstd + cell + g);
    hn::Store(hn::Mul(rstd, hn::DemoteTo(floats, hn::Sub(hn::PromoteTo(wide, high), m))), floats, s.offset + cell + g);
  }
}

/// Keeps the statistics after a token for the backward pass.
void keep_token(const TimestepNormForward& call, const Block& block, int64_t t, const float* rstd, const Statistics& s) {
  if (call.mean == nullptr) return;
  const int64_t at = (block.b * call.shape.seq_len + t) * call.shape.num_groups + block.first;
  std::memcpy(call.mean + at, s.mean, static_cast<size_t>(block.groups) * sizeof(double));
  std::memcpy(call.rstd + at, rstd, static_cast<size_t>(block.groups) * sizeof(float));
}

/// One row of a tile: where it is, and the cells of the block's groups.
template <class T>
struct Row {
  const T* x;
  T* y;
  const float* weight;
  const float* bias;
  const float* high;
  const float* rstd;
  const float* offset;
};

/// Widths of groups in `kWidth` features come again after so many: the smallest number that both group and vector divide.
template <int kWidth>
constexpr int64_t kPeriod = std::lcm<int64_t, int64_t>(kWidth, kLanes);

/// Normalises the kVector-th vector of a period, whose features belong to one group or to two. kStream: past the caches.
template <int kWidth, bool kStream, int kVector, class T>
HWY_INLINE void normalise_vector(const Row<T>& row, int64_t at, int64_t cell) {
  constexpr int64_t kAt = kVector * kLanes, kGroup = kAt / kWidth, kOfFirst = (kGroup + 1) * kWidth - kAt;
  const Tag tag;
  const auto value = [&](const float* cells) EVERLONG_VECTOR_BODY {
    const auto first = hn::Set(tag, cells[cell + kGroup]);
    if constexpr (kOfFirst >= kLanes) {
      return first;
    } else {
      return hn::IfThenElse(hn::FirstN(tag, kOfFirst), first, hn::Set(tag, cells[cell + kGroup + 1]));
    }
  };
  const int64_t i = at + kAt;
  const auto z = hn::MulAdd(hn::Sub(load(tag, row.x + i), value(row.high)), value(row.rstd), value(row.offset));
  const auto y = hn::MulAdd(z, hn::Add(hn::LoadU(tag, row.weight + i), hn::Set(tag, 1.0f)), hn::LoadU(tag, row.bias + i));
  if constexpr (kStream) {
    stream(y, row.y + i);
  } else {
    store(tag, y, row.y + i);
  }
}

template <int kWidth, bool kStream, class T, int... kVectors>
HWY_INLINE void normalise_periods(const Row<T>& row, int64_t count, std::integer_sequence<int, kVectors...> /*vectors*/) {
  int64_t cell = 0;
  for (int64_t at = 0; at < count; at += kPeriod<kWidth>) {
    (normalise_vector<kWidth, kStream, kVectors>(row, at, cell), ...);
    cell += kPeriod<kWidth> / kWidth;
  }
}

/// Normalises whole periods of a row's features. Returns how many features those are.
template <int kWidth, class T>
HWY_INLINE int64_t normalise_row(const Row<T>& row, const Block& block, bool past_caches) {
  const auto vectors = std::make_integer_sequence<int, static_cast<int>(kPeriod<kWidth> / kLanes)>();
  const int64_t count = block.channels() / kPeriod<kWidth> * kPeriod<kWidth>;
  if (past_caches && reinterpret_cast<uintptr_t>(row.y) % kLine == 0) {
    normalise_periods<kWidth, true>(row, count, vectors);
  } else {
    normalise_periods<kWidth, false>(row, count, vectors);
  }
  return count;
}

/// Normalises the features of a row from `begin` on, a group after the other.
template <class T>
HWY_INLINE void normalise_groups(const Row<T>& row, const Block& block, int64_t begin) {
  for (int64_t g = begin / block.width; g < block.groups; ++g) {
    const float high = row.high[g], rstd = row.rstd[g], offset = row.offset[g];
    const int64_t at = g * block.width;
    pieces(block.width, [&](auto tag, int64_t i) EVERLONG_VECTOR_BODY {
      const auto z = hn::MulAdd(hn::Sub(load(tag, row.x + at + i), hn::Set(tag, high)), hn::Set(tag, rstd), hn::Set(tag, offset));
      const auto scale = hn::Add(hn::LoadU(tag, row.weight + at + i), hn::Set(tag, 1.0f));
      store(tag, hn::MulAdd(z, scale, hn::LoadU(tag, row.bias + at + i)), row.y + at + i);
    });
  }
}

/// Writes the outputs of a tile, and asks for the inputs of the next one meanwhile: memory reads while it writes.
/// kWidth: the group's width, or 0 where it is not known here.
template <int kWidth, class T>
HWY_NOINLINE void normalise(const TimestepNormForward& call, const Block& block, int64_t tile, int64_t tokens, bool past_caches,
                            const Statistics& s) {
  const int64_t channel = block.channel(), seq_len = call.shape.seq_len;
  for (int64_t t = 0; t < tokens; ++t) {
    if (tile + tokens + t < seq_len) prefetch(row_at<const T>(call.x, block.b, tile + tokens + t, channel), block.channels());
    T* y = row_at<T>(call.y, block.b, tile + t, channel);
    if (s.share[t] == 0) {
      std::memset(y, 0, static_cast<size_t>(block.channels()) * sizeof(T));
      continue;
    }
    const int64_t cell = t * block.stride();
    const Row<T> row = {row_at<const T>(call.x, block.b, tile + t, channel),
                        y,
                        call.weight + channel,
                        call.bias + channel,
                        s.high + cell,
                        s.rstd + cell,
                        s.offset + cell};
    int64_t done = 0;
    if constexpr (kWidth > 0) done = normalise_row<kWidth>(row, block, past_caches);
    normalise_groups(row, block, done);
  }
}

/// The two passes over a tile for one width of groups: models' own widths have loops without branches.
template <class T>
struct Passes {
  void (*sum_features)(const T* x, const Block& block, Statistics& s);
  void (*normalise)(const TimestepNormForward& call, const Block& block, int64_t tile, int64_t tokens, bool past_caches, const Statistics& s);
};

template <class T>
Passes<T> passes_of(int64_t width) {
  switch (width) {
    case 16:
      return {sum_features<16, T>, normalise<16, T>};
    case 24:
      return {sum_features<24, T>, normalise<24, T>};
    case 32:
      return {sum_features<32, T>, normalise<32, T>};
    case 64:
      return {sum_features<64, T>, normalise<64, T>};
    default:
      return {sum_features<0, T>, normalise<0, T>};
  }
}

template <class T>
void take_up(const TimestepNormForward& call, const Block& block, const Passes<T>& passes, int64_t tile, int64_t tokens, Statistics& s) {
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t cell = t * block.stride();
    if (s.share[t] == 0) {
      std::memset(s.rstd + cell, 0, static_cast<size_t>(block.groups) * sizeof(float));
    } else {
      passes.sum_features(row_at<const T>(call.x, block.b, tile + t, block.channel()), block, s);
      merge_token(block, s.share[t], call.shape.eps, cell, s);
    }
    keep_token(call, block, tile + t, s.rstd + cell, s);
  }
}

void load_state(const TimestepNormForward& call, const Block& block, Statistics& s) {
  const bool given = call.shape.count_in != nullptr;
  const int64_t at = block.b * call.shape.num_groups + block.first;
  for (int64_t g = 0; g < block.stride(); ++g) {
    s.mean[g] = given && g < block.groups ? call.shape.mean_in[at + g] : 0;
    s.variance[g] = given && g < block.groups ? call.variance_in[at + g] : 1;
  }
}

template <class T>
void forward_block(const TimestepNormForward& call, const Block& block) {
  const auto& shape = call.shape;
  const int64_t tile_tokens = tile_of<T>(shape);
  const bool past_caches = should_stream<T>(shape);
  const Passes<T> passes = passes_of<T>(block.width);
  Statistics s;
  for (float* sums : {s.sums, s.sums_of_squares}) std::fill_n(sums, 4 * kGroupBlock, 0.0f);  // lanes of padded groups are computed with
  std::fill_n(s.origin, kGroupBlock, 0.0f);
  load_state(call, block, s);
  Shares shares(shape, block.b);
  for (int64_t tile = 0; tile < shape.seq_len; tile += tile_tokens) {
    const int64_t tokens = std::min(tile_tokens, shape.seq_len - tile);
    for (int64_t t = 0; t < tokens; ++t) s.share[t] = shares.next(tile + t);
    take_up(call, block, passes, tile, tokens, s);
    passes.normalise(call, block, tile, tokens, past_caches, s);
  }
  if (past_caches) hwy::FlushStream();
  const int64_t at = block.b * shape.num_groups + block.first;
  std::memcpy(call.mean_out + at, s.mean, static_cast<size_t>(block.groups) * sizeof(double));
  std::memcpy(call.variance_out + at, s.variance, static_cast<size_t>(block.groups) * sizeof(double));
  if (block.first == 0) call.count_out[block.b] = shares.count();
}

}  // namespace tsn

template <class T>
void run_forward(const TimestepNormForward& call, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  parallel_for(0, shape.batch_size * shape.num_groups, tsn::grain(shape), [&](int64_t begin, int64_t end) {
    tsn::each_block(shape, begin, end, [&](const tsn::Block& block) { tsn::forward_block<T>(call, block); });
  });
}

void forward(const TimestepNormForward& call, const ParallelFor& parallel_for) {
  if (call.shape.element == Element::kFloat) {
    run_forward<float>(call, parallel_for);
  } else {
    run_forward<uint16_t>(call, parallel_for);
  }
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(forward);

}  // namespace

void timestep_norm_forward(const TimestepNormForward& call, const ParallelFor& parallel_for) { HWY_DYNAMIC_DISPATCH(forward)(call, parallel_for); }

}  // namespace everlong::kernels
#endif
