#include "everlong/kernels/cpu/ema.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/aligned_allocator.h>
#include <hwy/targets.h>

#include "everlong/kernels/cpu/bfloat16.h"
#include "everlong/kernels/cpu/denormals.h"

namespace everlong::kernels {
namespace {

constexpr float kPoison = std::numeric_limits<float>::quiet_NaN();

/// A problem with its results, all buffers poisoned, and a guard after each output that must stay as it is.
struct Problem {
  static constexpr size_t kGuard = 32;
  static constexpr float kGuardValue = 12345;

  EmaShape shape;
  std::vector<float> x, dy, q, c, state_in, dstate_out;
  std::vector<float> y, state_out, dx, dstate_in, dq, dc, workspace;

  Problem(int64_t batch_size, int64_t seq_len, int64_t model_dim, int64_t ema_ndim) {
    shape = {.batch_size = batch_size, .seq_len = seq_len, .model_dim = model_dim, .ema_ndim = ema_ndim};
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> pole(0.3f, 0.999f);
    const auto fill = [&](int64_t size) {
      std::vector<float> values(static_cast<size_t>(size));
      for (auto& value : values) value = normal(random);
      return values;
    };
    const int64_t rows = batch_size * seq_len * model_dim, parameters = model_dim * ema_ndim, states = batch_size * parameters;
    x = fill(rows), dy = fill(rows), q = fill(parameters), c = fill(parameters), state_in = fill(states), dstate_out = fill(states);
    for (auto& value : q) value = pole(random);
    y = guarded(rows), dx = guarded(rows), state_out = guarded(states), dstate_in = guarded(states), dq = guarded(parameters),
    dc = guarded(parameters);
    workspace = guarded(std::max(ema_forward_workspace(shape), ema_backward_workspace(shape)));
  }

  static std::vector<float> guarded(int64_t size) {
    std::vector<float> values(static_cast<size_t>(size) + kGuard, kPoison);
    std::fill(values.end() - kGuard, values.end(), kGuardValue);
    return values;
  }

  void run(const ParallelFor& parallel_for = serial_for) {
    const int64_t row = shape.seq_len * shape.model_dim;
    ema_forward({.shape = shape,
                 .x = {x.data(), row, shape.model_dim},
                 .y = {y.data(), row, shape.model_dim},
                 .q = q.data(),
                 .c = c.data(),
                 .state_in = state_in.data(),
                 .state_out = state_out.data(),
                 .workspace = workspace.data()},
                parallel_for);
    ema_backward({.shape = shape,
                  .x = {x.data(), row, shape.model_dim},
                  .dy = {dy.data(), row, shape.model_dim},
                  .dx = {dx.data(), row, shape.model_dim},
                  .q = q.data(),
                  .c = c.data(),
                  .state_in = state_in.data(),
                  .dstate_out = dstate_out.data(),
                  .dstate_in = dstate_in.data(),
                  .dq = dq.data(),
                  .dc = dc.data(),
                  .workspace = workspace.data()},
                 parallel_for);
  }

  std::vector<const std::vector<float>*> outputs() const { return {&y, &state_out, &dx, &dstate_in, &dq, &dc, &workspace}; }

