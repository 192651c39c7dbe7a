#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/attention.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::megalodon::dropkey_attention;

std::unique_ptr<models::ArchitectureConfig> tiny(const Overrides& overrides = {}) { return tiny_config("megalodon", overrides); }

std::string refusal(const Overrides& overrides) {
  try {
    tiny(overrides)->validate();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Megalodon, ContradictoryConfigurationsAreRefusedWithTheirKeys) {
  EXPECT_EQ(refusal({}), "accepted");
  EXPECT_EQ(refusal({{"num_heads", int64_t{5}}}), "[megalodon config] expected z_dim to be a multiple of num_heads, got 12 and 5.");
  EXPECT_EQ(refusal({{"num_heads", int64_t{4}}}),
            "[megalodon config] expected an even width of queries in a head, z_dim / num_heads (rotary positions), got 3.");
  EXPECT_EQ(refusal({{"value_dim", int64_t{27}}}), "[megalodon config] expected value_dim to be a multiple of num_heads, got 27 and 2.");
  EXPECT_EQ(refusal({{"norm_num_groups", int64_t{3}}}), "[megalodon config] expected model_dim to be a multiple of norm_num_groups, got 20 and 3.");
  EXPECT_NE(refusal({{"norm_num_groups", int64_t{20}}}).find("got 20 groups of one feature"), std::string::npos);
  EXPECT_EQ(refusal({{"norm_eps", 0.0}}), "[megalodon config] expected norm_eps above 0, got 0.");
  EXPECT_NE(refusal({{"share_emb", true}, {"output_size", int64_t{40}}}).find("output_size = -1 or vocab_size with share_emb"), std::string::npos);
  EXPECT_NE(refusal({{"tsn_policy", std::string("capped")}}).find("norm_count_cap >= 1"), std::string::npos);
  EXPECT_NE(refusal({{"causal", false}, {"tsn_policy", std::string("upstream_window")}}).find("tsn_policy = exact"), std::string::npos);
  EXPECT_THROW(static_cast<void>(models::CausalLm(*models::find_architecture("megalodon").make_config())), InvalidArgument);  // no vocabulary yet
}

at::Tensor logits_of(const Overrides& overrides, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  return tiny_model(*tiny(overrides))->forward({.tokens = tokens}).logits;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(Megalodon, InitialMatricesFollowTheInitMode) {
  at::manual_seed(4);
  const auto weight_of = [](const std::string& mode) {
    const models::CausalLm model(*tiny({{"model_dim", int64_t{256}}, {"ffn_hidden_dim", int64_t{192}}, {"init_mode", mode}}));
    return model.named_parameters()["model.layers.0.ffn.gate.weight"].detach().to(at::kDouble);
  };
  EXPECT_NEAR(weight_of("he").std().item<double>(), 1 / std::sqrt(3.0 * 256), 1e-3);
  EXPECT_NEAR(weight_of("bert").std().item<double>(), 0.02, 5e-4);
  EXPECT_NEAR(weight_of("gaussian").std().item<double>(), 0.987, 0.02);  // of a normal distribution cut at three deviations
  EXPECT_LE(weight_of("gaussian").abs().max().item<double>(), 3.0);
  EXPECT_NEAR(weight_of("xavier").abs().max().item<double>(), std::sqrt(6.0 / (256 + 192)), 1e-3);
  EXPECT_EQ(weight_of("none").abs().max().item<double>(), 0);
}

TEST(Megalodon, DropoutActsInTrainingOnlyAndChangesFromCallToCall) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({{"dropout", 0.2}, {"hidden_dropout", 0.2}, {"attention_dropout", 0.2}}));
  const auto tokens = random_tokens(*model, 1, 20);
  const auto run = [&] { return model->forward({.tokens = tokens}).logits; };
  EXPECT_TRUE(at::equal(run(), run()));
  model->train();
  EXPECT_FALSE(at::allclose(run(), run()));
  at::manual_seed(5);
  const auto first = run();
  at::manual_seed(5);
  EXPECT_TRUE(at::equal(first, run()));
}

TEST(Megalodon, ACapBeyondTheSequenceChangesNothingAndASmallerOneForgets) {
  const at::Tensor tokens = random_tokens(*tiny_model(*tiny()), 2, 30);
  const at::Tensor exact = logits_of({}, tokens);
  const auto capped = [&](int64_t cap) { return logits_of({{"tsn_policy", std::string("capped")}, {"norm_count_cap", cap}}, tokens); };
  EXPECT_TRUE(at::equal(capped(30), exact));
  EXPECT_LT(largest_difference(capped(10).narrow(1, 0, 10), exact.narrow(1, 0, 10)), 1e-14);
  EXPECT_GT(largest_difference(capped(10).narrow(1, 20, 10), exact.narrow(1, 20, 10)), 1e-4);
}

