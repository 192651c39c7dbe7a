#include "everlong/ops/chunk_attention/chunk_attention.h"

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <c10/core/Allocator.h>
#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

using Function = AttentionFunction;
constexpr Function kFunctions[] = {Function::softmax, Function::relu2, Function::laplace};

/// Fills fresh memory with NaN while it lives, so that a value nobody wrote shows.
class Poison {
 public:
  Poison() {
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
    at::globalContext().setDeterministicFillUninitializedMemory(true);
  }
  ~Poison() { at::globalContext().setDeterministicAlgorithms(false, false); }
  Poison(const Poison&) = delete;
  Poison& operator=(const Poison&) = delete;
};

struct Case {
  at::Tensor q, k, v, bias;
  std::vector<AttentionPiece> pieces;
  ChunkAttentionOptions options;
};

Case make_case(int64_t batch_size, int64_t seq_len, const ChunkPlanOptions& plan_options, const ChunkAttentionOptions& options,
               at::ScalarType dtype = at::kFloat, int64_t z_dim = 8, int64_t value_dim = 12) {
  at::manual_seed(7);
  const ChunkPlan plan = plan_chunks(batch_size, seq_len, plan_options);
  const int64_t key_len = plan.cache_len + seq_len;
  const auto normal = [&](at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble).to(dtype); };
  return {normal({batch_size, seq_len, z_dim}),
          normal({batch_size, key_len, z_dim}),
          normal({batch_size, key_len, value_dim}),
          at::randn({2 * plan.max_key_len - 1}, at::kDouble).to(dtype == at::kDouble ? at::kDouble : at::kFloat),
          plan.pieces,
          options};
}

at::Tensor run(const Case& c) { return chunk_attention(c.q, c.k, c.v, c.bias, c.pieces, c.options); }
at::Tensor run_reference(const Case& c) { return chunk_attention_reference(c.q, c.k, c.v, c.bias, c.pieces, c.options); }

/// Output and gradients of q, k, v, bias under one fixed incoming gradient.
std::vector<at::Tensor> output_and_gradients(Case c, at::Tensor (*op)(const Case&)) {
  for (at::Tensor* x : {&c.q, &c.k, &c.v, &c.bias}) *x = x->detach().requires_grad_(true);
  const at::Tensor output = op(c);
  at::manual_seed(11);
  const at::Tensor incoming = at::randn(output.sizes(), at::kDouble).to(output.scalar_type());
  auto results = torch::autograd::grad({output}, {c.q, c.k, c.v, c.bias}, {incoming});
  results.insert(results.begin(), output.detach());
  return results;
}

double relative_error(const at::Tensor& got, const at::Tensor& expected) {
  const auto difference = (got.to(at::kDouble) - expected.to(at::kDouble)).norm().item<double>();
  return difference / std::max(1e-30, expected.to(at::kDouble).norm().item<double>());
}

void expect_equals_reference(const Case& c, const std::string& name) {
  const char* parts[] = {"output", "grad q", "grad k", "grad v", "grad bias"};
  std::vector<at::Tensor> got;
  {
    const Poison poison;
    got = output_and_gradients(c, run);
  }
  Case exact = c;
  for (at::Tensor* x : {&exact.q, &exact.k, &exact.v, &exact.bias}) *x = x->to(at::kDouble);
  const auto expected = output_and_gradients(exact, run_reference);
  // fp32: a few roundings of 2^-24 each. bf16: scores are rounded to 2^-9 of their size, which reaches 4, and the slope of laplace varies by
  // (s - mu) / sigma^2 = 40 a unit there in the worst case, by a few on average.
  const double tolerance = c.q.scalar_type() == at::kFloat ? 3e-6 : 3e-2;
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LE(relative_error(got[i], expected[i]), tolerance) << name << ", " << parts[i];
}

