// Acceptance list 13.3 of the Megalodon specification: a test's name begins with its line. Lines 3, 4 and part of 9 are in tests/ops, line 2's golden
// cases run in tests/verify; line 10 is about several processes, which this library does not use.

#include <cmath>
#include <map>

#include <gtest/gtest.h>

#include "everlong/base/environment.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/ops/chunk_attention/chunk_attention.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::megalodon::Config;

std::unique_ptr<models::ArchitectureConfig> tiny(const Overrides& overrides = {}) { return tiny_config("megalodon", overrides); }

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

int64_t parameters_of(const std::string& preset) {
  const auto& architecture = models::find_architecture("megalodon");
  const auto config = architecture.make_config();
  config->fields().set_all(architecture.presets().at(preset));
  config->validate();
  return config->parameter_count();
}

TEST(MegalodonAcceptance, Line01ParameterCountsOfEveryPublishedSize) {
  EXPECT_EQ(parameters_of("megalodon-200m"), 220627968);
  EXPECT_EQ(parameters_of("megalodon-1.3b"), 1342832640);
  EXPECT_EQ(parameters_of("megalodon-1.3b-pg19"), 1327628288);
  EXPECT_EQ(parameters_of("megalodon-7.1b"), 7117381632);
  EXPECT_EQ(parameters_of("megalodon-7.3b"), 7385817088);
  EXPECT_EQ(parameters_of("megalodon-paper-7b"), 7385817088);
  EXPECT_EQ(parameters_of("megalodon-enwik8"), 12098112);
  Config plain;
  plain.vocab_size = 32000;
  EXPECT_EQ(plain.parameter_count(), 160542720);
  EXPECT_NEAR(static_cast<double>(parameters_of("megalodon-quickstart")), 1e6, 0.25e6);
  EXPECT_NEAR(static_cast<double>(parameters_of("megalodon-40m")), 40e6, 4e6);
}

// The vectors of a model that is filled by rule: see fill().

struct Vectors {
  std::shared_ptr<models::CausalLm> model;
  std::vector<std::string> names;  ///< of the trainable tensors in the release, in byte order
  std::map<std::string, at::Tensor> parameters;
};

/// The k-th tensor by the release's names has element i = 0.3 sin(0.37 i + 1.3 k + 0.11), rounded to fp32.
Vectors filled(const Overrides& overrides, at::ScalarType dtype = at::kDouble) {
  Config config;
  config.vocab_size = 11, config.model_dim = 8, config.num_layers = 2, config.num_heads = 2, config.z_dim = 8, config.value_dim = 12;
  config.ffn_hidden_dim = 10, config.cema_ndim = 4, config.chunk_size = 4, config.norm_num_groups = 2, config.swiglu = true,
  config.rescale_nffn = true;
  for (const auto& item : overrides) config.fields().set(item.first, item.second);
  Vectors made{.model = std::make_shared<models::CausalLm>(config), .names = {}, .parameters = {}};
  made.model->to(dtype);
  made.model->model().set_compute_dtype(dtype);
  made.model->eval();
  const auto rules = config.name_rules(models::Task::causal_lm);
  for (const auto& item : made.model->named_parameters()) made.parameters.emplace(*checkpoint::to_public_name(rules, item.key()), item.value());
  const at::NoGradGuard no_grad;
  double k = 0;
  for (auto& [name, parameter] : made.parameters) {
    const at::Tensor values = (at::arange(parameter.numel(), at::kDouble) * 0.37 + 1.3 * k + 0.11).sin() * 0.3;
    parameter.copy_(values.to(at::kFloat).view(parameter.sizes()));
    made.names.push_back(name);
    k += 1;
  }
  return made;
}

at::Tensor vector_tokens(int64_t len) {
  const at::Tensor t = at::arange(len, at::kLong), b = at::arange(2, at::kLong).unsqueeze(1);
  return (3 * t + 5 * b + t * t).remainder(11);
}

