// What every architecture of the registry promises, tested on its tiny configuration and on variants of it.

#include <algorithm>
#include <cmath>
#include <iostream>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/model_directory.h"
#include "everlong/models/state_file.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

struct Variant {
  std::string name;
  std::string architecture;
  Overrides overrides = {};
};

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const auto& architecture : models::architectures()) all.push_back({std::string(architecture.name), std::string(architecture.name)});
  for (const std::string function : {"softmax", "relu2", "laplace"})
    for (const std::string bias : {"rotary", "simple"}) {
      all.push_back({"mega_" + function + "_" + bias, "mega", {{"attention_activation", function}, {"relative_positional_bias", bias}}});
      all.push_back({"mega_unchunked_" + function + "_" + bias,
                     "mega",
                     {{"attention_activation", function},
                      {"relative_positional_bias", bias},
                      {"use_chunking", false},
                      {"chunk_size", int64_t{-1}},
                      {"max_positions", int64_t{64}}}});
    }
  for (const std::string norm : {"layernorm", "rmsnorm", "batchnorm"})
    all.push_back(
        {"mega_postnorm_" + norm, "mega", {{"normalization_type", norm}, {"normalize_before_mega", false}, {"normalize_before_ffn", false}}});
  all.push_back({"mega_plain",
                 "mega",
                 {{"use_normalized_ffn", false}, {"norm_affine", false}, {"add_lm_hidden_dense_layer", false}, {"tie_word_embeddings", false}}});
  all.push_back({"mega_truncated", "mega", {{"truncation", int64_t{3}}}});
  const std::vector<std::pair<std::string, Overrides>> megalodons = {
      {"tied_scaled_one_head", {{"share_emb", true}, {"scale_emb", true}, {"num_heads", int64_t{1}}}},
      {"plain_odd_groups",
       {{"swiglu", false}, {"rescale_nffn", false}, {"norm_affine", false}, {"norm_num_groups", int64_t{5}}, {"cema_ndim", int64_t{3}}}},
      {"chunk_of_three", {{"chunk_size", int64_t{3}}}},
      {"window_of_five", {{"attention_window", int64_t{5}}}},
      {"capped", {{"tsn_policy", std::string("capped")}, {"norm_count_cap", int64_t{6}}}},
  };
  for (const auto& [name, overrides] : megalodons) all.push_back({"megalodon_" + name, "megalodon", overrides});
  all.push_back({"transformer_tied", "transformer", {{"tie_word_embeddings", true}, {"num_key_value_heads", int64_t{4}}}});
  return all;
}

std::unique_ptr<models::ArchitectureConfig> make_config(const Variant& variant) { return tiny_config(variant.architecture, variant.overrides); }

constexpr double kExact = 1e-11;  // fp64 through sums of a few hundred terms of order one

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

/// The largest difference, relative to the largest expected magnitude, between values that must agree; told once, after all tests.
class LargestDifference final : public ::testing::Environment {
 public:
  void note(double relative) {
    if (relative <= largest_) return;
    largest_ = relative;
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    where_ = std::string(test->test_suite_name()) + "." + test->name();
  }

  void TearDown() override {
    if (where_.empty()) return;
    std::cout << "conformance, fp64: the largest relative difference is " << largest_ << ", in " << where_ << std::endl;
  }

 private:
  double largest_ = -1;
  std::string where_;
};

auto* const largest_difference = static_cast<LargestDifference*>(::testing::AddGlobalTestEnvironment(new LargestDifference));

class Conformance : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    config_ = make_config(GetParam());
    model_ = tiny_model(*config_);
  }
  at::Tensor read(const at::Tensor& tokens) { return model_->forward({.tokens = tokens}, model_->model().initial_state(tokens.size(0))).logits; }

  void TearDown() override {
    if (largest_ >= 0) RecordProperty("largest_relative_difference", c10::str(largest_));
  }

  /// The largest absolute difference of what must agree; its relative size is noted.
  double measured(const at::Tensor& actual, const at::Tensor& expected) {
    const double absolute = difference(actual, expected);
    note(absolute == 0 ? 0 : absolute / expected.abs().max().item<double>());
    return absolute;
  }
  double measured(const nn::State& actual, const nn::State& expected) {
    const double absolute = state_difference(actual, expected);  // infinite unless positions and shapes agree
    for (size_t i = 0; std::isfinite(absolute) && i < expected.tensors().size(); ++i)
      if (expected.tensors()[i].numel() > 0) static_cast<void>(measured(actual.tensors()[i].to(at::kDouble), expected.tensors()[i].to(at::kDouble)));
    return absolute;
  }

  const at::NoGradGuard no_grad_;
  std::unique_ptr<models::ArchitectureConfig> config_;
  std::shared_ptr<models::CausalLm> model_;

 private:
  void note(double relative) {
    largest_ = std::max(largest_, relative);
    largest_difference->note(relative);
  }

  double largest_ = -1;
};