TEST(Megalodon, AWindowAsLongAsTheSequenceIsAChunkAsLong) {
  const at::Tensor tokens = random_tokens(*tiny_model(*tiny()), 2, 21);
  const at::Tensor chunk = logits_of({{"chunk_size", int64_t{32}}}, tokens), window = logits_of({{"attention_window", int64_t{32}}}, tokens);
  EXPECT_LT(largest_difference(chunk, window), 1e-12);
  EXPECT_GT(largest_difference(logits_of({{"attention_window", int64_t{5}}}, tokens), window), 1e-4);
}

TEST(Megalodon, StateBytesAreTheClosedForm) {
  for (const Overrides& overrides : {Overrides{}, Overrides{{"attention_window", int64_t{5}}}}) {
    const auto config = tiny(overrides);
    const auto model = tiny_model(*config, at::kFloat);
    EXPECT_EQ(model->model().initial_state(1).bytes(), config->state_bytes_per_row(100, 4));
  }
}

TEST(Megalodon, TheFormThatIsNotCausalSeesTheWholeSequenceAndDoesNotStream) {
  const at::NoGradGuard no_grad;
  at::manual_seed(6);
  const auto head = models::make_head(*tiny({{"causal", false}}), models::Task::masked_lm);
  head->to(at::kDouble);
  head->model().set_compute_dtype(at::kDouble);
  head->eval();
  const at::Tensor tokens = at::randint(37, {2, 11}, at::kLong);
  const auto run = [&](const at::Tensor& t, const at::Tensor& valid) { return head->outputs({.tokens = t, .valid = valid}).front().tensor; };
  const at::Tensor all = at::ones({2, 11}, at::kBool), logits = run(tokens, all);
  at::Tensor changed = tokens.clone();
  changed[0][7] = (changed[0][7] + 1) % 37;
  const at::Tensor after = run(changed, all);
  EXPECT_GT(largest_difference(after[0][0], logits[0][0]), 1e-6);
  EXPECT_TRUE(at::equal(after[1], logits[1]));
  at::Tensor valid = all.clone();
  valid.narrow(1, 7, 4).fill_(false);
  EXPECT_LT(largest_difference(run(tokens, valid).narrow(1, 0, 7), run(tokens.narrow(1, 0, 7), all.narrow(1, 0, 7))), 1e-12);
  EXPECT_THROW(static_cast<void>(head->model().forward({.tokens = tokens}, head->model().initial_state(2))), Unsupported);
}

/// The release's evaluation of a long text written down a second time, with a model whose statistics are exact: pairs of chunks; from the eighth on
/// the statistics after a pair are those of a run over the last six chunks from nothing.
at::Tensor read_as_released(models::CausalLm& exact, const at::Tensor& tokens, int64_t chunk_size) {
  nn::State state = exact.model().initial_state(tokens.size(0));
  std::vector<at::Tensor> logits;
  for (int64_t begin = 0; begin < tokens.size(1);) {
    const int64_t len = std::min(2 * chunk_size, tokens.size(1) - begin);
    auto read = exact.forward({.tokens = tokens.narrow(1, begin, len)}, std::move(state));
    logits.push_back(read.logits);
    state = std::move(read.state);
    begin += len;
    if (len < 2 * chunk_size || begin < 8 * chunk_size) continue;
    const at::Tensor recent = tokens.narrow(1, begin - 6 * chunk_size, 6 * chunk_size);
    const nn::State again = exact.forward({.tokens = recent}, exact.model().initial_state(tokens.size(0))).state;
    const auto& slots = exact.model().state_layout().slots();
    for (size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].kind == nn::SlotKind::statistic || slots[i].kind == nn::SlotKind::count)
        state[static_cast<nn::Slot>(i)] = again[static_cast<nn::Slot>(i)].clone();
    }
  }
  return at::cat(logits, 1);
}

TEST(Megalodon, TokensReadOneByOneInFp32GiveTheLogitsOfTheWholeSequence) {
  const at::NoGradGuard no_grad;
  for (const Overrides& overrides : {Overrides{}, Overrides{{"num_heads", int64_t{1}}}, Overrides{{"attention_window", int64_t{5}}}}) {
    const auto model = tiny_model(*tiny(overrides), at::kFloat);
    const at::Tensor tokens = random_tokens(*model, 2, 30), whole = model->forward({.tokens = tokens}).logits;
    const auto read = read_in_pieces(*model, tokens, std::vector<int64_t>(30, 1));
    EXPECT_LT((read.logits - whole).abs().max().item<double>(), 2e-5 * whole.abs().max().item<double>());
  }
}

