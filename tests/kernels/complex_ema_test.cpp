#include "everlong/kernels/cpu/complex_ema.h"

#include <cmath>
#include <complex>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>

namespace everlong::kernels {
namespace {

using Complex = std::complex<double>;

/// A problem with its results, all buffers poisoned, and a guard after each output that must stay as it is.
struct ComplexProblem {
  static constexpr size_t kGuard = 32;
  static constexpr float kGuardValue = 12345;

  EmaShape shape;
  std::vector<float> x, dy, q, c, omega, state_in, dstate_out;
  std::vector<float> y, state_out, dx, dstate_in, dq, dc, domega, workspace;

  ComplexProblem(int64_t batch_size, int64_t seq_len, int64_t model_dim, int64_t ema_ndim) {
    shape = {.batch_size = batch_size, .seq_len = seq_len, .model_dim = model_dim, .ema_ndim = ema_ndim};
    std::mt19937 random(5);
    std::normal_distribution<float> normal;
    std::uniform_real_distribution<float> radius(0.3f, 0.999f), angle(0.0f, 6.28f);
    const auto fill = [&](int64_t size) {
      std::vector<float> values(static_cast<size_t>(size));
      for (auto& value : values) value = normal(random);
      return values;
    };
    const int64_t rows = batch_size * seq_len * model_dim, parameters = 2 * model_dim * ema_ndim, states = batch_size * parameters;
    x = fill(rows), dy = fill(rows), q = fill(parameters), c = fill(parameters), omega = fill(model_dim);
    state_in = fill(states), dstate_out = fill(states);
    for (size_t i = 0; i < q.size(); i += 2) {
      const float r = radius(random), phase = angle(random);
      q[i] = r * std::cos(phase), q[i + 1] = r * std::sin(phase);
    }
    y = guarded(rows), dx = guarded(rows), state_out = guarded(states), dstate_in = guarded(states), dq = guarded(parameters);
    dc = guarded(parameters), domega = guarded(model_dim);
    workspace = guarded(std::max(complex_ema_forward_workspace(shape), complex_ema_backward_workspace(shape)));
  }

  static std::vector<float> guarded(int64_t size) {
    std::vector<float> values(static_cast<size_t>(size) + kGuard, std::numeric_limits<float>::quiet_NaN());
    std::fill(values.end() - kGuard, values.end(), kGuardValue);
    return values;
  }

  void run(const ParallelFor& parallel_for = serial_for) {
    const int64_t row = shape.seq_len * shape.model_dim;
    complex_ema_forward({.shape = shape,
                         .x = {x.data(), row, shape.model_dim},
                         .y = {y.data(), row, shape.model_dim},
                         .q = q.data(),
                         .c = c.data(),
                         .omega = omega.data(),
                         .state_in = state_in.data(),
                         .state_out = state_out.data(),
                         .workspace = workspace.data()},
                        parallel_for);
    std::fill(workspace.begin(), workspace.end() - kGuard, std::numeric_limits<float>::quiet_NaN());
    complex_ema_backward({.shape = shape,
                          .x = {x.data(), row, shape.model_dim},
                          .dy = {dy.data(), row, shape.model_dim},
                          .dx = {dx.data(), row, shape.model_dim},
                          .q = q.data(),
                          .c = c.data(),
                          .omega = omega.data(),
                          .state_in = state_in.data(),
                          .dstate_out = dstate_out.data(),
                          .dstate_in = dstate_in.data(),
                          .dq = dq.data(),
                          .dc = dc.data(),
                          .domega = domega.data(),
                          .workspace = workspace.data()},
                         parallel_for);
  }