TEST_P(Conformance, AnyCutOfASequenceIntoCallsGivesTheSameLogitsAndState) {
  const auto tokens = random_tokens(*model_, 2, 41);
  const auto whole = model_->forward({.tokens = tokens}, model_->model().initial_state(2));
  std::vector<std::vector<int64_t>> cuts = {std::vector<int64_t>(41, 1), {8, 8, 8, 8, 8, 1}, {7, 1, 9, 24}, {16, 25}, {1, 40}};
  for (uint64_t seed = 0; seed < 8; ++seed) cuts.push_back(random_pieces(41, seed));
  for (const auto& pieces : cuts) {
    const auto cut = read_in_pieces(*model_, tokens, pieces);
    EXPECT_LT(measured(cut.logits, whole.logits), kExact);
    EXPECT_LT(measured(cut.state, whole.state), kExact);
  }
}

TEST_P(Conformance, ACallWithoutAStateEqualsOneThatBeginsWithAFreshState) {
  const auto tokens = random_tokens(*model_, 2, 20);
  const auto uncached = model_->forward({.tokens = tokens});
  const bool truncated = GetParam().name == "mega_truncated";  // published behaviour: the truncation holds without a state only
  const auto whole = read(tokens);
  if (truncated) {
    EXPECT_GT(difference(uncached.logits, whole), 1e-3);
  } else {
    EXPECT_LT(measured(uncached.logits, whole), kExact);
  }
}

TEST_P(Conformance, AStateSavedAndLoadedMidwayContinuesBitForBit) {
  const TemporaryFolder folder;
  const auto tokens = random_tokens(*model_, 2, 30);
  auto first = model_->forward({.tokens = tokens.narrow(1, 0, 11)}, model_->model().initial_state(2));
  models::save_state(folder / "state.safetensors", first.state, model_->model().state_layout(), *config_, "bytes");
  auto loaded = models::load_state(folder / "state.safetensors", model_->model().state_layout(), *config_, "bytes").state;
  const auto direct = model_->forward({.tokens = tokens.narrow(1, 11, 19)}, std::move(first.state));
  const auto reloaded = model_->forward({.tokens = tokens.narrow(1, 11, 19)}, std::move(loaded));
  EXPECT_TRUE(at::equal(direct.logits, reloaded.logits));
  EXPECT_EQ(state_difference(direct.state, reloaded.state), 0);
}

TEST_P(Conformance, ALoadedStateForksWithoutTouchingItsOrigin) {
  const auto tokens = random_tokens(*model_, 1, 24);
  auto read_part = model_->forward({.tokens = tokens.narrow(1, 0, 10)}, model_->model().initial_state(1));
  const auto original = read_part.state.clone();
  static_cast<void>(model_->forward({.tokens = tokens.narrow(1, 10, 3)}, read_part.state.clone()));
  static_cast<void>(model_->forward({.tokens = tokens.narrow(1, 13, 3)}, read_part.state.select(at::zeros({1}, at::kLong))));
  static_cast<void>(model_->forward({.tokens = tokens.narrow(1, 14, 3)}, read_part.state.to(at::kCPU)));
  EXPECT_EQ(state_difference(read_part.state, original), 0);
}

TEST_P(Conformance, RowsOfAStateArePermutedDroppedAndRepeated) {
  const auto tokens = random_tokens(*model_, 3, 26);
  auto first = model_->forward({.tokens = tokens.narrow(1, 0, 13)}, model_->model().initial_state(3));
  const auto rows = at::tensor({2, 0, 2}, at::kLong);
  const auto chosen = model_->forward({.tokens = tokens.narrow(1, 13, 13).index_select(0, rows)}, first.state.select(rows));
  const auto whole = model_->forward({.tokens = tokens.narrow(1, 13, 13)}, std::move(first.state));
  EXPECT_LT(measured(chosen.logits, whole.logits.index_select(0, rows)), kExact);
}

