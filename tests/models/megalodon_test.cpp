#include <cmath>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/tensor/torch.h"
#include "tests/support/torch/models.h"

namespace everlong::testing {
namespace {

using models::megalodon::Config;
using Overrides = std::vector<std::pair<std::string, ConfigValue>>;

std::unique_ptr<models::ArchitectureConfig> tiny(const Overrides& overrides = {}) {
  auto config = models::find_architecture("megalodon").tiny_config();
  for (const auto& item : overrides) config->fields().set(item.first, item.second);
  return config;
}

std::string refusal(const Overrides& overrides) {
  try {
    tiny(overrides)->validate();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

int64_t parameters_of(const std::string& preset) {
  const auto& architecture = models::find_architecture("megalodon");
  const auto config = architecture.make_config();
  config->fields().set_all(architecture.presets().at(preset));
  config->validate();
  return config->parameter_count();
}

TEST(Megalodon, ParameterCountsOfEveryPublishedSize) {
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
  EXPECT_NE(refusal({{"attention_dropout", 0.1}, {"attention_dropout_mode", std::string("dropkey")}}).find("got dropkey"), std::string::npos);
  EXPECT_THROW(static_cast<void>(models::CausalLm(*models::find_architecture("megalodon").make_config())), InvalidArgument);  // no vocabulary yet
}

// The vectors of a model that is filled by rule: see fill().

struct Vectors {
  std::shared_ptr<models::CausalLm> model;
  std::vector<std::string> names;  ///< of the trainable tensors in the release, in byte order
  std::map<std::string, at::Tensor> parameters;
};

/// The k-th tensor by the release's names has element i = 0.3 sin(0.37 i + 1.3 k + 0.11), rounded to fp32.
Vectors filled(const Overrides& overrides) {
  Config config;
  config.vocab_size = 11, config.model_dim = 8, config.num_layers = 2, config.num_heads = 2, config.z_dim = 8, config.value_dim = 12;
  config.ffn_hidden_dim = 10, config.cema_ndim = 4, config.chunk_size = 4, config.norm_num_groups = 2, config.swiglu = true,
  config.rescale_nffn = true;
  for (const auto& item : overrides) config.fields().set(item.first, item.second);
  Vectors made{.model = std::make_shared<models::CausalLm>(config), .names = {}, .parameters = {}};
  made.model->to(at::kDouble);
  made.model->model().set_compute_dtype(at::kDouble);
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

TEST(MegalodonVectors, LogitsAndLoss) {
  const auto vectors = filled({});
  const at::Tensor logits = vectors.model->forward({.tokens = vector_tokens(12)}).logits;
  expect_values(logits[0][0].narrow(0, 0, 4), {0.1160422935, -0.0928465246, 0.0665974927, -0.0381582614}, 1e-10);
  expect_values(logits[0][5].narrow(0, 0, 4), {-1.6374258409, 1.8035597449, -1.9103828612, 1.9543823787}, 1e-10);
  expect_values(logits[1][11].narrow(0, 0, 4), {-1.1209184401, 1.1101844186, -1.0629415543, 0.9807434568}, 1e-10);
  EXPECT_NEAR(logits.sum().item<double>(), -2.6977779593, 1e-9);
  EXPECT_NEAR(logits.abs().sum().item<double>(), 245.8762613790, 1e-9);
  EXPECT_NEAR(vector_loss(vectors, 12).item<double>(), 3.0427143099, 1e-10);
}

TEST(MegalodonVectors, GradientNorms) {
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

TEST(MegalodonVectors, StateAfterTwelveTokensAndKeysAfterTen) {
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

TEST(MegalodonVectors, Variants) {
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

// Behaviour that no vector shows.

at::Tensor logits_of(const Overrides& overrides, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  return tiny_model(*tiny(overrides))->forward({.tokens = tokens}).logits;
}

double largest_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

TEST(Megalodon, AFreshModelsLossIsTheLogarithmOfTheVocabularyAndAHalf) {
  at::manual_seed(3);
  models::CausalLm model(*tiny({{"vocab_size", int64_t{512}}, {"model_dim", int64_t{128}}, {"rescale_nffn", false}}));
  const at::Tensor tokens = at::randint(512, {4, 128}, at::kLong);
  const at::NoGradGuard no_grad;
  const double loss = model.loss({.tokens = tokens}, at::randint(512, {4, 128}, at::kLong)).mean.item<double>();
  EXPECT_NEAR(loss, std::log(512.0) + 0.49, 0.1);
}

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

TEST(Megalodon, InBf16StatisticsAndAveragesStayWide) {
  const at::NoGradGuard no_grad;
  const auto model = tiny_model(*tiny(), at::kFloat);
  model->model().set_compute_dtype(at::kBFloat16);
  const auto read = model->forward({.tokens = random_tokens(*model, 2, 13)}, model->model().initial_state(2));
  const auto& slots = model->model().state_layout().slots();
  for (size_t i = 0; i < slots.size(); ++i) {
    const at::ScalarType dtype = read.state.tensors()[i].scalar_type();
    const auto is = [&](const char* end) { return slots[i].name.ends_with(end); };
    if (is(".mean") || is(".variance")) EXPECT_EQ(dtype, at::kDouble) << slots[i].name;
    if (is(".ema.h")) EXPECT_EQ(dtype, at::kFloat) << slots[i].name;
    if (is(".key") || is(".value")) EXPECT_EQ(dtype, at::kBFloat16) << slots[i].name;
    if (is(".count")) EXPECT_EQ(dtype, at::kLong) << slots[i].name;
  }
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

}  // namespace
}  // namespace everlong::testing
