#include "everlong/kernels/cpu/timestep_norm.h"

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "everlong/kernels/cpu/timestep_norm_backward.cpp"
#include <hwy/foreach_target.h>

#include "everlong/kernels/cpu/timestep_norm_simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace everlong::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// The gradients of a block's statistics: carried from token to token, and what each token of a tile has to do with them.
struct Slopes {
  HWY_ALIGN double mean[tsn::kGroupBlock];                     ///< U
  HWY_ALIGN double variance[tsn::kGroupBlock];                 ///< V
  HWY_ALIGN double cell_mean[tsn::kCells + tsn::kGroupBlock];  ///< mean after each token, from the one before the tile on
  HWY_ALIGN double cell_dmean[tsn::kCells];                    ///< the token's own part of U
  HWY_ALIGN double cell_dvariance[tsn::kCells];                ///< and of V
  HWY_ALIGN float cell_constant[tsn::kCells];                  ///< dx = dy w r + constant + slope (x - mean)
  HWY_ALIGN float cell_slope[tsn::kCells];
};

/// Scratch memory: what each token weighs, [B, T]; sums of the parameters' gradients [B, D] over all tokens, and over those of a tile.
struct Workspace {
  explicit Workspace(const TimestepNormBackward& call)
      : shares(call.workspace),
        dweight(shares + call.shape.batch_size * call.shape.seq_len),
        dbias(dweight + call.shape.batch_size * call.shape.model_dim),
        tile_dweight(reinterpret_cast<float*>(dbias + call.shape.batch_size * call.shape.model_dim)),
        tile_dbias(tile_dweight + call.shape.batch_size * call.shape.model_dim) {}
  double* shares;
  double* dweight;
  double* dbias;
  float* tile_dweight;
  float* tile_dbias;
};

struct Tile {
  int64_t begin = 0, tokens = 0;
};

/// Takes up the forward pass's statistics, and what comes before the tile.
void load_means(const TimestepNormBackward& call, const tsn::Block& block, const Tile& tile, Slopes& s) {
  const auto& shape = call.shape;
  const auto bytes = static_cast<size_t>(block.groups) * sizeof(double);
  for (int64_t t = -1; t < tile.tokens; ++t) {
    double* cell = s.cell_mean + (t + 1) * block.stride();
    if (tile.begin + t >= 0) {
      std::memcpy(cell, call.mean + (block.b * shape.seq_len + tile.begin + t) * shape.num_groups + block.first, bytes);
    } else if (shape.count_in != nullptr) {
      std::memcpy(cell, shape.mean_in + block.b * shape.num_groups + block.first, bytes);
    } else {
      std::memset(cell, 0, bytes);
    }
  }
}

/// Adds one token's part of the parameters' gradients to their sums, and finds the token's own part of U and V.
template <class T>
HWY_NOINLINE void token_sums(const TimestepNormBackward& call, const tsn::Block& block, const Tile& tile, const double* shares, Slopes& s) {
  const Workspace work(call);
  const int64_t channel = block.channel(), sums = block.b * call.shape.model_dim + channel;
  for (int64_t t = 0; t < tile.tokens; ++t) {
    if (shares[t] == 0) continue;
    const T* x = tsn::row_at<const T>(call.x, block.b, tile.begin + t, channel);
    const T* dy = tsn::row_at<const T>(call.dy, block.b, tile.begin + t, channel);
    const float* rstd = call.rstd + (block.b * call.shape.seq_len + tile.begin + t) * call.shape.num_groups + block.first;
    for (int64_t g = 0; g < block.groups; ++g) {
      const int64_t at = g * block.width, cell = t * block.stride() + g;
      const tsn::SplitMean mean(s.cell_mean[cell + block.stride()]);
      const float r = rstd[g], *weight = call.weight + channel + at;
      float *dweight = work.tile_dweight + sums + at, *dbias = work.tile_dbias + sums + at;
      const auto two = tsn::two_sums(block.width, [&](auto tag, int64_t i, auto& sum, auto& product) EVERLONG_VECTOR_BODY {
        const auto d = tsn::load(tag, dy + at + i), z = mean.centred(tag, tsn::load(tag, x + at + i));
        hn::StoreU(hn::MulAdd(hn::Mul(d, z), hn::Set(tag, r), hn::LoadU(tag, dweight + i)), tag, dweight + i);
        hn::StoreU(hn::Add(d, hn::LoadU(tag, dbias + i)), tag, dbias + i);
        const auto scaled = hn::Mul(d, hn::Add(hn::LoadU(tag, weight + i), hn::Set(tag, 1.0f)));
        sum = hn::Add(sum, scaled);
        product = hn::MulAdd(scaled, z, product);
      });
      const double wide = static_cast<double>(r);
      s.cell_dmean[cell] = -wide * static_cast<double>(two.first);
      s.cell_dvariance[cell] = -0.5 * wide * wide * wide * static_cast<double>(two.second);
    }
  }
}

