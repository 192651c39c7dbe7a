#include "everlong/kernels/cpu/timestep_norm.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/timestep_norm_forward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/timestep_norm_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The statistics of a block: carried from token to token, those of one token, and what each token of a tile is normalised with.
struct Statistics {
  HWY_ALIGN double mean[tsn::kGroupBlock];
  HWY_ALIGN double variance[tsn::kGroupBlock];
  HWY_ALIGN float origin[tsn::kGroupBlock];  ///< a feature of the group, from which the sums below are counted
  HWY_ALIGN float sum[tsn::kGroupBlock];     ///< over the features of the group
  HWY_ALIGN float squares[tsn::kGroupBlock];
  HWY_ALIGN float sums[4 * tsn::kGroupBlock];  ///< the same, in four parts
  HWY_ALIGN float sums_of_squares[4 * tsn::kGroupBlock];
  HWY_ALIGN float rstd[tsn::kCells];    ///< z = (x - high) rstd + offset
  HWY_ALIGN float high[tsn::kCells];    ///< the mean as a float
  HWY_ALIGN float offset[tsn::kCells];  ///< -rstd times what the float has lost, so that a large mean costs no digits
  double share[tsn::kMaxTile];
};

/// Sums over the features of each group in one token. The first feature serves as the origin: it is one of those that are averaged, so the
/// digits that cancel in the variance are at most those of a factor 1 + width.
template <class T>
HWY_NOINLINE void sum_features(const T* x, const tsn::Block& block, Statistics& s) {
  for (int64_t g = 0; g < block.groups; ++g, x += block.width) {
    const float origin = to_float(x[0]);
    s.origin[g] = origin;
    tsn::store_four_sums(block.width, s.sums + 4 * g, s.sums_of_squares + 4 * g,
                         [&](auto tag, int64_t i, auto& sum, auto& squares) EVERLONG_VECTOR_BODY {
                           const auto d = hn::Sub(tsn::load(tag, x + i), hn::Set(tag, origin));
                           sum = hn::Add(sum, d);
                           squares = hn::MulAdd(d, d, squares);
                         });
  }
  tsn::add_up_fours(s.sums, block.groups, s.sum);
  tsn::add_up_fours(s.sums_of_squares, block.groups, s.squares);
}

/// Merges the token whose sums are in `s` into the statistics. Where all before it is forgotten, that is not read.
HWY_NOINLINE void merge_token(const tsn::Block& block, double share, double eps, int64_t cell, Statistics& s) {
  const tsn::Wide wide;
  const tsn::WideFloats floats;
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
void keep_token(const TimestepNormForward& call, const tsn::Block& block, int64_t t, const float* rstd, const Statistics& s) {
  if (call.mean == nullptr) return;
  const int64_t at = (block.b * call.shape.seq_len + t) * call.shape.num_groups + block.first;
  std::memcpy(call.mean + at, s.mean, static_cast<size_t>(block.groups) * sizeof(double));
  std::memcpy(call.rstd + at, rstd, static_cast<size_t>(block.groups) * sizeof(float));
}

template <class T>
void take_up(const TimestepNormForward& call, const tsn::Block& block, int64_t tile, int64_t tokens, Statistics& s) {
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t cell = t * block.stride();
    if (s.share[t] == 0) {
      std::memset(s.rstd + cell, 0, static_cast<size_t>(block.groups) * sizeof(float));
    } else {
      sum_features(tsn::row_at<const T>(call.x, block.b, tile + t, block.channel()), block, s);
      merge_token(block, s.share[t], call.shape.eps, cell, s);
    }
    keep_token(call, block, tile + t, s.rstd + cell, s);
  }
}