  std::vector<const std::vector<float>*> outputs() const { return {&y, &state_out, &dx, &dstate_in, &dq, &dc, &domega, &workspace}; }
};

Complex pair_at(const std::vector<float>& pairs, size_t i) { return {pairs[2 * i], pairs[2 * i + 1]}; }

/// Every result by its equation in fp64, with all states stored, in the order of outputs().
std::vector<std::vector<double>> exact(const ComplexProblem& p) {
  std::vector<std::vector<double>> out;
  for (const auto* output : p.outputs()) out.emplace_back(output->size() - ComplexProblem::kGuard);
  auto &y = out[0], &state_out = out[1], &dx = out[2], &dstate_in = out[3], &dq = out[4], &dc = out[5], &domega = out[6];
  const auto seq_len = static_cast<size_t>(p.shape.seq_len), model_dim = static_cast<size_t>(p.shape.model_dim);
  const auto ema_ndim = static_cast<size_t>(p.shape.ema_ndim), states = p.state_in.size() / 2;
  const auto add = [](std::vector<double>& pairs, size_t i, Complex value) { pairs[2 * i] += value.real(), pairs[2 * i + 1] += value.imag(); };
  for (size_t z = 0; z < states; ++z) {
    const size_t k = z % (model_dim * ema_ndim), d = k / ema_ndim, first = z / (model_dim * ema_ndim) * seq_len * model_dim + d;
    const Complex q = pair_at(p.q, k), c = pair_at(p.c, k);
    const double skip = k % ema_ndim == 0 ? static_cast<double>(p.omega[d]) : 0.0, skipped = k % ema_ndim == 0 ? 1.0 : 0.0;
    std::vector<Complex> h = {pair_at(p.state_in, z)};
    for (size_t t = 0; t < seq_len; ++t) {
      const double x = p.x[first + t * model_dim], dy = p.dy[first + t * model_dim];
      h.push_back(q * h.back() + x);
      y[first + t * model_dim] += (c * h.back()).real() + skip * x;
      add(dc, k, dy * std::conj(h.back()));
      domega[d] += skipped * dy * x;
    }
    add(state_out, z, h.back());
    Complex lambda = pair_at(p.dstate_out, z);
    for (size_t t = seq_len; t-- > 0;) {
      const double dy = p.dy[first + t * model_dim];
      lambda += std::conj(c) * dy;
      dx[first + t * model_dim] += lambda.real() + skip * dy;
      add(dq, k, lambda * std::conj(h[t]));
      lambda *= std::conj(q);
    }
    add(dstate_in, z, lambda);
  }
  return out;
}

class ComplexEmaOnEveryInstructionSet : public ::testing::Test {
 protected:
  void TearDown() override { use(0); }
  static void use(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_F(ComplexEmaOnEveryInstructionSet, BothPassesFollowTheirEquations) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    use(target);
    SCOPED_TRACE(hwy::TargetName(target));
    for (const int64_t model_dim : {1, 16, 37}) {
      for (const int64_t ema_ndim : {1, 3, 16, 27}) {
        for (const int64_t seq_len : {1, 3, 7, 150}) {
          ComplexProblem problem(2, seq_len, model_dim, ema_ndim);
          problem.run();
          const auto expected = exact(problem);
          const auto actual = problem.outputs();
          for (size_t k = 0; k < actual.size(); ++k) {
            for (size_t i = expected[k].size(); i < actual[k]->size(); ++i) ASSERT_EQ((*actual[k])[i], ComplexProblem::kGuardValue);
            if (k + 1 == actual.size()) continue;  // the workspace has no meaning
            double worst = 0, largest = 0;
            for (size_t i = 0; i < expected[k].size(); ++i) {
              ASSERT_FALSE(std::isnan((*actual[k])[i])) << "output " << k;
              worst = std::max(worst, std::abs(expected[k][i] - static_cast<double>((*actual[k])[i])));
              largest = std::max(largest, std::abs(expected[k][i]));
            }
            EXPECT_LE(worst, 4e-6 * largest + 1e-6) << "output " << k << " D " << model_dim << " N " << ema_ndim << " T " << seq_len;
          }
        }
      }
    }
  }
}

/// Cuts the range as unevenly as it may.
void uneven_pieces(int64_t begin, int64_t end, int64_t /*grain*/, const std::function<void(int64_t, int64_t)>& body) {
  for (int64_t size = 1; begin < end; begin += size, size += 2) body(begin, std::min(begin + size, end));
}

TEST(ComplexEma, ResultsDoNotDependOnHowTheWorkIsCut) {
  for (const int64_t seq_len : {2, 200}) {
    ComplexProblem whole(3, seq_len, 70, 5), cut(3, seq_len, 70, 5);
    whole.run();
    cut.run(uneven_pieces);
    const auto expected = whole.outputs(), actual = cut.outputs();
    for (size_t k = 0; k + 1 < expected.size(); ++k) EXPECT_EQ(*expected[k], *actual[k]) << "output " << k;
  }
}

}  // namespace
}  // namespace everlong::kernels
