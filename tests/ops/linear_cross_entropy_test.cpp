#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

struct Case {
  at::Tensor hidden, weight, bias, targets;
  LinearCrossEntropyOptions options;
};

Case make_case(at::IntArrayRef leading, int64_t model_dim, int64_t vocab_size, at::ScalarType dtype, bool with_bias = true) {
  at::manual_seed(5);
  std::vector<int64_t> sizes(leading.begin(), leading.end());
  const at::Tensor targets = at::randint(vocab_size, sizes, at::kLong);
  targets.view(-1).slice(0, 1, {}, 5).fill_(-100);
  sizes.push_back(model_dim);
  const at::Tensor hidden = at::randn(sizes, at::kDouble).to(dtype);
  const at::Tensor weight = (at::randn({vocab_size, model_dim}, at::kDouble) / std::sqrt(double(model_dim))).to(dtype);
  return {hidden, weight, with_bias ? at::randn({vocab_size}, at::kDouble).to(dtype) : at::Tensor(), targets, {}};
}

using Op = LinearCrossEntropyResult (*)(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&, const LinearCrossEntropyOptions&);

/// Loss and the gradients of hidden, weight and bias (if there is one) of three times the loss.
std::vector<at::Tensor> loss_and_gradients(Case c, Op op) {
  std::vector<at::Tensor> inputs;
  for (at::Tensor* x : {&c.hidden, &c.weight, &c.bias}) {
    if (x->defined()) inputs.push_back(*x = x->detach().requires_grad_(true));
  }
  const at::Tensor loss = op(c.hidden, c.weight, c.bias, c.targets, c.options).loss;
  auto results = torch::autograd::grad({loss * 3}, inputs);
  results.insert(results.begin(), loss.detach());
  return results;
}

double relative_error(const at::Tensor& got, const at::Tensor& expected) {
  return ((got.to(at::kDouble) - expected.to(at::kDouble)).norm() / expected.to(at::kDouble).norm()).item<double>();
}

Case in_double(Case c) {
  for (at::Tensor* x : {&c.hidden, &c.weight, &c.bias}) *x = x->defined() ? x->to(at::kDouble) : *x;
  return c;
}

TEST(LinearCrossEntropy, EqualsItsReferenceAtRaggedSizes) {
  at::globalContext().setDeterministicAlgorithms(true, true);  // fresh memory is NaN
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const LossReduction reduction : {LossReduction::mean, LossReduction::sum}) {
      for (const int64_t vocab_size : {1, 7, 16, 33, 100}) {
        for (const bool with_bias : {true, false}) {
          Case c = make_case({3, 11}, 6, vocab_size, dtype, with_bias);
          c.options = {.reduction = reduction, .tokens_per_chunk = 8};
          const auto got = loss_and_gradients(c, linear_cross_entropy), expected = loss_and_gradients(in_double(c), linear_cross_entropy_reference);
          if (vocab_size == 1) {
            for (const at::Tensor& x : got) EXPECT_LE(x.abs().max().item<double>(), 1e-6);
            continue;
          }
          // fp32: a few roundings of 2^-24. bf16: logits, their gradient and each chunk's sum are rounded to 2^-9.
          const double tolerance = dtype == at::kFloat ? 2e-6 : 1e-2;
          for (size_t i = 0; i < got.size(); ++i) EXPECT_LE(relative_error(got[i], expected[i]), tolerance) << "V " << vocab_size << " part " << i;
        }
      }
    }
  }
  at::globalContext().setDeterministicAlgorithms(false, false);
}

TEST(LinearCrossEntropy, GivesTheLossOfEveryToken) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    Case c = make_case({2, 3, 7}, 6, 50, dtype);
    c.options = {.reduction = LossReduction::none, .tokens_per_chunk = 5};
    const auto got = linear_cross_entropy(c.hidden, c.weight, c.bias, c.targets, c.options);
    const Case exact = in_double(c);
    const auto expected = linear_cross_entropy_reference(exact.hidden, exact.weight, exact.bias, exact.targets, exact.options);
    EXPECT_EQ(got.loss.sizes(), c.targets.sizes());
    EXPECT_EQ(got.num_targets, c.targets.ne(-100).sum().item<int64_t>());
    EXPECT_EQ(got.loss.masked_select(c.targets.eq(-100)).abs().sum().item<double>(), 0);
    EXPECT_LE(relative_error(got.loss, expected.loss), dtype == at::kBFloat16 ? 5e-3 : 1e-6);
  }
}

TEST(LinearCrossEntropy, ReferenceIsMinusTheLogOfTheTargetsProbability) {
  Case c = make_case({9}, 4, 6, at::kDouble);
  c.options.reduction = LossReduction::none;
  const at::Tensor loss = linear_cross_entropy_reference(c.hidden, c.weight, c.bias, c.targets, c.options).loss;
  const at::Tensor probabilities = at::softmax(at::matmul(c.hidden, c.weight.t()) + c.bias, 1);
  for (int64_t t = 0; t < 9; ++t) {
    const int64_t target = c.targets[t].item<int64_t>();
    const double expected = target == -100 ? 0 : -std::log(probabilities.index({t, target}).item<double>());
    EXPECT_NEAR(loss[t].item<double>(), expected, 1e-13);
  }
}