/// Mean cross-entropy of the next token; the last of each row has none.
at::Tensor vector_loss(const Vectors& vectors, int64_t len) {
  const at::Tensor tokens = vector_tokens(len);
  return vectors.model->loss({.tokens = tokens}, at::cat({tokens.narrow(1, 1, len - 1), at::full({2, 1}, -100, at::kLong)}, 1)).mean;
}

double total_norm(const Vectors& vectors) {
  double square = 0;
  for (const auto& item : vectors.parameters) square += std::pow(item.second.grad().norm().item<double>(), 2);
  return std::sqrt(square);
}

void expect_values(const at::Tensor& actual, const std::vector<double>& expected, double tolerance) {
  const at::Tensor flat = actual.to(at::kDouble).flatten();
  ASSERT_EQ(flat.numel(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(flat[static_cast<int64_t>(i)].item<double>(), expected[i], tolerance) << "entry " << i;
}

TEST(MegalodonAcceptance, Line02GoldenLogitsAndLoss) {
  const auto vectors = filled({});
  const at::Tensor logits = vectors.model->forward({.tokens = vector_tokens(12)}).logits;
  expect_values(logits[0][0].narrow(0, 0, 4), {0.1160422935, -0.0928465246, 0.0665974927, -0.0381582614}, 1e-10);
  expect_values(logits[0][5].narrow(0, 0, 4), {-1.6374258409, 1.8035597449, -1.9103828612, 1.9543823787}, 1e-10);
  expect_values(logits[1][11].narrow(0, 0, 4), {-1.1209184401, 1.1101844186, -1.0629415543, 0.9807434568}, 1e-10);
  EXPECT_NEAR(logits.sum().item<double>(), -2.6977779593, 1e-9);
  EXPECT_NEAR(logits.abs().sum().item<double>(), 245.8762613790, 1e-9);
  EXPECT_NEAR(vector_loss(vectors, 12).item<double>(), 3.0427143099, 1e-10);
}

TEST(MegalodonAcceptance, Line02GoldenGradientNorms) {
  const auto vectors = filled({});
  vector_loss(vectors, 12).backward();
  const std::vector<std::pair<std::string, std::pair<double, double>>> expected = {
      {"mega.beta", {0.003393230, 0.002182553}},          {"mega.cema.alpha", {0.009050051, 0.014239260}},
      {"mega.cema.delta", {0.000790697, 0.005459344}},    {"mega.cema.gamma", {0.088512944, 0.127719799}},
      {"mega.cema.omega", {0.171311432, 0.157216179}},    {"mega.cema.theta", {0.004526195, 0.017287038}},
      {"mega.gamma", {0.002042381, 0.001255540}},         {"mega.rmsnorm.weight", {0.045990649, 0.075093679}},
      {"mega.timenorm.bias", {0.031612795, 0.047810570}}, {"mega.timenorm.weight", {0.020237933, 0.043106021}},
      {"mega.wh1.bias", {0.050857703, 0.104282014}},      {"mega.wh1.weight", {0.140082986, 0.209468405}},
      {"mega.wh2.weight", {0.022646513, 0.016807695}},    {"mega.wr.bias", {0.003048391, 0.002926690}},
      {"mega.wr.weight", {0.008882791, 0.007461108}},     {"mega.wv.bias", {0.003801962, 0.002671547}},
      {"mega.wv.weight", {0.011488258, 0.008225265}},     {"mega.wz.bias", {0.000992801, 0.002253514}},
      {"mega.wz.weight", {0.002748179, 0.003696156}},     {"nffn.alpha", {0.259987612, 0.244904078}},
      {"nffn.fc1.weight", {0.127785795, 0.125950794}},    {"nffn.fc2.weight", {0.091613979, 0.150714761}},
      {"nffn.fc3.weight", {0.108975019, 0.093627046}},    {"nffn.norm.bias", {0.075944121, 0.080411794}},
      {"nffn.norm.weight", {0.073929211, 0.057943552}}};
  const auto norm = [&](const std::string& name) { return vectors.parameters.at(name).grad().norm().item<double>(); };
  for (const auto& [name, norms] : expected) {
    EXPECT_NEAR(norm("layers.0." + name), norms.first, 1e-9) << name;
    EXPECT_NEAR(norm("layers.1." + name), norms.second, 1e-9) << name;
  }
  EXPECT_NEAR(norm("embed.weight"), 0.958024990, 1e-9);
  EXPECT_NEAR(norm("output.final_norm.bias"), 0.146100029, 1e-9);
  EXPECT_NEAR(norm("output.final_norm.weight"), 0.351976461, 1e-9);
  EXPECT_NEAR(norm("output.output.weight"), 0.767324849, 1e-9);
  EXPECT_NEAR(total_norm(vectors), 1.4334347930, 1e-9);
}

std::map<std::string, at::Tensor> state_after(const Vectors& vectors, int64_t len) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> named;
  const auto read = vectors.model->forward({.tokens = vector_tokens(12).narrow(1, 0, len)}, vectors.model->model().initial_state(2));
  for (const auto& entry : vectors.model->model().public_state(read.state)) named.emplace(entry.name, entry.tensor);
  return named;
}

/// Ten printed digits, of rotary frequencies in fp64; those of the release are rounded to fp32, which turns the ninth token's keys by up to 3e-10
/// more.
constexpr double kPrinted = 5e-10;

TEST(MegalodonAcceptance, Line02GoldenStateAfterTwelveTokensAndKeysAfterTen) {
  const auto vectors = filled({});
  const auto state = state_after(vectors, 12);
  const auto expect_norm = [&](const std::string& name, const std::vector<double>& mean, const std::vector<double>& variance) {
    expect_values(state.at("state." + name + ".count"), {12, 12}, 0);
    expect_values(state.at("state." + name + ".mean"), mean, kPrinted);
    expect_values(state.at("state." + name + ".var"), variance, kPrinted);
  };
  expect_norm("layers.0.norm", {0.0522070637, 0.0802114987, 0.0388490296, -0.1109419462}, {0.0370895520, 0.0421223269, 0.0248104954, 0.0508698259});
  expect_norm("layers.1.norm", {0.0646806850, 0.0741103793, 0.0604259577, -0.1237308670}, {0.0434039387, 0.0439409413, 0.0423136957, 0.0549788639});
  expect_norm("final_norm", {0.0597698755, 0.0827199260, 0.0465640196, -0.0989030357}, {0.0412248390, 0.0443983764, 0.0290043284, 0.0650442078});
  const auto h = [&](int64_t layer) { return state.at("state.layers." + std::to_string(layer) + ".ema.h"); };
  expect_values(h(0)[0][0], {0.4468197938, 1.0554679965, -0.7859922960, 0.0171847580, -0.8897787315, -0.1573991681, -0.8849122927, 0.0400424457},
                kPrinted);
  expect_values(h(1)[0][0], {0.9545580030, 1.4762178055, -1.0539845840, 0.5435065961, -0.7602024426, 0.4472901898, -0.1623283502, 0.6799399457},
                kPrinted);
  EXPECT_NEAR(h(0).norm(2, -1).sum().item<double>(), 36.5902617869, 1e-9);
  EXPECT_NEAR(h(1).norm(2, -1).sum().item<double>(), 32.7522918675, 1e-9);
  EXPECT_EQ(state.at("state.layers.0.attn.k").size(1), 0);
  const at::Tensor keys = state_after(vectors, 10).at("state.layers.0.attn.k");
  ASSERT_EQ(keys.size(1), 2);
  expect_values(keys[0].select(1, 0),
                {0.1063828675, -1.0565591745, 0.0076688255, -0.6915306987, -0.3193840549, -0.6781332068, -1.0248937047, 0.3470474721}, kPrinted);
}

TEST(MegalodonAcceptance, Line02GoldenVariants) {
  struct Row {
    Overrides overrides;
    int64_t len;
    size_t tensors;
    double loss, norm;
  };
  const std::pair<std::string, ConfigValue> plain{"swiglu", false}, unscaled{"rescale_nffn", false};
  const std::vector<Row> rows = {
      {{}, 12, 54, 3.042714310, 1.433434793},
      {{}, 16, 54, 3.189415451, 1.473204779},
      {{}, 3, 54, 2.350451108, 2.835801985},
      {{}, 10, 54, 3.166240103, 1.674059087},
      {{{"chunk_size", int64_t{12}}}, 12, 54, 3.043712300, 1.432463847},
      {{{"num_heads", int64_t{1}}}, 12, 54, 3.043260814, 1.434077639},
      {{{"norm_num_groups", int64_t{4}}, {"cema_ndim", int64_t{8}}, {"rope_base", 100.0}}, 12, 54, 2.998370436, 1.249231727},
      {{unscaled}, 12, 52, 2.659830580, 1.176802364},
      {{plain, unscaled}, 12, 50, 3.028475027, 2.426068511},
      {{plain, unscaled, {"scale_emb", true}, {"share_emb", true}}, 12, 49, 3.194181367, 1.521933390},
      {{{"norm_affine", false}}, 12, 48, 2.756982503, 0.904224011},
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto vectors = filled(rows[i].overrides);
    EXPECT_EQ(vectors.names.size(), rows[i].tensors) << "row " << i;
    const at::Tensor loss = vector_loss(vectors, rows[i].len);
    loss.backward();
    EXPECT_NEAR(loss.item<double>(), rows[i].loss, 1e-9) << "row " << i;
    EXPECT_NEAR(total_norm(vectors), rows[i].norm, 1e-9) << "row " << i;
  }
}

/// How far fp32 is from fp64: logits by the largest difference, gradients by the relative norm of the difference.
struct Distance {
  double logits = 0, gradients = 0;
  std::string worst = {};
};

Distance fp32_distance(const Overrides& overrides, int64_t len) {
  const auto wide = filled(overrides), single = filled(overrides, at::kFloat);
  Distance distance;
  const auto logits = [&](const Vectors& vectors) {
    const at::NoGradGuard no_grad;
    return vectors.model->forward({.tokens = vector_tokens(len)}).logits.to(at::kDouble);
  };
  distance.logits = largest_difference(logits(single), logits(wide));
  for (const Vectors* vectors : {&wide, &single}) vector_loss(*vectors, len).backward();
  for (const auto& [name, parameter] : wide.parameters) {
    const at::Tensor expected = parameter.grad(), actual = single.parameters.at(name).grad().to(at::kDouble);
    const double relative = ((actual - expected).norm() / expected.norm()).item<double>();
    if (relative <= distance.gradients) continue;
    distance.gradients = relative;
    distance.worst = name;
  }
  return distance;
}

TEST(MegalodonAcceptance, Line02Fp32LogitsWithin2em6AndGradientsWithin1em5) {
  for (const int64_t len : {3, 10, 12, 16}) {
    const Distance distance = fp32_distance({}, len);
    EXPECT_LT(distance.logits, 2e-6) << len << " tokens";
    EXPECT_LT(distance.gradients, 1e-5) << len << " tokens, " << distance.worst;
  }
  for (const Overrides& overrides : {Overrides{{"num_heads", int64_t{1}}}, Overrides{{"rescale_nffn", false}}, Overrides{{"norm_affine", false}}}) {
    const Distance distance = fp32_distance(overrides, 12);
    EXPECT_LT(distance.logits, 2e-6) << overrides.front().first;
    EXPECT_LT(distance.gradients, 1e-5) << overrides.front().first << ", " << distance.worst;
  }
  const Distance pairs = fp32_distance({{"norm_num_groups", int64_t{4}}, {"cema_ndim", int64_t{8}}, {"rope_base", 100.0}}, 12);
  EXPECT_LT(pairs.gradients, 1e-4) << "groups of two features, " << pairs.worst;
}

TEST(MegalodonAcceptance, Line05NothingCrossesAChunkButAveragesAndStatistics) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({{"chunk_size", int64_t{8}}}));
  const at::Tensor tokens = random_tokens(*model, 1, 16);
  at::Tensor changed = tokens.clone();
  changed[0][3] = (changed[0][3] + 1) % model->model().vocab_size();
  const auto first_chunk = [&](const at::Tensor& t) { return model->forward({.tokens = t.narrow(1, 0, 8)}, model->model().initial_state(1)).state; };
  const auto second_chunk = [&](nn::State state) { return model->forward({.tokens = tokens.narrow(1, 8, 8)}, std::move(state)).logits; };
  const at::Tensor expected = second_chunk(first_chunk(tokens)), reached = second_chunk(first_chunk(changed));
  EXPECT_GT(largest_difference(reached, expected), 1e-6);

  // With averages and statistics as they were without the change, only keys and values are left to cross.
  nn::State frozen = first_chunk(changed);
  const nn::State original = first_chunk(tokens);
  const auto& slots = model->model().state_layout().slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    const auto slot = static_cast<nn::Slot>(i);
    if (slots[i].kind != nn::SlotKind::cache && slots[i].kind != nn::SlotKind::flag) frozen[slot] = original[slot].clone();
  }
  EXPECT_TRUE(at::equal(second_chunk(std::move(frozen)), expected));
}

