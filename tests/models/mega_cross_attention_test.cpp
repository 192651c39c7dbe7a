// Decoders that attend to encoder states: what holds for a stream of tokens holds for one with a memory.

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/state_file.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using Overrides = std::vector<std::pair<std::string, ConfigValue>>;
constexpr double kExact = 1e-11;

struct Variant {
  std::string name;
  Overrides overrides;
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const std::string function : {"softmax", "relu2", "laplace"}) {
    all.push_back({function + "_chunked", {{"attention_activation", function}}});
    all.push_back({function + "_simple",
                   {{"attention_activation", function}, {"relative_positional_bias", std::string("simple")}, {"use_chunking", false}, {"chunk_size", int64_t{-1}},
                    {"max_positions", int64_t{64}}}});
  }
  all.push_back({"postnorm", {{"normalize_before_mega", false}, {"normalization_type", std::string("layernorm")}}});
  return all;
}

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

class MegaCrossAttention : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    config_ = models::find_architecture("mega").tiny_config();
    config_->fields().set("add_cross_attention", true);
    for (const auto& item : GetParam().overrides) config_->fields().set(item.first, item.second);
    model_ = tiny_model(*config_);
    at::manual_seed(8);
    memory_ = at::randn({3, 7, model_->model().hidden_size()}, at::kDouble);
    valid_ = at::ones({3, 7}, at::kBool);
    valid_[1].narrow(0, 5, 2).fill_(false);
  }

  [[nodiscard]] models::ModelInput input(const at::Tensor& tokens, bool with_memory = true) const {
    models::ModelInput made{.tokens = tokens};
    if (!with_memory) return made;
    made.memory = memory_;
    made.memory_valid = valid_;
    return made;
  }
  [[nodiscard]] models::ModelInput row(const at::Tensor& tokens, int64_t i) const {
    return {.tokens = tokens.narrow(0, i, 1), .memory = memory_.narrow(0, i, 1), .memory_valid = valid_.narrow(0, i, 1)};
  }
  [[nodiscard]] nn::State fresh(int64_t rows) const { return model_->model().initial_state(rows); }

  /// Reads in pieces: the memory with the first, or with each.
  models::CausalLm::Logits pieces(const at::Tensor& tokens, const std::vector<int64_t>& lengths, bool each_time) {
    nn::State state = fresh(tokens.size(0));
    std::vector<at::Tensor> logits;
    int64_t begin = 0;
    for (const int64_t len : lengths) {
      auto out = model_->forward(input(tokens.narrow(1, begin, len), begin == 0 || each_time), std::move(state));
      logits.push_back(out.logits);
      state = std::move(out.state);
      begin += len;
    }
    return {.logits = at::cat(logits, 1), .state = std::move(state)};
  }

  const at::NoGradGuard no_grad_;
  std::unique_ptr<models::ArchitectureConfig> config_;
  std::shared_ptr<models::CausalLm> model_;
  at::Tensor memory_, valid_;
};

TEST_P(MegaCrossAttention, AnyCutIntoCallsEqualsTheUncachedCall) {
  const auto tokens = random_tokens(*model_, 3, 27);
  const auto whole = model_->forward(input(tokens));
  std::vector<std::vector<int64_t>> cuts = {std::vector<int64_t>(27, 1), {8, 8, 11}, {1, 26}, {27}};
  for (uint64_t seed = 0; seed < 6; ++seed) cuts.push_back(random_pieces(27, seed));
  for (const auto& cut : cuts)
    for (const bool each_time : {false, true}) EXPECT_LT(difference(pieces(tokens, cut, each_time).logits, whole.logits), kExact) << each_time;
}

TEST_P(MegaCrossAttention, TheMemoryCounts) {
  const auto tokens = random_tokens(*model_, 3, 9);
  const auto before = model_->forward(input(tokens)).logits;
  memory_[0][3] += 1.0;
  const auto after = model_->forward(input(tokens)).logits;
  EXPECT_GT(difference(after[0], before[0]), 1e-4);
  EXPECT_TRUE(at::equal(after.narrow(0, 1, 2), before.narrow(0, 1, 2)));
}