  void expect_guards_intact() const {
    for (const auto* output : outputs()) {
      for (size_t i = output->size() - kGuard; i < output->size(); ++i) ASSERT_EQ((*output)[i], kGuardValue);
    }
  }
};

/// y and state_out by the equation, in fp64.
void expect_forward_exact(const Problem& p) {
  const auto [batch_size, seq_len, model_dim, ema_ndim] = std::tuple(p.shape.batch_size, p.shape.seq_len, p.shape.model_dim, p.shape.ema_ndim);
  double worst = 0;
  for (int64_t b = 0; b < batch_size; ++b) {
    for (int64_t d = 0; d < model_dim; ++d) {
      std::vector<double> h(p.state_in.begin() + (b * model_dim + d) * ema_ndim, p.state_in.begin() + (b * model_dim + d + 1) * ema_ndim);
      for (int64_t t = 0; t < seq_len; ++t) {
        const auto at = static_cast<size_t>((b * seq_len + t) * model_dim + d);
        double y = 0;
        for (int64_t n = 0; n < ema_ndim; ++n) {
          const auto i = static_cast<size_t>(d * ema_ndim + n);
          h[static_cast<size_t>(n)] = static_cast<double>(p.q[i]) * h[static_cast<size_t>(n)] + static_cast<double>(p.x[at]);
          y += static_cast<double>(p.c[i]) * h[static_cast<size_t>(n)];
        }
        worst = std::max(worst, std::abs(y - static_cast<double>(p.y[at])));
        ASSERT_FALSE(std::isnan(p.y[at]));
      }
      for (int64_t n = 0; n < ema_ndim; ++n) {
        worst = std::max(
            worst, std::abs(h[static_cast<size_t>(n)] - static_cast<double>(p.state_out[static_cast<size_t>((b * model_dim + d) * ema_ndim + n)])));
      }
    }
  }
  EXPECT_LT(worst, 2e-4);  // values reach 100
}

class EveryInstructionSet : public ::testing::Test {
 protected:
  void TearDown() override { use(0); }
  static void use(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_F(EveryInstructionSet, OfThisMachineFollowsTheEquation) {
  const int64_t supported = hwy::SupportedTargets();
  int seen = 0;
  for (int64_t bit = 0; bit < 62; ++bit) {
    const int64_t target = int64_t{1} << bit;
    if ((supported & target) == 0) continue;
    use(target);
    ++seen;
    SCOPED_TRACE(ema_target());
    for (const int64_t model_dim : {1, 5, 16, 37}) {
      for (const int64_t ema_ndim : {1, 3, 16, 27}) {
        for (const int64_t seq_len : {1, 3, 7, 150}) {
          Problem problem(2, seq_len, model_dim, ema_ndim);
          problem.run();
          expect_forward_exact(problem);
          problem.expect_guards_intact();
          for (const auto* output : {&problem.dx, &problem.dstate_in, &problem.dq, &problem.dc}) {
            for (const float value : *output) ASSERT_TRUE(std::isfinite(value));
          }
        }
      }
    }
  }
  EXPECT_GE(seen, 1);
}

TEST_F(EveryInstructionSet, GivesTheSameGradientsWithinRounding) {
  Problem best(2, 150, 37, 11);
  best.run();
  const int64_t supported = hwy::SupportedTargets();
  for (int64_t bit = 0; bit < 62; ++bit) {
    const int64_t target = int64_t{1} << bit;
    if ((supported & target) == 0) continue;
    use(target);
    SCOPED_TRACE(ema_target());
    Problem other(2, 150, 37, 11);
    other.run();
    const auto expected = best.outputs(), actual = other.outputs();
    for (size_t k = 0; k + 1 < expected.size(); ++k) {  // all but the workspace
      double worst = 0, largest = 0;
      for (size_t i = 0; i < expected[k]->size() - Problem::kGuard; ++i) {
        worst = std::max(worst, static_cast<double>(std::abs((*expected[k])[i] - (*actual[k])[i])));
        largest = std::max(largest, static_cast<double>(std::abs((*expected[k])[i])));
      }
      EXPECT_LT(worst, 3e-6 * largest) << "output " << k;
    }
  }
}

/// Cuts the range as unevenly as it may, on threads of its own.
void uneven_threads(int64_t begin, int64_t end, int64_t /*grain*/, const std::function<void(int64_t, int64_t)>& body) {
  std::vector<std::thread> threads;
  for (int64_t size = 1; begin < end; begin += size, size += 2) {
    threads.emplace_back([&body, begin, stop = std::min(begin + size, end)] { body(begin, stop); });
  }
  for (auto& thread : threads) thread.join();
}

TEST(Ema, ResultsDoNotDependOnHowTheWorkIsCut) {
  for (const int64_t seq_len : {2, 200}) {
    Problem serial(3, seq_len, 70, 5), threaded(3, seq_len, 70, 5);
    serial.run();
    threaded.run(uneven_threads);
    const auto expected = serial.outputs(), actual = threaded.outputs();
    for (size_t k = 0; k + 1 < expected.size(); ++k) EXPECT_EQ(*expected[k], *actual[k]) << "output " << k;
  }
}

/// Outputs that are large, aligned and whole lines go past the caches: forward and dx of such a call, against pieces too small for that.
template <class T>
void expect_streamed_as_stored(Element element, int64_t seq_len) {
  constexpr int64_t kModelDim = 65 * 16, kEmaDim = 2, kPieces = 4;  // an odd number of groups, so that one has no other half
  const int64_t elements = seq_len * kModelDim;
  const Problem numbers(1, 4, kModelDim, kEmaDim);
  const auto aligned = [&] { return hwy::AllocateAligned<T>(static_cast<size_t>(elements)); };
  const auto x = aligned(), streamed = aligned(), stored = aligned();
  std::mt19937 random(7);
  std::uniform_int_distribution<int> integer(-9, 9);
  for (int64_t i = 0; i < elements; ++i) from_float(static_cast<float>(integer(random)), x.get() + i);
  std::fill_n(streamed.get(), elements, T{0x7fc1});
  std::vector<float> state(numbers.state_in.size());
  const auto scan = [&](T* y, int64_t begin, int64_t end, const ParallelFor& parallel_for) {
    const EmaShape shape = {.batch_size = 1, .seq_len = end - begin, .model_dim = kModelDim, .ema_ndim = kEmaDim, .element = element};
    std::vector<float> workspace(static_cast<size_t>(ema_forward_workspace(shape)));
    ema_forward({.shape = shape,
                 .x = {x.get() + begin * kModelDim, 0, kModelDim},
                 .y = {y + begin * kModelDim, 0, kModelDim},
                 .q = numbers.q.data(),
                 .c = numbers.c.data(),
                 .state_in = state.data(),
                 .state_out = state.data(),
                 .workspace = workspace.data()},
                parallel_for);
  };
  scan(streamed.get(), 0, seq_len, uneven_threads);
  std::fill(state.begin(), state.end(), 0.0f);
  for (int64_t piece = 0; piece < kPieces; ++piece) scan(stored.get(), piece * seq_len / kPieces, (piece + 1) * seq_len / kPieces, serial_for);
  EXPECT_EQ(std::memcmp(streamed.get(), stored.get(), static_cast<size_t>(elements) * sizeof(T)), 0);
}

TEST_F(EveryInstructionSet, WritesLargeOutputsPastTheCachesWithTheSameResult) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    use(target);
    SCOPED_TRACE(hwy::TargetName(target));
    expect_streamed_as_stored<float>(Element::kFloat, 4404);
    expect_streamed_as_stored<uint16_t>(Element::kBFloat16, 8404);
  }
}

TEST(Ema, FlushesDenormalsAndRestoresTheMode) {
  volatile float tiny = 1e-39f;
  EXPECT_GT(tiny * 1.0f, 0.0f);
  {
    const FlushDenormals flush;
    EXPECT_EQ(tiny * 1.0f, 0.0f);
  }
  EXPECT_GT(tiny * 1.0f, 0.0f);

  Problem problem(1, 400, 16, 4);  // every state decays to nothing
  std::fill(problem.x.begin(), problem.x.end(), 0.0f);
  std::fill(problem.q.begin(), problem.q.end(), 0.5f);
  problem.run();
  for (int64_t i = 0; i < 64; ++i) EXPECT_EQ(problem.state_out[static_cast<size_t>(i)], 0.0f);
  EXPECT_GT(tiny * 1.0f, 0.0f);
}

TEST(Ema, WritesOnlyTheGradientsThatAreWanted) {
  Problem all(2, 150, 20, 5), some(2, 150, 20, 5);
  all.run();
  const int64_t row = 150 * 20;
  EmaBackward call = {.shape = some.shape,
                      .x = {some.x.data(), row, 20},
                      .dy = {some.dy.data(), row, 20},
                      .q = some.q.data(),
                      .c = some.c.data(),
                      .state_in = some.state_in.data(),
                      .dstate_out = some.dstate_out.data(),
                      .dq = some.dq.data(),
                      .dc = some.dc.data(),
                      .workspace = some.workspace.data()};
  ema_backward(call, serial_for);
  EXPECT_EQ(some.dq, all.dq);
  EXPECT_EQ(some.dc, all.dc);
  call.dq = call.dc = nullptr;
  call.dx = {some.dx.data(), row, 20};
  call.dstate_in = some.dstate_in.data();
  ema_backward(call, serial_for);
  EXPECT_EQ(some.dx, all.dx);
  EXPECT_EQ(some.dstate_in, all.dstate_in);
}

}  // namespace
}  // namespace everlong::kernels