const std::pair<std::string, ConfigValue> kUpstreamWindow{"tsn_policy", std::string("upstream_window")}, kShortChunk{"chunk_size", int64_t{3}};

TEST(MegalodonUpstreamWindow, LongTextsAreReadAsTheReleaseEvaluatesThem) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({kUpstreamWindow, kShortChunk})), exact = tiny_model(*tiny({kShortChunk}));
  const at::Tensor tokens = random_tokens(*model, 2, 41);
  const at::Tensor expected = read_as_released(*exact, tokens, 3), plain = exact->forward({.tokens = tokens}).logits;
  const at::Tensor actual = model->forward({.tokens = tokens}).logits;
  EXPECT_LT(largest_difference(actual, expected), 1e-12);
  EXPECT_LT(largest_difference(actual.narrow(1, 0, 24), plain.narrow(1, 0, 24)), 1e-12);  // eight chunks are not long yet
  EXPECT_GT(largest_difference(actual.narrow(1, 24, 6), plain.narrow(1, 24, 6)), 1e-6);
  const std::vector<std::vector<int64_t>> cuts = {{24, 6, 11}, {7, 9, 12, 2, 11}, {2, 37, 2}, {30, 11}};
  for (const auto& pieces : cuts) EXPECT_LT(largest_difference(read_in_pieces(*model, tokens, pieces).logits, expected), 1e-12);
}

TEST(MegalodonUpstreamWindow, DecodingTokenByTokenNeverLooksBack) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({kUpstreamWindow, kShortChunk})), exact = tiny_model(*tiny({kShortChunk}));
  const at::Tensor tokens = random_tokens(*model, 2, 41);
  const auto one_by_one = read_in_pieces(*model, tokens, std::vector<int64_t>(41, 1));
  EXPECT_LT(largest_difference(one_by_one.logits, exact->forward({.tokens = tokens}).logits), 1e-11);
  EXPECT_EQ(model->model().capabilities().streaming, models::Streaming::approximate);
}

TEST(MegalodonUpstreamWindow, RowsAtDifferentPlacesAreTreatedEachByItself) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({kUpstreamWindow, kShortChunk}));
  const at::Tensor first = random_tokens(*model, 1, 40), second = random_tokens(*model, 1, 30, 5);
  const auto tail = [&](const at::Tensor& tokens, int64_t begin) {
    auto state = model->forward({.tokens = tokens.narrow(1, 0, begin)}, model->model().initial_state(1)).state;
    return model->forward({.tokens = tokens.narrow(1, begin, 18)}, std::move(state)).logits;
  };
  nn::State one = model->forward({.tokens = first.narrow(1, 0, 22)}, model->model().initial_state(1)).state;
  nn::State two = model->forward({.tokens = second.narrow(1, 0, 12)}, model->model().initial_state(1)).state;
  std::vector<at::Tensor> joined;
  for (size_t i = 0; i < one.tensors().size(); ++i) joined.push_back(at::cat({one.tensors()[i], two.tensors()[i]}));
  nn::State both = model->model().state_layout().assemble(joined, at::cat({one.position(), two.position()}));
  const at::Tensor tokens = at::cat({first.narrow(1, 22, 18), second.narrow(1, 12, 18)});
  const at::Tensor logits = model->forward({.tokens = tokens}, std::move(both)).logits;
  EXPECT_LT(largest_difference(logits.narrow(0, 0, 1), tail(first, 22)), 1e-11);
  EXPECT_LT(largest_difference(logits.narrow(0, 1, 1), tail(second, 12)), 1e-11);
}

TEST(MegalodonUpstreamWindow, PackedDocumentsAndPaddingAreRefused) {
  const at::NoGradGuard no_grad;
  const auto config = tiny({kUpstreamWindow, kShortChunk});
  const auto model = tiny_model(*config);
  const at::Tensor tokens = random_tokens(*model, 1, 6), ids = at::tensor({1, 1, 1, 2, 2, 2}, at::kLong).view({1, 6});
  EXPECT_THROW(static_cast<void>(model->forward({.tokens = tokens, .document_ids = ids})), Unsupported);
  EXPECT_THROW(static_cast<void>(model->forward({.tokens = tokens, .valid = ids.eq(1)})), Unsupported);
  EXPECT_EQ(model->model().initial_state(1).bytes(), config->state_bytes_per_row(0, 8));
  model->train();
  EXPECT_EQ(model->forward({.tokens = tokens, .document_ids = ids}).logits.size(1), 6);  // training has exact statistics
}