TEST_P(Conformance, RowsAtDifferentPositionsAdvanceTogether) {
  const auto tokens = random_tokens(*model_, 2, 40);
  auto a = model_->forward({.tokens = tokens.narrow(0, 0, 1).narrow(1, 0, 13)}, model_->model().initial_state(1));
  // Row 1 reads 5 tokens, row 0 reads 13; then both read 20 more in one call and one by one.
  const auto valid = at::zeros({2, 13}, at::kBool);
  valid[0].fill_(true);
  valid[1].narrow(0, 0, 5).fill_(true);
  auto ragged = model_->forward({.tokens = tokens.narrow(1, 0, 13), .valid = valid}, model_->model().initial_state(2));
  EXPECT_EQ(ragged.state.positions(), (std::vector<int64_t>{13, 5}));
  const auto next = at::stack({tokens[0].narrow(0, 13, 20), tokens[1].narrow(0, 5, 20)});
  const auto together = model_->forward({.tokens = next}, ragged.state.clone());
  nn::State state = std::move(ragged.state);
  std::vector<at::Tensor> steps;
  for (int64_t t = 0; t < 20; ++t) {
    auto step = model_->forward({.tokens = next.narrow(1, t, 1)}, std::move(state));
    steps.push_back(step.logits);
    state = std::move(step.state);
  }
  EXPECT_LT(measured(at::cat(steps, 1), together.logits), kExact);
  EXPECT_LT(measured(state, together.state), kExact);
  EXPECT_LT(measured(together.logits[0], read(tokens.narrow(1, 0, 33))[0].narrow(0, 13, 20)), kExact);
  EXPECT_LT(measured(together.logits[1], read(tokens.narrow(1, 0, 25))[1].narrow(0, 5, 20)), kExact);
}

TEST_P(Conformance, AStateOfAnotherConfigurationIsRefused) {
  auto other_config = config_->clone();
  other_config->set_vocabulary(config_->vocabulary() + 1);
  const auto other = tiny_model(*other_config);
  EXPECT_THROW(static_cast<void>(other->forward({.tokens = random_tokens(*other, 1, 3)}, model_->model().initial_state(1))), StateError);

  const TemporaryFolder folder;
  models::save_state(folder / "s", model_->model().initial_state(1), model_->model().state_layout(), *config_, "bytes");
  try {
    static_cast<void>(models::load_state(folder / "s", other->model().state_layout(), *other_config, "bytes"));
    FAIL() << "a state of another configuration was loaded";
  } catch (const StateError& error) {
    EXPECT_NE(std::string(error.what()).find("vocab_size=37 in the file, vocab_size=38 in the model"), std::string::npos) << error.what();
  }
  EXPECT_THROW(static_cast<void>(models::load_state(folder / "s", model_->model().state_layout(), *config_, "other tokenizer")), StateError);
}

TEST_P(Conformance, ChangingATokenChangesNothingBeforeIt) {
  const auto tokens = random_tokens(*model_, 1, 24);
  const auto before = read(tokens);
  for (const int64_t t : {1, 7, 8, 15, 23}) {
    auto changed = tokens.clone();
    changed[0][t] = (changed[0][t] + 1) % model_->model().vocab_size();
    const auto after = read(changed);
    EXPECT_TRUE(at::equal(after.narrow(1, 0, t), before.narrow(1, 0, t))) << "token " << t;
    EXPECT_GT(difference(after.narrow(1, t, 1), before.narrow(1, t, 1)), 1e-6) << "token " << t;
  }
}

TEST_P(Conformance, RowsOfABatchDoNotMeet) {
  const auto tokens = random_tokens(*model_, 3, 19);
  const auto together = read(tokens);
  for (int64_t row = 0; row < 3; ++row) EXPECT_LT(measured(read(tokens.narrow(0, row, 1))[0], together[row]), kExact);
}

TEST_P(Conformance, PaddingOnTheRightChangesNothing) {
  const auto tokens = random_tokens(*model_, 2, 21);
  const auto valid = at::ones({2, 21}, at::kBool);
  valid[1].narrow(0, 14, 7).fill_(false);
  const auto padded = model_->forward({.tokens = tokens, .valid = valid}, model_->model().initial_state(2));
  const auto alone = model_->forward({.tokens = tokens.narrow(0, 1, 1).narrow(1, 0, 14)}, model_->model().initial_state(1));
  EXPECT_LT(measured(padded.logits[1].narrow(0, 0, 14), alone.logits[0]), kExact);
  EXPECT_LT(measured(padded.logits[0], read(tokens)[0]), kExact);
  const auto more = random_tokens(*model_, 1, 9, 5);
  auto row = padded.state.select(at::ones({1}, at::kLong));
  const auto after_padding = model_->forward({.tokens = more}, std::move(row));
  const auto after_alone = model_->forward({.tokens = more}, alone.state.clone());
  EXPECT_LT(measured(after_padding.logits, after_alone.logits), kExact);
}