TEST(MegalodonAcceptance, Line05TheFirstTokenOfAChunkReturnsItsOwnValue) {
  const at::NoGradGuard no_grad;
  const auto plan = ops::plan_chunks(2, 19, {.chunk_size = 8});
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    at::manual_seed(8);
    const at::Tensor q = at::randn({2, 19, 6}).to(dtype), k = at::randn({2, 19, 6}).to(dtype), v = at::randn({2, 19, 5}).to(dtype);
    const at::Tensor out = ops::chunk_attention(q, k, v, {}, plan.pieces, {.scale = 1.0});
    for (const int64_t t : {0, 8, 16}) EXPECT_TRUE(at::equal(out.select(1, t), v.select(1, t))) << "token " << t;
    EXPECT_FALSE(at::equal(out.select(1, 7), v.select(1, 7)));
  }
}

TEST(MegalodonAcceptance, Line06StreamingEqualsOneCallForRandomSplitsOfABatch) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny());
  const at::Tensor tokens = random_tokens(*model, 3, 45);
  const auto whole = model->forward({.tokens = tokens}, model->model().initial_state(3));
  for (uint64_t seed = 20; seed < 30; ++seed) {
    const auto cut = read_in_pieces(*model, tokens, random_pieces(45, seed));
    EXPECT_LT(largest_difference(cut.logits, whole.logits), 1e-11) << "seed " << seed;
    EXPECT_LT(state_difference(cut.state, whole.state), 1e-11) << "seed " << seed;
  }
}

