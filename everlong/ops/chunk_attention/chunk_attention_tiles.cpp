#include "everlong/ops/chunk_attention/chunk_attention_tiles.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "everlong/ops/chunk_attention/product.h"
#include "everlong/tensor/parallel.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops::chunk_attention_tiles {
namespace {

// Sizes are constants, not functions of the thread count: results must not depend on it.
constexpr int64_t kScoresInFlight = int64_t{1} << 20;          ///< scores of a group: 2 to 4 MB, near the cores
constexpr int64_t kBackwardScoresInFlight = int64_t{1} << 22;  ///< whole chunks up to 2048 tokens, so that keys need no accumulator
constexpr int64_t kTileQueries = 512;                          ///< a causal tile stops at its last visible key

/// Equal pieces at equal distances, in one row or in all.
struct Run {
  AttentionPiece piece;
  int64_t count = 1;
  int64_t query_step = 0;
  int64_t key_step = 0;
};

std::vector<Run> find_runs(std::span<const AttentionPiece> pieces) {
  std::vector<Run> runs;
  for (const AttentionPiece& piece : pieces) {
    if (!runs.empty()) {
      Run& run = runs.back();
      const int64_t query_step = piece.query_begin - (run.piece.query_begin + (run.count - 1) * run.query_step);
      const int64_t key_step = piece.key_begin - (run.piece.key_begin + (run.count - 1) * run.key_step);
      const bool same_shape = piece.row == run.piece.row && piece.query_len == run.piece.query_len && piece.key_len == run.piece.key_len &&
                              piece.first_place() == run.piece.first_place();
      if (same_shape && query_step > 0 && key_step >= 0 && (run.count == 1 || (query_step == run.query_step && key_step == run.key_step))) {
        run = {run.piece, run.count + 1, query_step, key_step};
        continue;
      }
    }
    runs.push_back({piece});
  }
  return runs;
}

/// Where matrix n of a group lies: first element and distance of the next, counted in tokens of the flat [B L] axis.
struct Progression {
  int64_t first = 0;
  int64_t step = 0;
};

/// A number of rectangles that one batched product can take at once.
struct Group {
  AttentionPiece piece;  ///< query_begin, key_begin and row are replaced by the progressions
  int64_t count = 0;
  Progression row, query, key;  ///< batch row; token within the row
};

/// True if the chunks of all rows follow each other at one distance: full chunks that cover whole rows of tensors without gaps.
bool is_flat(const Inputs& in, const Run& run) {
  const auto covers = [&](int64_t begin, int64_t len, int64_t step, int64_t size) {
    return begin == 0 && run.count * len == size && (run.count == 1 || step == len);
  };
  const auto no_gaps = [](const at::Tensor& x) { return x.stride(0) == x.size(1) * x.stride(1); };
  return run.piece.row < 0 && covers(run.piece.query_begin, run.piece.query_len, run.query_step, in.q.size(1)) &&
         covers(run.piece.key_begin, run.piece.key_len, run.key_step, in.k.size(1)) && no_gaps(in.q) && no_gaps(in.k) && no_gaps(in.v);
}

/// Calls body(group) for all rectangles, at most `scores_in_flight` scores (but one rectangle at least) at a time.
template <class Body>
void for_each_group(const Inputs& in, int64_t scores_per_piece_limit, int64_t scores_in_flight, const Body& body) {
  for (const Run& run : find_runs(in.pieces)) {
    const AttentionPiece& piece = run.piece;
    const int64_t first_row = std::max<int64_t>(piece.row, 0), num_rows = piece.row < 0 ? in.q.size(0) : 1;
    const int64_t scores = std::min(piece.query_len * piece.key_len, scores_per_piece_limit);
    const int64_t at_once = std::max<int64_t>(1, scores_in_flight / scores);
    const auto run_groups = [&](const Group& all) {
      for (int64_t n = 0; n < all.count; n += at_once) {
        Group group = all;
        group.count = std::min(at_once, all.count - n);
        for (Progression* p : {&group.row, &group.query, &group.key}) p->first += n * p->step;
        body(group);
      }
    };
    if (num_rows > 1 && is_flat(in, run)) {
      const int64_t query_step = in.q.size(1) / run.count, key_step = in.k.size(1) / run.count;
      run_groups({piece, num_rows * run.count, {0, 0}, {0, query_step}, {0, key_step}});
    } else if (run.count >= num_rows) {
      for (int64_t b = first_row; b < first_row + num_rows; ++b) {
        run_groups({piece, run.count, {b, 0}, {piece.query_begin, run.query_step}, {piece.key_begin, run.key_step}});
      }
    } else {
      for (int64_t c = 0; c < run.count; ++c) {
        run_groups({piece, num_rows, {first_row, 1}, {piece.query_begin + c * run.query_step, 0}, {piece.key_begin + c * run.key_step, 0}});
      }
    }
  }
}

/// [count, len, W] of x [B, L, W]: tokens [offset, + len) of each rectangle of a group, without a copy.
at::Tensor tokens(const at::Tensor& x, const Group& group, const Progression& token, int64_t offset, int64_t len) {
  const int64_t row_stride = x.stride(0), token_stride = x.stride(1);
  return x.as_strided({group.count, len, x.size(2)}, {group.row.step * row_stride + token.step * token_stride, token_stride, 1},
                      x.storage_offset() + group.row.first * row_stride + (token.first + offset) * token_stride);
}
at::Tensor queries(const at::Tensor& x, const Group& group, int64_t offset, int64_t len) { return tokens(x, group, group.query, offset, len); }
at::Tensor keys(const at::Tensor& x, const Group& group, int64_t offset, int64_t len) { return tokens(x, group, group.key, offset, len); }

/// Rows x columns of each matrix of `scores` [G, R, C].
at::Tensor part(const at::Tensor& scores, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  return scores.as_strided({scores.size(0), rows, columns}, scores.strides(), scores.storage_offset() + row * scores.stride(1) + column);
}

int64_t visible_keys(const Inputs& in, const Group& group, int64_t query_end) {
  return in.options.causal ? std::min(group.piece.key_len, group.piece.first_place() + query_end) : group.piece.key_len;
}

/// The kernel's view of the queries [first, + scores.size(1)) of a group.
class Block : public kernels::AttentionBlock {
 public:
  Block(const Inputs& in, const Group& group, const at::Tensor& log_sum_exp, int64_t first, const at::Tensor& scores) {
    const int64_t seq_len = in.q.size(1);
    places_.resize(static_cast<size_t>(group.count));
    for (int64_t n = 0; n < group.count; ++n) {
      const int64_t row = group.row.first + n * group.row.step;
      auto& place = places_[static_cast<size_t>(n)];
      const int64_t first_query = row * seq_len + group.query.first + n * group.query.step + first;
      place.first_query = in.options.dropout_first_query + first_query;
      if (in.options.key_valid) {
        const at::Tensor& valid = *in.options.key_valid;
        place.key_valid = valid.const_data_ptr<bool>() + row * valid.size(1) + group.key.first + n * group.key.step;
      }
      if (log_sum_exp.defined()) place.log_sum_exp = log_sum_exp.data_ptr<float>() + first_query;
    }
    function = in.options.function;
    matrices = places_;
    num_queries = scores.size(1);
    num_keys = scores.size(2);
    query_stride = scores.stride(1);
    matrix_stride = scores.stride(0);
    query_place = group.piece.first_place() + first;
    causal = in.options.causal;
    attend_if_all_masked = in.options.attend_if_all_masked;
    scale = static_cast<float>(in.options.scale.value_or(1 / std::sqrt(static_cast<double>(in.q.size(2)))));
    if (in.bias.defined()) bias = in.bias.const_data_ptr<float>() + (in.bias.size(0) - 1) / 2;
    dropout = in.options.dropout;
    dropout_seed = in.options.dropout_seed;
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

 private:
  std::vector<kernels::AttentionMatrix> places_;
};

void run_kernel(const Block& block, const at::Tensor& scores) {
  if (scores.scalar_type() == at::kFloat) {
    kernels::attention_weights(block, scores.data_ptr<float>(), parallel_for);
  } else {
    kernels::attention_weights(block, static_cast<uint16_t*>(scores.data_ptr()), parallel_for);
  }
}

void run_kernel_backward(const Block& block, const at::Tensor& scores, const at::Tensor& grad_weights, float* bias_bands) {
  if (scores.scalar_type() == at::kFloat) {
    kernels::attention_weights_backward(block, scores.data_ptr<float>(), grad_weights.data_ptr<float>(), bias_bands, parallel_for);
  } else {
    kernels::attention_weights_backward(block, static_cast<uint16_t*>(scores.data_ptr()), static_cast<uint16_t*>(grad_weights.data_ptr()), bias_bands,
                                        parallel_for);
  }
}

/// Scratch that grows to the largest group and is viewed as [G, R, C].
class Scratch {
 public:
  explicit Scratch(const at::TensorOptions& options) : options_(options) {}
  void reserve(int64_t size) {
    if (memory_.defined() && memory_.numel() >= size) return;
    memory_.reset();  // before the larger one comes
    memory_ = at::empty({size}, options_);
  }
  at::Tensor view(int64_t groups, int64_t rows, int64_t columns) {
    reserve(groups * rows * columns);
    return memory_.as_strided({groups, rows, columns}, {rows * columns, columns, 1}, 0);
  }
  float* floats(int64_t size) { return view(1, 1, size).data_ptr<float>(); }