TEST_P(Conformance, PackedDocumentsEqualSeparateDocuments) {
  const auto tokens = random_tokens(*model_, 2, 30);
  const auto documents = at::zeros({2, 30}, at::kLong);
  documents[0].narrow(0, 11, 19).fill_(1);
  documents[0].narrow(0, 25, 5).fill_(2);
  documents[1].narrow(0, 16, 14).fill_(1);
  auto packed = model_->forward({.tokens = tokens, .document_ids = documents}, model_->model().initial_state(2));
  const auto expect_part = [&](int64_t row, int64_t begin, int64_t len) {
    const auto alone = read(tokens.narrow(0, row, 1).narrow(1, begin, len));
    EXPECT_LT(measured(packed.logits[row].narrow(0, begin, len), alone[0]), kExact) << "row " << row << ", document at " << begin;
  };
  expect_part(0, 0, 11);
  expect_part(0, 11, 14);
  expect_part(0, 25, 5);
  expect_part(1, 0, 16);
  expect_part(1, 16, 14);
  EXPECT_EQ(packed.state.positions(), (std::vector<int64_t>{5, 14}));
  const auto more = random_tokens(*model_, 2, 12, 9);
  const auto continued = model_->forward({.tokens = more}, std::move(packed.state));
  EXPECT_LT(measured(continued.logits[0], read(at::cat({tokens.narrow(1, 25, 5), more}, 1))[0].narrow(0, 5, 12)), kExact);
}

TEST_P(Conformance, ARestartedRowBeginsAnew) {
  const auto tokens = random_tokens(*model_, 2, 15);
  auto state = model_->forward({.tokens = tokens}, model_->model().initial_state(2)).state;
  state.restart_(at::tensor({1, 0}, at::kLong).to(at::kBool));
  const auto more = random_tokens(*model_, 2, 12, 4);
  const auto after = model_->forward({.tokens = more}, std::move(state));
  EXPECT_LT(measured(after.logits[0], read(more)[0]), kExact);
  EXPECT_GT(difference(after.logits[1], read(more)[1]), 1e-6);
}

TEST_P(Conformance, ConfigurationAndWeightsSurviveTheDisk) {
  const TemporaryFolder folder;
  const auto f32 = tiny_model(*config_, at::kFloat);
  models::save_model(folder.path(), *f32);
  const auto loaded = models::load_causal_lm(folder.path());
  EXPECT_EQ(loaded.model->config().fingerprint(), config_->fingerprint());
  EXPECT_TRUE(loaded.report.unexpected.empty());
  const auto theirs = checkpoint::own_tensors(*loaded.model);
  for (const auto& [name, tensor] : checkpoint::own_tensors(*f32)) EXPECT_TRUE(at::equal(theirs.at(name), tensor)) << name;
  const auto tokens = random_tokens(*f32, 1, 9);
  EXPECT_TRUE(at::equal(loaded.model->forward({.tokens = tokens}).logits, f32->forward({.tokens = tokens}).logits));
}

TEST_P(Conformance, TheParameterCountIsTheClosedForm) { EXPECT_EQ(models::count_parameters(*model_), config_->parameter_count()); }

TEST_P(Conformance, StateBytesAreKnownBeforehand) {
  const auto state = model_->forward({.tokens = random_tokens(*model_, 3, 17)}, model_->model().initial_state(3)).state;
  EXPECT_EQ(state.bytes(), 3 * model_->model().state_layout().bytes_per_row(17, at::kDouble));
  EXPECT_EQ(model_->model().state_layout().bounded(), model_->model().capabilities().bounded_state);
}

TEST_P(Conformance, TwoRunsAreEqual) {
  const auto tokens = random_tokens(*model_, 2, 23);
  EXPECT_TRUE(at::equal(read(tokens), read(tokens)));
  EXPECT_TRUE(at::equal(tiny_model(*config_)->forward({.tokens = tokens}).logits, tiny_model(*config_)->forward({.tokens = tokens}).logits));
}

TEST_P(Conformance, CheckpointedGradientsEqualPlainOnes) {
  const at::AutoGradMode with_gradients(true);
  const auto tokens = random_tokens(*model_, 2, 20), targets = random_tokens(*model_, 2, 20, 3);
  const auto gradients = [&](bool checkpointed) {
    model_->model().set_activation_checkpointing(checkpointed);
    model_->zero_grad();
    model_->loss({.tokens = tokens}, targets, model_->model().initial_state(2)).mean.backward();
    std::map<std::string, at::Tensor> found;
    for (const auto& item : model_->named_parameters())
      found.emplace(item.key(), item.value().grad().defined() ? item.value().grad().clone() : at::Tensor());
    return found;
  };
  const auto plain = gradients(false), checkpointed = gradients(true);
  for (const auto& [name, gradient] : plain) {
    ASSERT_EQ(gradient.defined(), checkpointed.at(name).defined()) << name;
    if (gradient.defined()) {
      EXPECT_LT(measured(gradient, checkpointed.at(name)), 1e-12) << name;
    }
  }
}

TEST_P(Conformance, TokensOutsideTheVocabularyAreRefused) {
  auto tokens = random_tokens(*model_, 1, 5);
  tokens[0][2] = model_->model().vocab_size();
  EXPECT_THROW(static_cast<void>(read(tokens)), InvalidArgument);
  tokens[0][2] = -1;
  EXPECT_THROW(static_cast<void>(read(tokens)), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(Registry, Conformance, ::testing::ValuesIn(variants()), [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace everlong::testing