TEST(MegalodonAcceptance, Line06ASnapshotContinuesAndBeamsMayChangeTheirOrder) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny());
  const at::Tensor tokens = random_tokens(*model, 3, 30), order = at::tensor({2, 0, 0}, at::kLong);
  const auto next = [&](const at::Tensor& t, nn::State state) { return model->forward({.tokens = t.narrow(1, 21, 9)}, std::move(state)).logits; };
  auto read = model->forward({.tokens = tokens.narrow(1, 0, 21)}, model->model().initial_state(3));
  nn::State snapshot = read.state.clone();
  const nn::State beams = read.state.select(order);
  const at::Tensor expected = next(tokens, std::move(read.state));
  EXPECT_TRUE(at::equal(next(tokens, std::move(snapshot)), expected));
  EXPECT_LT(largest_difference(next(tokens.index_select(0, order), beams.clone()), expected.index_select(0, order)), 1e-12);
}

TEST(MegalodonAcceptance, Line07AFreshModelsLossIsTheLogarithmOfTheVocabularyAndAHalf) {
  at::manual_seed(3);
  models::CausalLm model(*tiny({{"vocab_size", int64_t{512}}, {"model_dim", int64_t{128}}, {"rescale_nffn", false}}));
  const at::Tensor tokens = at::randint(512, {4, 128}, at::kLong);
  const at::NoGradGuard no_grad;
  const double loss = model.loss({.tokens = tokens}, at::randint(512, {4, 128}, at::kLong)).mean.item<double>();
  EXPECT_NEAR(loss, std::log(512.0) + 0.49, 0.1);
}

