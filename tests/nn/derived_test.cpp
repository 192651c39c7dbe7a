#include "everlong/nn/derived.h"

#include <gtest/gtest.h>

#include "everlong/tensor/torch.h"

namespace everlong::nn {
namespace {

struct Counted {
  Derived<at::Tensor> derived;
  int made = 0;
  at::Tensor get(const at::Tensor& parameter, int64_t key = 0) {
    return derived.get({parameter}, key, [&] { return ++made, parameter * 2; });
  }
};

TEST(Derived, IsKeptInInferenceUntilAParameterChangesOrIsReplaced) {
  const at::NoGradGuard no_grad;
  Counted counted;
  at::Tensor parameter = at::ones({3});
  (void)counted.get(parameter);
  EXPECT_EQ(counted.get(parameter).sum().item<float>(), 6.0f);
  EXPECT_EQ(counted.made, 1);
  parameter.add_(1);
  EXPECT_EQ(counted.get(parameter).sum().item<float>(), 12.0f);
  parameter.set_data(at::full({3}, 5.0f));
  EXPECT_EQ(counted.get(parameter).sum().item<float>(), 30.0f);
  (void)counted.get(parameter, 7);
  EXPECT_EQ(counted.made, 4);
}

TEST(Derived, IsMadeAnewWhereGradientsOrASecondRunFollow) {
  Counted counted;
  const at::Tensor parameter = at::ones({3}).requires_grad_(true);
  (void)counted.get(parameter);
  counted.get(parameter).sum().backward();
  EXPECT_EQ(parameter.grad().sum().item<float>(), 6.0f);
  EXPECT_EQ(counted.made, 2);
  std::vector<bool> inference;
  const at::Tensor x = at::ones({3}).requires_grad_(true);
  run_checkpointed(x, [&](const at::Tensor& in, bool) { return inference.push_back(is_inference()), in * counted.get(parameter); }).sum().backward();
  EXPECT_EQ(inference, (std::vector<bool>{false, false}));
  EXPECT_EQ(counted.made, 4);
  const at::NoGradGuard no_grad;
  EXPECT_TRUE(is_inference());
}

}  // namespace
}  // namespace everlong::nn