/// Writes the outputs of a tile, and asks for the inputs of the next one meanwhile: memory reads while it writes.
template <class T>
HWY_NOINLINE void normalise(const TimestepNormForward& call, const tsn::Block& block, int64_t tile, int64_t tokens, bool past_caches,
                            const Statistics& s) {
  const int64_t channel = block.channel(), seq_len = call.shape.seq_len;
  const float *weight = call.weight + channel, *bias = call.bias + channel;
  for (int64_t t = 0; t < tokens; ++t) {
    if (tile + tokens + t < seq_len) tsn::prefetch(tsn::row_at<const T>(call.x, block.b, tile + tokens + t, channel), block.channels());
    T* y = tsn::row_at<T>(call.y, block.b, tile + t, channel);
    if (s.share[t] == 0) {
      std::memset(y, 0, static_cast<size_t>(block.channels()) * sizeof(T));
      continue;
    }
    const T* x = tsn::row_at<const T>(call.x, block.b, tile + t, channel);
    const int64_t cell = t * block.stride();
    tsn::write_row(block, y, past_caches, [&](int64_t g, int64_t begin, int64_t end, auto* target) EVERLONG_VECTOR_BODY {
      const float high = s.high[cell + g], rstd = s.rstd[cell + g], offset = s.offset[cell + g];
      const int64_t at = g * block.width + begin;
      tsn::pieces(end - begin, [&](auto tag, int64_t i) EVERLONG_VECTOR_BODY {
        const auto z = hn::MulAdd(hn::Sub(tsn::load(tag, x + at + i), hn::Set(tag, high)), hn::Set(tag, rstd), hn::Set(tag, offset));
        const auto scale = hn::Add(hn::LoadU(tag, weight + at + i), hn::Set(tag, 1.0f));
        tsn::store(tag, hn::MulAdd(z, scale, hn::LoadU(tag, bias + at + i)), target + i);
      });
    });
  }
}

void load_state(const TimestepNormForward& call, const tsn::Block& block, Statistics& s) {
  const bool given = call.shape.count_in != nullptr;
  const int64_t at = block.b * call.shape.num_groups + block.first;
  for (int64_t g = 0; g < block.stride(); ++g) {
    s.mean[g] = given && g < block.groups ? call.shape.mean_in[at + g] : 0;
    s.variance[g] = given && g < block.groups ? call.variance_in[at + g] : 1;
  }
}

template <class T>
void forward_block(const TimestepNormForward& call, const tsn::Block& block) {
  const auto& shape = call.shape;
  const int64_t tile_tokens = tsn::tile_of<T>(shape);
  const bool past_caches = tsn::should_stream<T>(shape);
  Statistics s;
  for (float* sums : {s.sums, s.sums_of_squares}) std::fill_n(sums, 4 * tsn::kGroupBlock, 0.0f);  // lanes of padded groups are computed with
  std::fill_n(s.origin, tsn::kGroupBlock, 0.0f);
  load_state(call, block, s);
  tsn::Shares shares(shape, block.b);
  for (int64_t tile = 0; tile < shape.seq_len; tile += tile_tokens) {
    const int64_t tokens = std::min(tile_tokens, shape.seq_len - tile);
    for (int64_t t = 0; t < tokens; ++t) s.share[t] = shares.next(tile + t);
    take_up<T>(call, block, tile, tokens, s);
    normalise<T>(call, block, tile, tokens, past_caches, s);
  }
  if (past_caches) hwy::FlushStream();
  const int64_t at = block.b * shape.num_groups + block.first;
  std::memcpy(call.mean_out + at, s.mean, static_cast<size_t>(block.groups) * sizeof(double));
  std::memcpy(call.variance_out + at, s.variance, static_cast<size_t>(block.groups) * sizeof(double));
  if (block.first == 0) call.count_out[block.b] = shares.count();
}

template <class T>
void run_forward(const TimestepNormForward& call, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  parallel_for(0, shape.batch_size * shape.num_groups, tsn::grain(shape), [&](int64_t begin, int64_t end) {
    tsn::each_block(shape, begin, end, [&](const tsn::Block& block) { forward_block<T>(call, block); });
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