TEST(MegalodonAcceptance, Line08CoefficientsFollowAnOptimizerStepAndALoad) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny()), other = tiny_model(*tiny(), at::kDouble, /*seed=*/9);
  const at::Tensor tokens = random_tokens(*model, 1, 20);
  const auto logits = [&](models::CausalLm& lm) { return lm.forward({.tokens = tokens}).logits; };
  static_cast<void>(logits(*model));  // makes coefficients in evaluation
  auto theirs = other->named_parameters();
  const auto parameters = model->named_parameters();
  for (const auto& item : parameters) item.value().add_(theirs[item.key()] - item.value());  // in place, as an optimizer
  const at::Tensor stepped = logits(*model), expected = logits(*other);
  EXPECT_LT(largest_difference(stepped, expected), 1e-12);
  for (const auto& item : parameters) item.value().mul_(0.5);
  static_cast<void>(logits(*model));
  for (const auto& item : parameters) item.value().copy_(theirs[item.key()]);  // as a load
  EXPECT_TRUE(at::equal(logits(*model), expected));
}

TEST(MegalodonAcceptance, Line09InBf16StatisticsAndAveragesStayWide) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny(), at::kFloat);
  model->model().set_compute_dtype(at::kBFloat16);
  const auto read = model->forward({.tokens = random_tokens(*model, 2, 13)}, model->model().initial_state(2));
  const auto& slots = model->model().state_layout().slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    const at::ScalarType dtype = read.state.tensors()[i].scalar_type();
    const auto is = [&](const char* end) { return slots[i].name.ends_with(end); };
    if (is(".mean") || is(".variance")) {
      EXPECT_EQ(dtype, at::kDouble) << slots[i].name;
    }
    if (is(".ema.h")) {
      EXPECT_EQ(dtype, at::kFloat) << slots[i].name;
    }
    if (is(".key") || is(".value")) {
      EXPECT_EQ(dtype, at::kBFloat16) << slots[i].name;
    }
    if (is(".count")) {
      EXPECT_EQ(dtype, at::kLong) << slots[i].name;
    }
  }
}

TEST(MegalodonAcceptance, Line11MemoryIsFlatBeyondOneChunk) {
  constexpr int64_t C = 256;
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny({{"chunk_size", C}, {"z_dim", int64_t{64}}, {"value_dim", int64_t{512}}}), at::kFloat);
  const at::Tensor tokens = random_tokens(*model, 1, C);
  nn::State state = model->model().initial_state(1);
  std::vector<int64_t> resident, bytes;
  for (int64_t chunk = 1; chunk <= 64; ++chunk) {
    state = model->forward({.tokens = tokens}, std::move(state)).state;
    if (chunk != 1 && chunk != 4 && chunk != 64) continue;
    resident.push_back(process_memory().resident_bytes);
    bytes.push_back(state.bytes());
  }
  EXPECT_EQ(bytes, std::vector<int64_t>(3, bytes.front()));
  EXPECT_LT(resident[2] - resident[1], 8 << 20);  // keys and values of the 60 chunks between would be 35 MB a layer
}

}  // namespace
}  // namespace everlong::testing