/// The equations of the header, one number at a time.
double weight_by_hand(const Case& c, const AttentionPiece& piece, int64_t b, int64_t i, int64_t j) {
  const auto q = c.q.accessor<double, 3>(), k = c.k.accessor<double, 3>();
  const auto bias = c.bias.accessor<double, 1>();
  const int64_t place = piece.first_place() + i, centre = (c.bias.size(0) - 1) / 2;
  const bool softmax = c.options.function == Function::softmax;
  const auto is_valid = [&](int64_t key) { return !c.options.key_valid || c.options.key_valid->index({b, piece.key_begin + key}).item<bool>(); };
  int64_t num_valid = 0;
  for (int64_t key = 0; key < piece.key_len; ++key) num_valid += is_valid(key);
  const auto sees = [&](int64_t key) {
    if (c.options.causal && key > place) return false;
    return is_valid(key) || (softmax && !c.options.causal && num_valid == 0);
  };
  const auto score = [&](int64_t key) {
    double dot = 0;
    for (int64_t z = 0; z < c.q.size(2); ++z) dot += q[b][piece.query_begin + i][z] * k[b][piece.key_begin + key][z];
    const double len = static_cast<double>(c.options.causal ? place + 1 : std::max<int64_t>(1, num_valid));
    const double scaled = softmax ? dot / std::sqrt(static_cast<double>(c.q.size(2))) : dot / len;
    return scaled + bias[centre + key - place];
  };
  if (!sees(j)) return 0;
  if (c.options.function == Function::relu2) return std::pow(std::max(score(j), 0.0), 2);
  if (c.options.function == Function::laplace) return 0.5 * (1 + std::erf((score(j) - 0.707107) / (0.282095 * std::sqrt(2.0))));
  double sum = 0;
  for (int64_t key = 0; key < piece.key_len; ++key) sum += sees(key) ? std::exp(score(key)) : 0;
  return std::exp(score(j)) / sum;
}

at::Tensor attention_by_hand(const Case& c) {
  const at::Tensor output = at::zeros({c.q.size(0), c.q.size(1), c.v.size(2)}, at::kDouble);
  for (const AttentionPiece& piece : c.pieces) {
    for (int64_t b = piece.row < 0 ? 0 : piece.row; b < (piece.row < 0 ? c.q.size(0) : piece.row + 1); ++b) {
      for (int64_t i = 0; i < piece.query_len; ++i) {
        for (int64_t j = 0; j < piece.key_len; ++j) {
          output.select(0, b)
              .select(0, piece.query_begin + i)
              .add_(c.v.select(0, b).select(0, piece.key_begin + j), weight_by_hand(c, piece, b, i, j));
        }
      }
    }
  }
  return output;
}

/// [B, S]: row 0 whole, row 1 padded left, row 2 right, row 3 in between, row 4 in all of the keys [8, 16).
at::Tensor padding_mask(int64_t key_len) {
  const at::Tensor valid = at::ones({5, key_len}, at::kBool);
  valid[1].narrow(0, 0, 5).fill_(false);
  valid[2].narrow(0, key_len - 6, 6).fill_(false);
  valid[3].narrow(0, 2, 3).fill_(false);
  valid[4].narrow(0, 8, 8).fill_(false);
  return valid;
}

TEST(ChunkAttention, ReferenceFollowsTheEquations) {
  for (const Function function : kFunctions) {
    for (const bool causal : {false, true}) {
      for (const bool masked : {false, true}) {
        Case c = make_case(5, 21, {.chunk_size = 8, .past_len = {3, 3, 3, 3, 3}}, {.function = function, .causal = causal}, at::kDouble, 3, 4);
        if (masked) c.options.key_valid = padding_mask(c.k.size(1));
        EXPECT_LE(relative_error(run_reference(c), attention_by_hand(c)), 1e-14) << int(function) << causal << masked;
      }
    }
  }
}

TEST(ChunkAttention, EqualsItsReferenceAtRaggedSizes) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Function function : kFunctions) {
      for (const bool causal : {false, true}) {
        for (const int64_t seq_len : {1, 7, 16, 33, 70}) {
          const Case c = make_case(3, seq_len, {.chunk_size = 16}, {.function = function, .causal = causal}, dtype);
          expect_equals_reference(
              c, "function " + std::to_string(int(function)) + " causal " + std::to_string(causal) + " T " + std::to_string(seq_len));
        }
      }
    }
  }
}

TEST(ChunkAttention, EqualsItsReferenceUnderPadding) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Function function : kFunctions) {
      for (const bool causal : {false, true}) {
        Case c = make_case(5, 45, {.chunk_size = 8}, {.function = function, .causal = causal}, dtype);
        c.options.key_valid = padding_mask(45);
        expect_equals_reference(c, "function " + std::to_string(int(function)) + " causal " + std::to_string(causal));
        c.options.attend_if_all_masked = false;
        expect_equals_reference(c, "function " + std::to_string(int(function)) + " causal " + std::to_string(causal) + " strict");
      }
    }
  }
}