 private:
  at::TensorOptions options_;
  at::Tensor memory_;
};

/// Rows of a tile: few enough for the limit, and for causal pieces few enough that skipping what lies above the diagonal pays.
int64_t tile_queries(const Inputs& in, const AttentionPiece& piece, int64_t scores_limit) {
  int64_t rows = std::max<int64_t>(64, scores_limit / piece.key_len / 64 * 64);
  if (in.options.causal) rows = std::min(rows, kTileQueries);
  return std::min(rows, piece.query_len);
}

/// Where the gradients go, and whether groups add to those of keys instead of writing them.
struct BackwardTarget {
  Gradients grads;
  bool accumulate = false;
  std::vector<double> bias;
};

/// One block of queries of a group against all keys they see.
class BackwardBlock {
 public:
  BackwardBlock(const Inputs& in, const at::Tensor& log_sum_exp, const at::Tensor& grad_output, BackwardTarget& target)
      : in_(in),
        log_sum_exp_(log_sum_exp),
        grad_output_(grad_output),
        target_(target),
        scores_(in.q.options()),
        grad_weights_(in.q.options()),
        product_(in.q.options()),
        bands_(in.q.options().dtype(at::kFloat)) {}

  void run(const Group& group, int64_t begin, int64_t len) {
    const int64_t num_keys = visible_keys(in_, group, begin + len);
    const at::Tensor scores = scores_.view(group.count, len, num_keys), grad_weights = grad_weights_.view(group.count, len, num_keys);
    for_each_tile(group, begin, len, [&](int64_t first, int64_t rows, int64_t seen) {
      product(part(scores, first, rows, 0, seen), queries(in_.q, group, begin + first, rows), keys(in_.k, group, 0, seen).transpose(1, 2));
      product(part(grad_weights, first, rows, 0, seen), queries(grad_output_, group, begin + first, rows),
              keys(in_.v, group, 0, seen).transpose(1, 2));
    });
    const Block block(in_, group, log_sum_exp_, begin, scores);
    float* bands = in_.bias.defined() ? bands_.floats(kernels::bias_bands_size(block)) : nullptr;
    run_kernel_backward(block, scores, grad_weights, bands);
    if (bands != nullptr) kernels::add_bias_bands(block, bands, target_.bias.data() + (in_.bias.size(0) - 1) / 2);

    for_each_tile(group, begin, len, [&](int64_t first, int64_t rows, int64_t seen) {
      product(queries(target_.grads.q, group, begin + first, rows), part(grad_weights, first, rows, 0, seen), keys(in_.k, group, 0, seen));
    });
    const int64_t key_tile = in_.options.causal ? kTileQueries : num_keys;
    for (int64_t key = 0; key < num_keys; key += key_tile) {
      const int64_t count = std::min(key_tile, num_keys - key);
      const int64_t first = in_.options.causal ? std::max<int64_t>(0, key - group.piece.first_place() - begin) : 0, rows = len - first;
      add_product(keys(target_.grads.v, group, key, count), part(scores, first, rows, key, count), queries(grad_output_, group, begin + first, rows));
      add_product(keys(target_.grads.k, group, key, count), part(grad_weights, first, rows, key, count), queries(in_.q, group, begin + first, rows));
    }
  }

