#include "everlong/ops/chunk_attention/chunk_attention.h"

#include <string>
#include <vector>

#include "everlong/base/error.h"
#include "everlong/ops/chunk_attention/chunk_attention_autograd.h"
#include "everlong/ops/chunk_attention/chunk_attention_tiles.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

constexpr std::string_view kWhere = "chunk_attention";

std::string shape_text(at::IntArrayRef sizes) {
  std::string text = "[";
  for (size_t i = 0; i < sizes.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(sizes[i]);
  return text + "]";
}

void check_shape(const at::Tensor& x, const char* name, at::IntArrayRef sizes) {
  require(x.sizes() == sizes, [&] { return Complaint{kWhere, std::string(name) + " = " + shape_text(sizes), shape_text(x.sizes())}; });
}

void check_dtype(const at::Tensor& x, const char* name, at::ScalarType dtype, const at::Device& device) {
  require(x.scalar_type() == dtype && x.device() == device, [&] {
    return Complaint{kWhere, std::string(name) + " in " + at::toString(dtype) + " on " + device.str(),
                     std::string(at::toString(x.scalar_type())) + " on " + x.device().str()};
  });
}

void check_tensors(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias, const ChunkAttentionOptions& options) {
  for (const auto& [x, name] : {std::pair{&q, "q [B, T, Z]"}, {&k, "k [B, S, Z]"}, {&v, "v [B, S, U]"}}) {
    require(x->defined() && x->dim() == 3, [name = name, x = x] {
      return Complaint{kWhere, name, x->defined() ? shape_text(x->sizes()) : "an undefined tensor"};
    });
  }
  const auto dtype = q.scalar_type();
  if (dtype == at::kHalf) throw Unsupported({kWhere, "q in float32, bfloat16 or float64", "float16", "use bfloat16"});
  require(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kDouble, [&] {
    return Complaint{kWhere, "q in float32, bfloat16 or float64", at::toString(dtype)};
  });
  check_shape(k, "k [B, S, Z]", {q.size(0), k.size(1), q.size(2)});
  check_shape(v, "v [B, S, U]", {q.size(0), k.size(1), v.size(2)});
  check_dtype(k, "k", dtype, q.device());
  check_dtype(v, "v", dtype, q.device());
  if (bias.defined()) {
    require(bias.dim() == 1 && bias.size(0) % 2 == 1, [&] { return Complaint{kWhere, "bias [2A - 1]", shape_text(bias.sizes())}; });
    check_dtype(bias, "bias", dtype == at::kDouble ? at::kDouble : at::kFloat, q.device());
  }
  if (options.key_valid) {
    check_shape(*options.key_valid, "key_valid [B, S]", {q.size(0), k.size(1)});
    check_dtype(*options.key_valid, "key_valid", at::kBool, q.device());
  }
  require(options.dropout >= 0 && options.dropout < 1, [&] { return Complaint{kWhere, "dropout in [0, 1)", std::to_string(options.dropout)}; });
}

std::string piece_text(const AttentionPiece& piece) {
  return "row " + std::to_string(piece.row) + ", queries " + std::to_string(piece.query_begin) + " + " + std::to_string(piece.query_len) + ", keys " +
         std::to_string(piece.key_begin) + " + " + std::to_string(piece.key_len);
}

bool inside(int64_t begin, int64_t len, int64_t size) { return begin >= 0 && len >= 1 && begin <= size && len <= size - begin; }

void check_piece(const AttentionPiece& piece, const at::Tensor& q, const at::Tensor& k, const at::Tensor& bias, bool causal) {
  const auto check = [&](bool ok, const auto& expected) { require(ok, [&] { return Complaint{kWhere, expected, piece_text(piece)}; }); };
  check(piece.row >= -1 && piece.row < q.size(0), "a piece whose row is -1 or below B = " + std::to_string(q.size(0)));
  check(inside(piece.query_begin, piece.query_len, q.size(1)), "a piece with queries within T = " + std::to_string(q.size(1)));
  check(inside(piece.key_begin, piece.key_len, k.size(1)), "a piece with keys within S = " + std::to_string(k.size(1)));
  constexpr int64_t kFarthest = int64_t{1} << 40;
  const int64_t first = piece.first_place();
  check(first >= 0 && first <= kFarthest, "a piece whose first query stands at a place >= 0");
  check(!causal || first + piece.query_len <= piece.key_len, "a causal piece whose last query stands no further than its last key");
  if (bias.defined()) {
    const int64_t places = std::max(piece.key_len, first + piece.query_len);
    require(places <= (bias.size(0) + 1) / 2, [&] {
      return Complaint{kWhere, "bias of at least 2 x " + std::to_string(places) + " - 1 entries for " + piece_text(piece), shape_text(bias.sizes())};
    });
  }
}

/// How often tokens of [B, L] are covered.
class Coverage {
 public:
  Coverage(int64_t batch_size, int64_t len) : len_(len), batch_size_(batch_size), counts_(static_cast<size_t>(batch_size * len), 0) {}
  /// False if a token was covered before.
  bool add(int64_t row, int64_t begin, int64_t count) {
    bool fresh = true;
    for (int64_t b = row < 0 ? 0 : row; b < (row < 0 ? batch_size_ : row + 1); ++b) {
      for (auto it = counts_.begin() + b * len_ + begin, end = it + count; it != end; ++it) {
        fresh &= *it == 0;
        *it = 1;
      }
    }
    covered_ += (row < 0 ? batch_size_ : 1) * count;
    return fresh;
  }
  /// Exact if no token was covered twice.
  [[nodiscard]] bool complete() const { return covered_ == static_cast<int64_t>(counts_.size()); }

 private:
  int64_t len_, batch_size_, covered_ = 0;
  std::vector<char> counts_;
};

at::Tensor with_contiguous_rows(const at::Tensor& x) { return x.stride(2) == 1 || x.size(2) == 1 ? x : x.contiguous(); }

}  // namespace

at::Tensor chunk_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias,
                           std::span<const AttentionPiece> pieces, const ChunkAttentionOptions& options) {
  check_tensors(q, k, v, bias, options);
  Coverage queries(q.size(0), q.size(1)), keys(q.size(0), k.size(1));
  bool keys_once = true;
  for (const AttentionPiece& piece : pieces) {
    check_piece(piece, q, k, bias, options.causal);
    require(queries.add(piece.row, piece.query_begin, piece.query_len), [&] {
      return Complaint{kWhere, "pieces that cover a query once", piece_text(piece) + " covers one again"};
    });
    const int64_t seen = options.causal ? piece.first_place() + piece.query_len : piece.key_len;
    keys_once &= keys.add(piece.row, piece.key_begin, seen);
  }
  if (q.scalar_type() == at::kDouble || !q.is_cpu()) return chunk_attention_reference(q, k, v, bias, pieces, options);

  namespace tiles = chunk_attention_tiles;
  tiles::Inputs in{with_contiguous_rows(q),
                   with_contiguous_rows(k),
                   with_contiguous_rows(v),
                   bias.defined() ? bias.contiguous() : bias,
                   pieces,
                   options,
                   queries.complete(),
                   keys_once && keys.complete(),
                   keys_once};
  if (options.key_valid) in.options.key_valid = options.key_valid->contiguous();
  const bool needs_gradient = q.requires_grad() || k.requires_grad() || v.requires_grad() || (bias.defined() && bias.requires_grad());
  return at::GradMode::is_enabled() && needs_gradient ? tiles::forward_with_gradient(in) : tiles::forward(in, {});
}

}  // namespace everlong::ops