/// Moves the sums of a tile to those over all tokens.
void add_tile(const TimestepNormBackward& call, const tsn::Block& block) {
  const Workspace work(call);
  const int64_t begin = block.b * call.shape.model_dim + block.channel();
  for (int64_t i = begin; i < begin + block.channels(); ++i) {
    work.dweight[i] += static_cast<double>(work.tile_dweight[i]);
    work.dbias[i] += static_cast<double>(work.tile_dbias[i]);
    work.tile_dweight[i] = work.tile_dbias[i] = 0;
  }
}

/// One token of the reverse recurrence, for all groups. Where all before it is forgotten, nothing is handed on.
HWY_NOINLINE void step_back(const tsn::Block& block, int64_t t, double share, Slopes& s) {
  const tsn::Wide wide;
  const tsn::WideFloats floats;
  const auto part = hn::Set(wide, share / static_cast<double>(block.width)), rest = hn::Set(wide, 1 - share);
  for (int64_t g = 0; g < block.stride(); g += static_cast<int64_t>(hn::MaxLanes(wide))) {
    const int64_t cell = t * block.stride() + g;
    auto u = hn::Add(hn::Load(wide, s.mean + g), hn::Load(wide, s.cell_dmean + cell));
    auto v = hn::Add(hn::Load(wide, s.variance + g), hn::Load(wide, s.cell_dvariance + cell));
    const auto twice = hn::Add(v, v);
    hn::Store(hn::DemoteTo(floats, hn::Mul(part, u)), floats, s.cell_constant + cell);
    hn::Store(hn::DemoteTo(floats, hn::Mul(part, twice)), floats, s.cell_slope + cell);
    if (share < 1) {
      const auto moved = hn::Sub(hn::Load(wide, s.cell_mean + cell + block.stride()), hn::Load(wide, s.cell_mean + cell));
      u = hn::Mul(rest, hn::NegMulAdd(twice, moved, u));
      v = hn::Mul(rest, v);
    } else {
      u = v = hn::Zero(wide);
    }
    hn::Store(u, wide, s.mean + g);
    hn::Store(v, wide, s.variance + g);
  }
}

/// Writes dx of a tile, and asks for the inputs of the one before meanwhile.
template <class T>
HWY_NOINLINE void write_gradients(const TimestepNormBackward& call, const tsn::Block& block, const Tile& tile, const double* shares, bool past_caches,
                                  const Slopes& s) {
  const int64_t channel = block.channel();
  const float* weight = call.weight + channel;
  for (int64_t t = 0; t < tile.tokens; ++t) {
    const int64_t ahead = tile.begin - tile.tokens + t;
    if (ahead >= 0) {
      tsn::prefetch(tsn::row_at<const T>(call.x, block.b, ahead, channel), block.channels());
      tsn::prefetch(tsn::row_at<const T>(call.dy, block.b, ahead, channel), block.channels());
    }
    T* dx = tsn::row_at<T>(call.dx, block.b, tile.begin + t, channel);
    if (shares[t] == 0) {
      std::memset(dx, 0, static_cast<size_t>(block.channels()) * sizeof(T));
      continue;
    }
    const T* x = tsn::row_at<const T>(call.x, block.b, tile.begin + t, channel);
    const T* dy = tsn::row_at<const T>(call.dy, block.b, tile.begin + t, channel);
    const float* rstd = call.rstd + (block.b * call.shape.seq_len + tile.begin + t) * call.shape.num_groups + block.first;
    tsn::write_row(block, dx, past_caches, [&](int64_t g, int64_t begin, int64_t end, auto* target) EVERLONG_VECTOR_BODY {
      const int64_t cell = t * block.stride() + g, at = g * block.width + begin;
      const tsn::SplitMean mean(s.cell_mean[cell + block.stride()]);
      const float r = rstd[g], constant = s.cell_constant[cell], slope = s.cell_slope[cell];
      tsn::pieces(end - begin, [&](auto tag, int64_t i) EVERLONG_VECTOR_BODY {
        const auto z = mean.centred(tag, tsn::load(tag, x + at + i));
        const auto scale = hn::Mul(hn::Add(hn::LoadU(tag, weight + at + i), hn::Set(tag, 1.0f)), hn::Set(tag, r));
        const auto shared = hn::MulAdd(hn::Set(tag, slope), z, hn::Set(tag, constant));
        tsn::store(tag, hn::MulAdd(tsn::load(tag, dy + at + i), scale, shared), target + i);
      });
    });
  }
}

