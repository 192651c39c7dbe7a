#include "everlong/kernels/cpu/timestep_norm.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/timestep_norm_forward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/timestep_norm_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The statistics of a block: carried from token to token, and those of each token of a tile.
struct Statistics {
  HWY_ALIGN double mean[tsn::kGroupBlock];
  HWY_ALIGN double variance[tsn::kGroupBlock];
  HWY_ALIGN double cell_mean[tsn::kCells];      ///< within the token, then over all tokens so far
  HWY_ALIGN double cell_variance[tsn::kCells];  ///< within the token
  HWY_ALIGN float cell_rstd[tsn::kCells];
  double share[tsn::kMaxTile];
};

/// Mean and population variance of the features of one group in one token. The first feature serves as the origin: it is one of those that are
/// averaged, so the digits that cancel are at most those of a factor 1 + width.
template <class T>
HWY_INLINE void group_moments(const T* x, int64_t width, double inverse_width, double* mean, double* variance) {
  const float origin = to_float(x[0]);
  const auto sums = tsn::two_sums(width, [&](auto tag, int64_t i, auto& sum, auto& squares) EVERLONG_VECTOR_BODY {
    const auto d = hn::Sub(tsn::load(tag, x + i), hn::Set(tag, origin));
    sum = hn::Add(sum, d);
    squares = hn::MulAdd(d, d, squares);
  });
  const double shift = static_cast<double>(sums.first) * inverse_width;
  *mean = static_cast<double>(origin) + shift;
  *variance = std::max(static_cast<double>(sums.second) * inverse_width - shift * shift, 0.0);
}

template <class T>
HWY_NOINLINE void token_moments(const TimestepNormForward& call, const tsn::Block& block, int64_t tile, int64_t tokens, Statistics& s) {
  const double inverse_width = 1 / static_cast<double>(block.width);
  for (int64_t t = 0; t < tokens; ++t) {
    if (s.share[t] == 0) continue;
    const T* x = tsn::row_at<const T>(call.x, block.b, tile + t, block.channel());
    const int64_t cell = t * block.stride();
    for (int64_t g = 0; g < block.groups; ++g)
      group_moments(x + g * block.width, block.width, inverse_width, s.cell_mean + cell + g, s.cell_variance + cell + g);
  }
}

/// Merges one token into the statistics of 8 groups.
HWY_INLINE void merge(double* mean, double* variance, double* token_mean, const double* token_variance, float* rstd, double share, double eps) {
  const tsn::Wide wide;
  const tsn::WideFloats floats;
  const auto weight = hn::Set(wide, share), rest = hn::Set(wide, 1 - share), small = hn::Set(wide, eps);
  for (int64_t i = 0; i < 8; i += static_cast<int64_t>(hn::MaxLanes(wide))) {
    auto m = hn::Load(wide, token_mean + i), v = hn::Load(wide, token_variance + i);
    if (share < 1) {  // where all before is forgotten, it is not read
      const auto old_mean = hn::Load(wide, mean + i), old_variance = hn::Load(wide, variance + i), d = hn::Sub(m, old_mean);
      m = hn::MulAdd(weight, d, old_mean);
      v = hn::MulAdd(weight, hn::Sub(hn::MulAdd(hn::Mul(rest, d), d, v), old_variance), old_variance);
    }
    hn::Store(m, wide, mean + i);
    hn::Store(m, wide, token_mean + i);
    hn::Store(v, wide, variance + i);
    hn::Store(hn::Div(hn::Set(floats, 1.0f), hn::Sqrt(hn::DemoteTo(floats, hn::Add(v, small)))), floats, rstd + i);
  }
}

HWY_NOINLINE void merge_tokens(const tsn::Block& block, int64_t tokens, double eps, Statistics& s) {
  const int64_t stride = block.stride();
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t cell = t * stride;
    if (s.share[t] == 0) {
      std::memcpy(s.cell_mean + cell, s.mean, static_cast<size_t>(stride) * sizeof(double));
      std::memset(s.cell_rstd + cell, 0, static_cast<size_t>(stride) * sizeof(float));
      continue;
    }
    for (int64_t g = 0; g < stride; g += 8)
      merge(s.mean + g, s.variance + g, s.cell_mean + cell + g, s.cell_variance + cell + g, s.cell_rstd + cell + g, s.share[t], eps);
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
      const tsn::SplitMean mean(s.cell_mean[cell + g]);
      const float rstd = s.cell_rstd[cell + g];
      const int64_t at = g * block.width + begin;
      tsn::pieces(end - begin, [&](auto tag, int64_t i) EVERLONG_VECTOR_BODY {
        const auto z = hn::Mul(mean.centred(tag, tsn::load(tag, x + at + i)), hn::Set(tag, rstd));
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

/// Keeps the statistics of a tile for the backward pass.
void keep_tile(const TimestepNormForward& call, const tsn::Block& block, int64_t tile, int64_t tokens, const Statistics& s) {
  if (call.mean == nullptr) return;
  const auto groups = static_cast<size_t>(block.groups);
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t at = (block.b * call.shape.seq_len + tile + t) * call.shape.num_groups + block.first;
    std::memcpy(call.mean + at, s.cell_mean + t * block.stride(), groups * sizeof(double));
    std::memcpy(call.rstd + at, s.cell_rstd + t * block.stride(), groups * sizeof(float));
  }
}

template <class T>
void forward_block(const TimestepNormForward& call, const tsn::Block& block) {
  const auto& shape = call.shape;
  const int64_t tile_tokens = tsn::tile_of<T>(shape);
  const bool past_caches = tsn::should_stream<T>(shape);
  Statistics s;
  std::memset(s.cell_mean, 0, sizeof s.cell_mean);  // lanes of padded groups are computed with
  std::memset(s.cell_variance, 0, sizeof s.cell_variance);
  load_state(call, block, s);
  tsn::Shares shares(shape, block.b);
  for (int64_t tile = 0; tile < shape.seq_len; tile += tile_tokens) {
    const int64_t tokens = std::min(tile_tokens, shape.seq_len - tile);
    for (int64_t t = 0; t < tokens; ++t) s.share[t] = shares.next(tile + t);
    token_moments<T>(call, block, tile, tokens, s);
    merge_tokens(block, tokens, shape.eps, s);
    normalise<T>(call, block, tile, tokens, past_caches, s);
    keep_tile(call, block, tile, tokens, s);
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