TEST_P(MegaCrossAttention, MaskedMemoryIsNotSeenAndEqualsShorterMemory) {
  const auto tokens = random_tokens(*model_, 3, 9);
  const auto before = model_->forward(input(tokens)).logits;
  memory_[1].narrow(0, 5, 2).fill_(3.0);
  EXPECT_LT(difference(model_->forward(input(tokens)).logits, before), kExact);
  const auto alone = model_->forward({.tokens = tokens.narrow(0, 1, 1), .memory = memory_.narrow(0, 1, 1).narrow(1, 0, 5)}).logits;
  EXPECT_LT(difference(alone[0], before[1]), kExact);
}

TEST_P(MegaCrossAttention, FullyMaskedMemoryIsFiniteAndSaysNothing) {
  const auto tokens = random_tokens(*model_, 3, 9);
  valid_[2].fill_(false);
  const auto before = model_->forward(input(tokens)).logits;
  EXPECT_TRUE(before.isfinite().all().item<bool>());
  memory_[2].fill_(7.0);
  EXPECT_LT(difference(model_->forward(input(tokens)).logits, before), kExact);
  EXPECT_LT(difference(pieces(tokens, {4, 1, 4}, false).logits, before), kExact);
}

TEST_P(MegaCrossAttention, RowsAtDifferentPositionsAdvanceTogether) {
  const auto tokens = random_tokens(*model_, 3, 30);
  const auto valid = at::zeros({3, 11}, at::kBool);
  const std::vector<int64_t> read = {11, 4, 8};
  for (int64_t i = 0; i < 3; ++i) valid[i].narrow(0, 0, read[static_cast<size_t>(i)]).fill_(true);
  auto first = input(tokens.narrow(1, 0, 11));
  first.valid = valid;
  auto ragged = model_->forward(first, fresh(3));
  EXPECT_EQ(ragged.state.positions(), read);
  std::vector<at::Tensor> next;
  for (int64_t i = 0; i < 3; ++i) next.push_back(tokens[i].narrow(0, read[static_cast<size_t>(i)], 12));
  const auto more = at::stack(next);
  const auto together = model_->forward({.tokens = more}, ragged.state.clone());
  nn::State state = std::move(ragged.state);
  for (int64_t t = 0; t < 12; ++t) {
    auto step = model_->forward({.tokens = more.narrow(1, t, 1)}, std::move(state));
    EXPECT_LT(difference(step.logits, together.logits.narrow(1, t, 1)), kExact) << t;
    state = std::move(step.state);
  }
  for (int64_t i = 0; i < 3; ++i) {
    const auto alone = model_->forward(row(tokens, i)).logits[0].narrow(0, read[static_cast<size_t>(i)], 12);
    EXPECT_LT(difference(together.logits[i], alone), kExact) << i;
  }
}

TEST_P(MegaCrossAttention, AStateWithMemoryIsSelectedSavedAndLoaded) {
  const TemporaryFolder folder;
  const auto tokens = random_tokens(*model_, 3, 20);
  auto first = model_->forward(input(tokens.narrow(1, 0, 9)), fresh(3));
  const auto rest = tokens.narrow(1, 9, 11);
  const auto whole = model_->forward({.tokens = rest}, first.state.clone());
  const auto rows = at::tensor({2, 1, 1, 0}, at::kLong);
  const auto chosen = model_->forward({.tokens = rest.index_select(0, rows)}, first.state.select(rows));
  EXPECT_LT(difference(chosen.logits, whole.logits.index_select(0, rows)), kExact);
  models::save_state(folder / "s", first.state, model_->model().state_layout(), *config_, "bytes");
  auto loaded = models::load_state(folder / "s", model_->model().state_layout(), *config_, "bytes").state;
  EXPECT_EQ(state_difference(loaded, first.state), 0);
  EXPECT_TRUE(at::equal(model_->forward({.tokens = rest}, std::move(loaded)).logits, whole.logits));
}

TEST_P(MegaCrossAttention, NoMemoryAtAllIsRefused) {
  EXPECT_THROW(static_cast<void>(model_->forward({.tokens = random_tokens(*model_, 1, 3)})), InvalidArgument);
  EXPECT_THROW(static_cast<void>(model_->forward({.tokens = random_tokens(*model_, 1, 3)}, fresh(1))), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Variants, MegaCrossAttention, ::testing::ValuesIn(variants()), [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace everlong::testing