TEST(ChunkAttention, EqualsItsReferenceWhereChunksSpanTilesAndBands) {
  for (const Function function : kFunctions) {
    for (const bool causal : {false, true}) {
      const Case c = make_case(1, 1700, {.chunk_size = 1100, .past_len = {77}}, {.function = function, .causal = causal});
      expect_equals_reference(c, "function " + std::to_string(int(function)) + " causal " + std::to_string(causal));
    }
  }
}

TEST(ChunkAttention, EqualsItsReferenceWhereOneChunkExceedsTheScratch) {
  const Case c = make_case(1, 4500, {}, {.function = Function::softmax}, at::kFloat, 4, 4);
  expect_equals_reference(c, "one chunk");
}

TEST(ChunkAttention, PiecesThatShareKeysAddTheirGradients) {
  Case c = make_case(2, 12, {}, {.function = Function::softmax, .causal = false});
  c.pieces = {{.query_begin = 0, .query_len = 5, .key_begin = 2, .key_len = 8},
              {.query_begin = 5, .query_len = 4, .key_begin = 4, .key_len = 8, .query_place = 1}};
  expect_equals_reference(c, "shared keys, uncovered queries");
}

TEST(ChunkAttention, WorksWithoutABias) {
  Case c = make_case(2, 20, {.chunk_size = 8}, {});
  Case zero = c;
  zero.bias = at::zeros_like(c.bias);
  c.bias = at::Tensor();
  EXPECT_TRUE(at::equal(run(c), run(zero)));
  EXPECT_LE(relative_error(run(c), run_reference(c)), 1e-6);

  for (Case* x : {&c, &zero}) x->q.requires_grad_(true);
  const auto gradient = [](const Case& x) { return torch::autograd::grad({run(x).sum()}, {x.q})[0]; };
  EXPECT_TRUE(at::equal(gradient(c), gradient(zero)));
}

TEST(ChunkAttention, ReadsStridedInputs) {
  Case c = make_case(2, 20, {.chunk_size = 8}, {});
  const at::Tensor expected = run(c);
  const at::Tensor joined = at::cat({c.q, c.k, c.v}, 2);
  c.q = joined.narrow(2, 0, 8), c.k = joined.narrow(2, 8, 8), c.v = joined.narrow(2, 16, 12);
  EXPECT_LE(relative_error(run(c), expected), 1e-6);
  c.q = c.q.transpose(1, 2).contiguous().transpose(1, 2);
  EXPECT_LE(relative_error(run(c), expected), 1e-6);
}

TEST(ChunkAttention, ReferenceGradientsAreThoseOfCentralDifferences) {
  for (const Function function : kFunctions) {
    for (const bool causal : {false, true}) {
      Case c = make_case(5, 18, {.chunk_size = 8}, {.function = function, .causal = causal}, at::kDouble, 2, 2);
      c.options.key_valid = padding_mask(18);
      const auto gradients = output_and_gradients(c, run_reference);
      at::manual_seed(11);
      const at::Tensor incoming = at::randn(gradients[0].sizes(), at::kDouble);
      at::Tensor* inputs[] = {&c.q, &c.k, &c.v, &c.bias};
      for (size_t n = 0; n < 4; ++n) {
        const at::Tensor values = inputs[n]->view(-1), numeric = at::zeros_like(values);
        for (int64_t i = 0; i < values.size(0); ++i) {
          const double value = values[i].item<double>(), step = 1e-6;
          values[i] = value + step;
          const double up = (run_reference(c) * incoming).sum().item<double>();
          values[i] = value - step;
          numeric[i] = (up - (run_reference(c) * incoming).sum().item<double>()) / (2 * step);
          values[i] = value;
        }
        EXPECT_LE(relative_error(gradients[n + 1].view(-1), numeric), 1e-7) << int(function) << causal << " input " << n;
      }
    }
  }
}

/// The tokens of c in calls of the given lengths, each with a cache of the keys of the unfinished chunk.
at::Tensor run_in_calls(const Case& c, const std::vector<int64_t>& lengths, int64_t chunk_size) {
  std::vector<at::Tensor> outputs;
  int64_t begin = 0;
  for (const int64_t len : lengths) {
    const int64_t batch_size = c.q.size(0), past = begin % chunk_size;
    const ChunkPlan plan = plan_chunks(batch_size, len, {.chunk_size = chunk_size, .past_len = std::vector<int64_t>(size_t(batch_size), past)});
    Case call{
        c.q.narrow(1, begin, len), c.k.narrow(1, begin - past, past + len), c.v.narrow(1, begin - past, past + len), c.bias, plan.pieces, c.options};
    if (c.options.key_valid) call.options.key_valid = c.options.key_valid->narrow(1, begin - past, past + len);
    outputs.push_back(run(call));
    begin += len;
    EXPECT_EQ(plan.next_past_len.front(), begin % chunk_size);
  }
  return at::cat(outputs, 1);
}