TEST(LinearCrossEntropy, ChunkSizeChangesNothing) {
  Case c = make_case({100}, 16, 40, at::kFloat);
  c.options.tokens_per_chunk = 100;
  const auto whole = loss_and_gradients(c, linear_cross_entropy);
  for (const int64_t chunk : {1, 7, 99, 1000, 0}) {
    c.options.tokens_per_chunk = chunk;
    const auto got = loss_and_gradients(c, linear_cross_entropy);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_LE(relative_error(got[i], whole[i]), 1e-6);
  }
}

TEST(LinearCrossEntropy, LargeLogitsDoNotOverflow) {
  Case c = make_case({20}, 8, 30, at::kFloat);
  c.hidden = c.hidden * 1e4;
  const auto got = loss_and_gradients(c, linear_cross_entropy), expected = loss_and_gradients(in_double(c), linear_cross_entropy_reference);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LE(relative_error(got[i], expected[i]), 1e-5);
}

TEST(LinearCrossEntropy, AMeanOverNothingIsNaNAndASumZero) {
  Case c = make_case({6}, 4, 5, at::kFloat);
  c.targets.fill_(-100);
  EXPECT_TRUE(std::isnan(linear_cross_entropy(c.hidden, c.weight, c.bias, c.targets, c.options).loss.item<double>()));
  c.options.reduction = LossReduction::sum;
  const auto result = loss_and_gradients(c, linear_cross_entropy);
  for (const at::Tensor& x : result) EXPECT_EQ(x.abs().sum().item<double>(), 0);
}

TEST(LinearCrossEntropy, ComputesOnlyTheGradientsThatAreWanted) {
  const Case c = make_case({6}, 4, 5, at::kFloat);
  const at::Tensor hidden = c.hidden.clone().requires_grad_(true);
  const at::Tensor loss = linear_cross_entropy(hidden, c.weight, c.bias, c.targets, c.options).loss;
  loss.backward();
  EXPECT_TRUE(hidden.grad().defined());
  EXPECT_FALSE(linear_cross_entropy(c.hidden, c.weight, c.bias, c.targets, c.options).loss.requires_grad());
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(linear_cross_entropy(hidden, c.weight, c.bias, c.targets, c.options).loss.requires_grad());
}

TEST(LinearCrossEntropy, ResultsDoNotDependOnTheThreadCount) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Case c = make_case({700}, 64, 300, dtype);
    c.options.tokens_per_chunk = 256;
    const int threads = at::get_num_threads();
    at::set_num_threads(1);
    const auto one = loss_and_gradients(c, linear_cross_entropy);
    at::set_num_threads(2);
    const auto two = loss_and_gradients(c, linear_cross_entropy);
    at::set_num_threads(threads);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], two[i])) << i;
  }
}

TEST(LinearCrossEntropy, RefusesWhatCannotBeMeant) {
  const Case good = make_case({6}, 4, 5, at::kFloat);
  const auto refuses = [&](void (*spoil)(Case&), const std::string& part) {
    Case c = good;
    c.targets = good.targets.clone();
    spoil(c);
    try {
      linear_cross_entropy(c.hidden, c.weight, c.bias, c.targets, c.options);
      ADD_FAILURE() << "accepted: " << part;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refuses([](Case& c) { c.targets[2] = 5; }, "targets in [0, 5) or ignore_index -100, got 5 at token 2");
  refuses([](Case& c) { c.targets[0] = -1; }, "got -1 at token 0");
  refuses([](Case& c) { c.targets = c.targets.to(at::kInt); }, "int64 targets");
  refuses([](Case& c) { c.targets = c.targets.narrow(0, 0, 5); }, "targets [*]");
  refuses([](Case& c) { c.weight = c.weight.narrow(1, 0, 3); }, "weight [V, D]");
  refuses([](Case& c) { c.weight = c.weight.to(at::kDouble); }, "weight of the dtype");
  refuses([](Case& c) { c.bias = c.bias.narrow(0, 0, 4); }, "bias [V]");
  refuses([](Case& c) { c.hidden = at::Tensor(); }, "hidden [*, D]");
  refuses([](Case& c) { c.options.tokens_per_chunk = -1; }, "tokens_per_chunk >= 0");
  Case wanting = good;
  wanting.hidden = good.hidden.clone().requires_grad_(true);
  wanting.options.reduction = LossReduction::none;
  EXPECT_THROW(linear_cross_entropy(wanting.hidden, wanting.weight, wanting.bias, wanting.targets, wanting.options), Unsupported);
  EXPECT_THROW(linear_cross_entropy(good.hidden.to(at::kHalf), good.weight, good.bias, good.targets), Unsupported);
}

}  // namespace
}  // namespace everlong::ops