 private:
  /// Calls body(first query within the block, queries, keys that they see).
  template <class Body>
  void for_each_tile(const Group& group, int64_t begin, int64_t len, const Body& body) {
    const int64_t tile = in_.options.causal ? kTileQueries : len;
    for (int64_t first = 0; first < len; first += tile) {
      const int64_t rows = std::min(tile, len - first);
      body(first, rows, visible_keys(in_, group, begin + first + rows));
    }
  }

  /// target (+)= a^T b. Groups whose keys coincide are added one after the other.
  void add_product(const at::Tensor& target, const at::Tensor& a, const at::Tensor& b) {
    if (!target_.accumulate) {
      product(target, a.transpose(1, 2), b);
      return;
    }
    const at::Tensor sum = product_.view(a.size(0), a.size(2), b.size(2));
    product(sum, a.transpose(1, 2), b);
    for (int64_t n = 0; n < sum.size(0); ++n) target.select(0, n).add_(sum.select(0, n));
  }

  const Inputs& in_;
  const at::Tensor& log_sum_exp_;
  const at::Tensor& grad_output_;
  BackwardTarget& target_;
  Scratch scores_, grad_weights_, product_, bands_;
};

}  // namespace

at::Tensor forward(const Inputs& in, const at::Tensor& log_sum_exp) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const at::Tensor output = in.queries_covered ? at::empty({in.q.size(0), in.q.size(1), in.v.size(2)}, in.q.options())
                                               : at::zeros({in.q.size(0), in.q.size(1), in.v.size(2)}, in.q.options());
  Scratch scratch(in.q.options());
  for_each_group(in, kScoresInFlight, kScoresInFlight, [&](const Group& group) {
    const int64_t tile = tile_queries(in, group.piece, kScoresInFlight);
    scratch.reserve(group.count * tile * visible_keys(in, group, group.piece.query_len));
    for (int64_t first = 0; first < group.piece.query_len; first += tile) {
      const int64_t rows = std::min(tile, group.piece.query_len - first), seen = visible_keys(in, group, first + rows);
      const at::Tensor scores = scratch.view(group.count, rows, seen);
      product(scores, queries(in.q, group, first, rows), keys(in.k, group, 0, seen).transpose(1, 2));
      run_kernel(Block(in, group, log_sum_exp, first, scores), scores);
      product(queries(output, group, first, rows), scores, keys(in.v, group, 0, seen));
    }
  });
  return output;
}