/// A call of `rows` rows of T tokens in chunks of four.
models::megalodon::LayerCall call_in_chunks(int64_t rows, int64_t seq_len) {
  models::megalodon::LayerCall call;
  call.pieces = ops::plan_chunks(rows, seq_len, {.chunk_size = 4}).pieces;
  return call;
}

TEST(MegalodonDropKey, WithoutADropItIsChunkAttention) {
  at::manual_seed(12);
  const at::Tensor q = at::randn({3, 10, 6}, at::kDouble), k = at::randn({3, 10, 6}, at::kDouble), v = at::randn({3, 10, 5}, at::kDouble);
  auto call = call_in_chunks(3, 10);
  call.key_valid = at::ones({3, 10}, at::kBool);
  call.key_valid->select(0, 1).narrow(0, 2, 3).fill_(false);
  for (const bool causal : {true, false}) {
    const at::Tensor expected = ops::chunk_attention_reference(
        q, k, v, {}, call.pieces, {.causal = causal, .scale = 1.0, .key_valid = call.key_valid, .attend_if_all_masked = false});
    EXPECT_LT(largest_difference(dropkey_attention(q, k, v, call, causal, {.p = 0, .seed = 1}), expected), 1e-14);
  }
}

TEST(MegalodonDropKey, ShutsKeysOutBeforeTheSoftmaxAndDoesNotRescale) {
  at::manual_seed(13);
  constexpr int64_t kRows = 400;
  const at::Tensor q = at::randn({kRows, 8, 6}, at::kDouble), k = at::randn({kRows, 8, 6}, at::kDouble);
  const at::Tensor eye = at::eye(8, at::kDouble).expand({kRows, 8, 8});  // what comes out are the weights
  const auto call = call_in_chunks(kRows, 8);
  const at::Tensor weights = dropkey_attention(q, k, eye, call, true, {.p = 0.3, .seed = 7});
  const at::Tensor kept = weights.gt(0),
                   visible = at::ones({8, 8}, at::kBool).tril() & at::arange(8).div(4, "floor").unsqueeze(1).eq(at::arange(8).div(4, "floor"));
  EXPECT_FALSE((kept & visible.logical_not()).any().item<bool>());
  const at::Tensor sums = weights.sum(-1);
  EXPECT_LT((sums - kept.any(-1).to(at::kDouble)).abs().max().item<double>(), 1e-12);  // rows add up to one, or to zero where all keys are gone
  EXPECT_TRUE(sums.eq(0).any().item<bool>());
  const double share = kept.sum().item<double>() / (20.0 * kRows);
  EXPECT_NEAR(share, 0.7, 4 * std::sqrt(0.21 / (20.0 * kRows)));
  const at::Tensor scores = at::matmul(q, k.transpose(1, 2)).masked_fill(kept.logical_not(), -std::numeric_limits<double>::infinity());
  EXPECT_LT((at::softmax(scores, -1).nan_to_num(0) - weights).abs().max().item<double>(), 1e-12);
  EXPECT_TRUE(at::equal(dropkey_attention(q, k, eye, call, true, {.p = 0.3, .seed = 7}), weights));
  EXPECT_FALSE(at::equal(dropkey_attention(q, k, eye, call, true, {.p = 0.3, .seed = 8}), weights));
}

TEST(MegalodonDropKey, TrainsWithAndWithoutCheckpointsAlikeAndIsOffInEvaluation) {
  const Overrides overrides = {{"attention_dropout", 0.4}, {"attention_dropout_mode", std::string("dropkey")}};
  const auto model = tiny_model(*tiny(overrides)), plain = tiny_model(*tiny());
  const at::Tensor tokens = random_tokens(*model, 2, 20);
  EXPECT_TRUE(at::equal(model->forward({.tokens = tokens}).logits, plain->forward({.tokens = tokens}).logits));
  model->train();
  const auto gradient = [&](bool checkpointed) {
    model->model().set_activation_checkpointing(checkpointed);
    model->zero_grad();
    at::manual_seed(14);
    model->forward({.tokens = tokens}).logits.square().mean().backward();
    return model->named_parameters()["model.layers.0.attention.shared_proj.weight"].grad().clone();
  };
  const at::Tensor whole = gradient(false);
  EXPECT_TRUE(whole.isfinite().all().item<bool>());
  EXPECT_LT(largest_difference(gradient(true), whole), 1e-12);
  const auto post_softmax = tiny_model(*tiny({{"attention_dropout", 0.4}}));
  post_softmax->train();
  at::manual_seed(14);
  const at::Tensor other = post_softmax->forward({.tokens = tokens}).logits;
  at::manual_seed(14);
  EXPECT_GT(largest_difference(model->forward({.tokens = tokens}).logits, other), 1e-6);
}

}  // namespace
}  // namespace everlong::testing