TEST(ChunkAttention, AnyPartitionIntoCallsGivesTheSame) {
  for (const Function function : kFunctions) {
    Case c = make_case(5, 40, {.chunk_size = 16}, {.function = function});
    for (const bool masked : {false, true}) {
      if (masked) c.options.key_valid = padding_mask(40);
      const at::Tensor whole = run(c);
      EXPECT_LE(relative_error(run_in_calls(c, std::vector<int64_t>(40, 1), 16), whole), 1e-6);
      EXPECT_LE(relative_error(run_in_calls(c, {16, 16, 8}, 16), whole), 1e-6);
      at::manual_seed(3);
      for (int trial = 0; trial < 10; ++trial) {
        std::vector<int64_t> lengths;
        for (int64_t left = 40; left > 0; left -= lengths.back()) lengths.push_back(at::randint(1, left + 1, {1}).item<int64_t>());
        EXPECT_LE(relative_error(run_in_calls(c, lengths, 16), whole), 1e-6);
      }
    }
  }
}

TEST(ChunkAttention, PackedDocumentsEqualSeparateOnes) {
  for (const Function function : kFunctions) {
    const std::vector<std::vector<int64_t>> starts = {{0, 5, 30}, {11}};
    const Case packed = make_case(2, 41, {.chunk_size = 8, .document_starts = starts}, {.function = function});
    const at::Tensor output = run(packed);
    for (int64_t b = 0; b < 2; ++b) {
      std::vector<int64_t> cuts = starts[size_t(b)];
      if (cuts.front() != 0) cuts.insert(cuts.begin(), 0);
      cuts.push_back(41);
      for (size_t d = 0; d + 1 < cuts.size(); ++d) {
        const int64_t begin = cuts[d], len = cuts[d + 1] - begin;
        const auto document = [&](const at::Tensor& x) { return x.narrow(0, b, 1).narrow(1, begin, len); };
        const Case alone{document(packed.q), document(packed.k), document(packed.v), packed.bias, plan_chunks(1, len, {.chunk_size = 8}).pieces,
                         packed.options};
        EXPECT_LE(relative_error(document(output), run(alone)), 1e-6);
      }
    }
  }
}

TEST(ChunkAttention, RowsWithDifferentPastsReadTheirOwnPartOfTheCache) {
  const ChunkPlanOptions plan{.chunk_size = 8, .past_len = {0, 5, 7}};
  for (const Function function : kFunctions) expect_equals_reference(make_case(3, 19, plan, {.function = function}), "unequal pasts");
}

TEST(ChunkAttention, ResultsDoNotDependOnTheThreadCount) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Case c = make_case(4, 600, {.chunk_size = 256}, {.function = Function::softmax, .dropout = 0.1, .dropout_seed = 5}, dtype, 32, 64);
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto one = output_and_gradients(c, run);
    at::set_num_threads(2);
    const auto two = output_and_gradients(c, run);
    at::set_num_threads(threads);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << i;
  }
}

TEST(ChunkAttention, DropoutIsReplayedInTheBackward) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const Function function : kFunctions) {
      Case c = make_case(3, 300, {.chunk_size = 140}, {.function = function, .dropout = 0.3, .dropout_seed = 9}, dtype);
      expect_equals_reference(c, "dropout " + std::to_string(int(function)));
      const at::Tensor first = run(c);
      EXPECT_TRUE(at::equal(first, run(c)));
      c.options.dropout_seed = 10;
      EXPECT_FALSE(at::equal(first, run(c)));
    }
  }
}

TEST(ChunkAttention, DropoutKeepsTheExpectation) {
  Case c = make_case(1, 64, {.chunk_size = 64}, {.function = Function::laplace, .causal = false});
  const at::Tensor expected = run(c);
  at::Tensor sum = at::zeros_like(expected);
  c.options.dropout = 0.25;
  constexpr int kDraws = 2000;
  for (int i = 0; i < kDraws; ++i) sum += run(c), ++c.options.dropout_seed;
  // With values of mean zero, a draw deviates by sqrt(p / (1 - p)) = 0.577 of the norm, and the mean of 2000 by 0.0129.
  EXPECT_NEAR(relative_error(sum / kDraws, expected), 0.0129, 0.003);
}