/// Carries the returned state's gradients in, or the incoming state's out.
void begin_block(const TimestepNormBackward& call, const tsn::Block& block, Slopes& s) {
  std::memset(&s, 0, sizeof s);  // lanes of padded groups are computed with
  const int64_t at = block.b * call.shape.num_groups + block.first;
  const auto bytes = static_cast<size_t>(block.groups) * sizeof(double);
  if (call.dmean_out != nullptr) std::memcpy(s.mean, call.dmean_out + at, bytes);
  if (call.dvariance_out != nullptr) std::memcpy(s.variance, call.dvariance_out + at, bytes);
}

void end_block(const TimestepNormBackward& call, const tsn::Block& block, const Slopes& s) {
  const int64_t at = block.b * call.shape.num_groups + block.first;
  const auto bytes = static_cast<size_t>(block.groups) * sizeof(double);
  if (call.dmean_in != nullptr) std::memcpy(call.dmean_in + at, s.mean, bytes);
  if (call.dvariance_in != nullptr) std::memcpy(call.dvariance_in + at, s.variance, bytes);
}

template <class T>
void backward_block(const TimestepNormBackward& call, const tsn::Block& block) {
  const auto& shape = call.shape;
  const Workspace work(call);
  const int64_t tile_tokens = tsn::tile_of<T>(shape), sums = block.b * shape.model_dim + block.channel();
  const bool past_caches = tsn::should_stream<T>(shape);
  std::fill_n(work.dweight + sums, block.channels(), 0.0);
  std::fill_n(work.dbias + sums, block.channels(), 0.0);
  std::fill_n(work.tile_dweight + sums, block.channels(), 0.0f);
  std::fill_n(work.tile_dbias + sums, block.channels(), 0.0f);
  Slopes s;
  begin_block(call, block, s);
  for (int64_t end = shape.seq_len; end > 0;) {
    const Tile tile = {std::max<int64_t>(0, end - tile_tokens), std::min(end, tile_tokens)};
    const double* shares = work.shares + block.b * shape.seq_len + tile.begin;
    load_means(call, block, tile, s);
    token_sums<T>(call, block, tile, shares, s);
    add_tile(call, block);
    for (int64_t t = tile.tokens - 1; t >= 0; --t) {
      if (shares[t] > 0) step_back(block, t, shares[t], s);
    }
    write_gradients<T>(call, block, tile, shares, past_caches, s);
    end = tile.begin;
  }
  if (past_caches) hwy::FlushStream();
  end_block(call, block, s);
}

template <class T>
void run_backward(const TimestepNormBackward& call, const ParallelFor& parallel_for) {
  const auto& shape = call.shape;
  const Workspace work(call);
  parallel_for(0, shape.batch_size, std::max<int64_t>(1, 8192 / shape.seq_len), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      tsn::Shares shares(shape, b);
      for (int64_t t = 0; t < shape.seq_len; ++t) work.shares[b * shape.seq_len + t] = shares.next(t);
    }
  });
  parallel_for(0, shape.batch_size * shape.num_groups, tsn::grain(shape), [&](int64_t begin, int64_t end) {
    tsn::each_block(shape, begin, end, [&](const tsn::Block& block) { backward_block<T>(call, block); });
  });
  for (int64_t i = 0; i < shape.model_dim; ++i) {
    double dweight = 0, dbias = 0;
    for (int64_t b = 0; b < shape.batch_size; ++b) {
      dweight += work.dweight[b * shape.model_dim + i];
      dbias += work.dbias[b * shape.model_dim + i];
    }
    call.dweight[i] = static_cast<float>(dweight);
    call.dbias[i] = static_cast<float>(dbias);
  }
}

void backward(const TimestepNormBackward& call, const ParallelFor& parallel_for) {
  if (call.shape.element == Element::kFloat) {
    run_backward<float>(call, parallel_for);
  } else {
    run_backward<uint16_t>(call, parallel_for);
  }
}

}  // namespace everlong::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace everlong::kernels {
namespace {

HWY_EXPORT(backward);

}  // namespace

int64_t timestep_norm_backward_workspace(const TimestepNormShape& shape) { return shape.batch_size * (shape.seq_len + 3 * shape.model_dim); }

void timestep_norm_backward(const TimestepNormBackward& call, const ParallelFor& parallel_for) { HWY_DYNAMIC_DISPATCH(backward)(call, parallel_for); }

}  // namespace everlong::kernels
#endif