Gradients backward(const Inputs& in, const at::Tensor& log_sum_exp, const at::Tensor& grad_output) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  BackwardTarget target;
  const auto block_rows = [&](const AttentionPiece& piece) {
    return std::min(piece.query_len, std::max<int64_t>(64, kBackwardScoresInFlight / piece.key_len / 64 * 64));
  };
  for (const AttentionPiece& piece : in.pieces) target.accumulate |= block_rows(piece) < piece.query_len;
  target.accumulate |= !in.keys_once;

  const auto key_gradient = [&](const at::Tensor& x) {
    if (target.accumulate) return at::zeros(x.sizes(), x.options().dtype(at::kFloat));
    return in.keys_covered ? at::empty(x.sizes(), x.options()) : at::zeros(x.sizes(), x.options());
  };
  target.grads.q = in.queries_covered ? at::empty(in.q.sizes(), in.q.options()) : at::zeros(in.q.sizes(), in.q.options());
  target.grads.k = key_gradient(in.k);
  target.grads.v = key_gradient(in.v);
  if (in.bias.defined()) target.bias.assign(static_cast<size_t>(in.bias.size(0)), 0.0);

  BackwardBlock block(in, log_sum_exp, grad_output, target);
  for_each_group(in, kBackwardScoresInFlight, kScoresInFlight, [&](const Group& group) {
    const int64_t rows = block_rows(group.piece);
    for (int64_t begin = 0; begin < group.piece.query_len; begin += rows) block.run(group, begin, std::min(rows, group.piece.query_len - begin));
  });
  target.grads.k = target.grads.k.to(in.k.scalar_type());
  target.grads.v = target.grads.v.to(in.v.scalar_type());
  if (in.bias.defined()) {
    target.grads.bias = at::empty(in.bias.sizes(), in.bias.options());
    std::copy(target.bias.begin(), target.bias.end(), target.grads.bias.data_ptr<float>());
  }
  return target.grads;
}

}  // namespace everlong::ops::chunk_attention_tiles