/// Counts the bytes that torch's allocator hands out on this thread.
struct AllocationRecorder : c10::MemoryReportingInfoBase {
  void reportMemoryUsage(void*, int64_t bytes, size_t, size_t, c10::Device) override {
    largest = std::max(largest, bytes);
    live += bytes;
    peak = std::max(peak, live);
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t largest = 0, live = 0, peak = 0;
};

TEST(ChunkAttention, NothingOfTheSizeOfAllScoresIsEverAllocated) {
  constexpr int64_t kLen = 16384, kMiB = 1 << 20;
  for (const int64_t chunk_size : {int64_t{1024}, kLen}) {
    Case c = make_case(1, kLen, {.chunk_size = chunk_size}, {.function = Function::softmax}, at::kFloat, 4, 4);
    for (at::Tensor* x : {&c.q, &c.k, &c.v, &c.bias}) x->requires_grad_(true);
    const auto recorder = std::make_shared<AllocationRecorder>();
    {
      const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, recorder);
      const at::Tensor output = run(c);
      EXPECT_LE(recorder->largest, 4 * kMiB);
      EXPECT_LE(recorder->peak, 6 * kMiB);
      EXPECT_LE(recorder->live, kMiB);  // output and one number a query; the scores of the call would be kLen * chunk_size * 4 = 64 MiB or 1 GiB
      torch::autograd::grad({output.sum()}, {c.q, c.k, c.v, c.bias});
    }
    EXPECT_GE(recorder->largest, kMiB);
    EXPECT_LE(recorder->peak, 48 * kMiB);  // two blocks of 4 Mi scores at most, and small change
  }
}

TEST(ChunkAttention, RefusesWhatCannotBeMeant) {
  const Case good = make_case(2, 16, {.chunk_size = 8}, {});
  const auto refuses = [&](const std::function<void(Case&)>& spoil, const std::string& part) {
    Case c = good;
    spoil(c);
    try {
      run(c);
      ADD_FAILURE() << "accepted: " << part;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refuses([](Case& c) { c.k = c.k.narrow(2, 0, 7); }, "k [B, S, Z]");
  refuses([](Case& c) { c.v = c.v.narrow(1, 0, 7); }, "v [B, S, U]");
  refuses([](Case& c) { c.q = at::Tensor(); }, "undefined");
  refuses([](Case& c) { c.k = c.k.to(at::kDouble); }, "k in Float");
  refuses([](Case& c) { c.q = c.q.to(at::kLong); }, "q in float32");
  refuses([](Case& c) { c.bias = c.bias.to(at::kBFloat16); }, "bias in Float");
  refuses([](Case& c) { c.bias = c.bias.narrow(0, 0, 13); }, "bias of at least 2 x 8 - 1");
  refuses([](Case& c) { c.bias = c.bias.narrow(0, 0, 14); }, "bias [2A - 1]");
  refuses([](Case& c) { c.options.key_valid = at::ones({2, 15}, at::kBool); }, "key_valid");
  refuses([](Case& c) { c.options.dropout = 1; }, "dropout in [0, 1)");
  refuses([](Case& c) { c.options.dropout = std::nan(""); }, "dropout in [0, 1)");
  refuses([](Case& c) { c.pieces[0].row = 2; }, "row is -1 or below B = 2");
  refuses([](Case& c) { c.pieces[1].query_len = 9; }, "queries within T = 16");
  refuses([](Case& c) { c.pieces[1].query_begin = std::numeric_limits<int64_t>::max(); }, "queries within T = 16");
  refuses([](Case& c) { c.pieces[1].key_len = 9; }, "keys within S = 16");
  refuses([](Case& c) { c.pieces[0].key_len = 7; }, "place >= 0");
  refuses([](Case& c) { c.pieces[0].query_place = 1; }, "no further than its last key");
  refuses([](Case& c) { c.pieces[1].query_begin = 7; }, "cover a query once");
  Case half = good;
  half.q = half.q.to(at::kHalf);
  EXPECT_THROW(run(half), Unsupported);
}

}  // namespace
}  // namespace everlong::ops
