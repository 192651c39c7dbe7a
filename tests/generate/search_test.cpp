#include "everlong/generate/search.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/models/encoder_decoder_directory.h"
#include "everlong/models/registry.h"
#include "everlong/tensor/torch.h"
#include "tests/support/files.h"
#include "tests/support/torch/models.h"

namespace everlong::generate {
namespace {

std::shared_ptr<models::CausalLm> model_of(const std::string& architecture, int64_t vocab_size, double sharpness = 1) {
  auto config = models::find_architecture(architecture).tiny_config();
  config->set_vocabulary(vocab_size);
  auto model = testing::tiny_model(*config);
  const at::NoGradGuard no_grad;
  model->model().embedding_weight().mul_(sharpness);
  return model;
}

/// Log-probability of `tokens` after a prompt, read in one call.
double log_probability(models::CausalLm& model, const at::Tensor& prompt, const std::vector<int64_t>& tokens) {
  const at::NoGradGuard no_grad;
  const at::Tensor all = at::cat({prompt, at::tensor(tokens, at::kLong).unsqueeze(0)}, 1);
  const at::Tensor scores = model.forward({.tokens = all.narrow(1, 0, all.size(1) - 1)}).logits[0].log_softmax(-1);
  double sum = 0;
  for (size_t i = 0; i < tokens.size(); ++i) sum += scores[prompt.size(1) - 1 + static_cast<int64_t>(i)][tokens[i]].item<double>();
  return sum;
}

/// Every continuation of at most `depth` tokens over V tokens of which `end` ends it, best first.
std::vector<Continuation> all_continuations(models::CausalLm& model, const at::Tensor& prompt, int64_t depth, int64_t end, double length_penalty) {
  const int64_t V = model.model().vocab_size();
  std::vector<Continuation> found;
  std::vector<std::vector<int64_t>> open = {{}};
  for (int64_t len = 1; len <= depth; ++len) {
    std::vector<std::vector<int64_t>> longer;
    for (const auto& beginning : open)
      for (int64_t token = 0; token < V; ++token) {
        auto tokens = beginning;
        tokens.push_back(token);
        const bool ended = token == end;
        if (!ended) longer.push_back(tokens);
        if (!ended && len < depth) continue;
        const double score = log_probability(model, prompt, tokens) / std::pow(static_cast<double>(len), length_penalty);
        found.push_back({.tokens = ended ? beginning : tokens, .score = score, .ended = ended});
      }
    open = std::move(longer);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  return found;
}

class SearchOver : public ::testing::TestWithParam<std::string> {};

TEST_P(SearchOver, ABeamAsWideAsAllContinuationsFindsTheBestOfThem) {
  const auto model = model_of(GetParam(), 5);
  const at::Tensor prompt = at::tensor({3, 0, 4}, at::kLong).unsqueeze(0);
  for (const double length_penalty : {1.0, 0.0, -0.7, 2.0}) {
    const auto expected = all_continuations(*model, prompt, 3, 2, length_penalty);
    const SearchOptions options{.num_beams = 125,
                                .num_results = 20,
                                .max_new_tokens = 3,
                                .length_penalty = length_penalty,
                                .early_stopping = EarlyStopping::never,
                                .end_token = 2};
    const auto found = search(*model, {.tokens = prompt}, options).rows.at(0);
    ASSERT_EQ(found.size(), 20u);
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].tokens, expected[i].tokens) << i;
      EXPECT_EQ(found[i].ended, expected[i].ended) << i;
      EXPECT_NEAR(found[i].score, expected[i].score, 1e-11) << i;
    }
  }
}

TEST_P(SearchOver, OneBeamIsGreedy) {
  const at::NoGradGuard no_grad;
  const auto model = model_of(GetParam(), 37);
  const at::Tensor prompt = testing::random_tokens(*model, 3, 4);
  const auto found = search(*model, {.tokens = prompt}, {.max_new_tokens = 12}).rows;
  at::Tensor ids = prompt;
  for (int64_t i = 0; i < 12; ++i) ids = at::cat({ids, model->forward({.tokens = ids}, {}, true).logits.argmax(-1)}, 1);
  for (size_t row = 0; row < 3; ++row) {
    EXPECT_TRUE(at::equal(at::tensor(found[row].at(0).tokens, at::kLong), ids[static_cast<int64_t>(row)].narrow(0, 4, 12)));
    EXPECT_NEAR(found[row][0].score, log_probability(*model, prompt.narrow(0, static_cast<int64_t>(row), 1), found[row][0].tokens), 1e-10);
  }
}

TEST_P(SearchOver, RowsOfABatchDoNotMeetEvenWherePaddedAndFinishedEarly) {
  const auto model = model_of(GetParam(), 7, 2);
  const at::Tensor prompt = testing::random_tokens(*model, 4, 5);
  const at::Tensor valid = at::ones({4, 5}, at::kBool);
  valid[2].narrow(0, 3, 2).fill_(false);
  const SearchOptions options{.num_beams = 3, .num_results = 2, .max_new_tokens = 9, .end_token = 3};
  const auto together = search(*model, {.tokens = prompt, .valid = valid}, options).rows;
  for (int64_t row = 0; row < 4; ++row) {
    const auto alone = search(*model, {.tokens = prompt.narrow(0, row, 1).narrow(1, 0, row == 2 ? 3 : 5)}, options).rows.at(0);
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(together[static_cast<size_t>(row)][i].tokens, alone[i].tokens);
      EXPECT_NEAR(together[static_cast<size_t>(row)][i].score, alone[i].score, 1e-10);
    }
  }
}

TEST_P(SearchOver, NoNgramComesTwice) {
  const auto model = model_of(GetParam(), 6, 3);
  const at::Tensor prompt = at::tensor({4, 5, 4}, at::kLong).unsqueeze(0);
  for (const int64_t beams : {1, 3}) {
    auto tokens = search(*model, {.tokens = prompt}, {.num_beams = beams, .max_new_tokens = 20, .no_repeat_ngram_size = 2}).rows.at(0).at(0).tokens;
    tokens.insert(tokens.begin(), {4, 5, 4});
    std::set<std::pair<int64_t, int64_t>> pairs;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) EXPECT_TRUE(pairs.emplace(tokens[i], tokens[i + 1]).second) << beams << " beams, token " << i;
  }
  const auto dead_end = search(*model, {.tokens = prompt}, {.num_beams = 2, .max_new_tokens = 40, .no_repeat_ngram_size = 1}).rows.at(0).at(0);
  EXPECT_LE(dead_end.tokens.size(), 4u);  // six tokens, two of them in the prompt
  EXPECT_FALSE(dead_end.ended);
}

INSTANTIATE_TEST_SUITE_P(Architectures, SearchOver, ::testing::Values("mega", "transformer", "bart_decoder"),
                         [](const auto& instance) { return instance.param; });

TEST(Search, TheSeedDecidesWhatIsDrawnAndTemperatureZeroIsGreedy) {
  const auto model = model_of("transformer", 37);
  const at::Tensor prompt = testing::random_tokens(*model, 2, 4);
  const auto drawn = [&](uint64_t seed, double temperature) {
    const auto rows =
        search(*model, {.tokens = prompt}, {.max_new_tokens = 15, .sampling = SamplingOptions{.temperature = temperature}, .seed = seed}).rows;
    return std::pair(rows[0][0].tokens, rows[1][0].tokens);
  };
  EXPECT_EQ(drawn(1, 1), drawn(1, 1));
  EXPECT_NE(drawn(1, 1), drawn(2, 1));
  const auto greedy = search(*model, {.tokens = prompt}, {.max_new_tokens = 15}).rows;
  EXPECT_EQ(drawn(1, 0), std::pair(greedy[0][0].tokens, greedy[1][0].tokens));
}

TEST(Search, AStepCanEndIt) {
  const auto model = model_of("mega", 37);
  for (const int64_t beams : {1, 4}) {
    int64_t last = 0;
    const auto found =
        search(*model, {.tokens = testing::random_tokens(*model, 1, 4)}, {.num_beams = beams, .max_new_tokens = 50, .on_step = [&](int64_t step) {
                                                                            last = step;
                                                                            return step < 3;
                                                                          }});
    EXPECT_TRUE(found.interrupted);
    EXPECT_EQ(last, 3);
    EXPECT_EQ(found.rows.at(0).at(0).tokens.size(), 3u);
  }
}

TEST(Search, AskingTheImpossibleIsRefused) {
  const auto model = model_of("mega", 37);
  const models::ModelInput prompt{.tokens = testing::random_tokens(*model, 1, 4)};
  const auto refused = [&](const SearchOptions& options) { EXPECT_THROW(static_cast<void>(search(*model, prompt, options)), InvalidArgument); };
  refused({.num_beams = 0});
  refused({.num_beams = 2, .num_results = 3});
  refused({.max_new_tokens = -1});
  refused({.length_penalty = NAN});
  refused({.no_repeat_ngram_size = -1});
  refused({.repetition_penalty = 0});
  refused({.num_beams = 2, .sampling = SamplingOptions{}});
  refused({.sampling = SamplingOptions{.top_p = 2}});
  EXPECT_THROW(static_cast<void>(search(*model, {.tokens = at::zeros({1, 0}, at::kLong)}, {})), InvalidArgument);
  EXPECT_TRUE(search(*model, prompt, {.max_new_tokens = 0}).rows.at(0).at(0).tokens.empty());
}

TEST(Search, FinishedRowsArePadded) {
  const SearchResult result{.rows = {{{.tokens = {7, 8, 9}}}, {{.tokens = {5}, .ended = true}}}};
  const at::Tensor expected = at::tensor({1, 7, 8, 9, 2, 5, 3, 0}, at::kLong).view({2, 4});
  EXPECT_TRUE(at::equal(padded_ids(at::tensor({1, 2}, at::kLong).view({2, 1}), result, 3, 0), expected));
}

EarlyStopping early_stopping(const io::Json& how) {
  const auto found = how.find("early_stopping");
  if (found == how.end()) return EarlyStopping::heuristic;
  return found->is_string() ? EarlyStopping::never : found->get<bool>() ? EarlyStopping::first : EarlyStopping::heuristic;
}

at::Tensor ids_of(const io::Json& rows) {
  std::vector<at::Tensor> all;
  for (const auto& row : rows) all.push_back(at::tensor(row.get<std::vector<int64_t>>(), at::kLong));
  return at::stack(all);
}

/// Runs every search of a beams.json and compares the ids with those of transformers' generate().
template <class Run>
void expect_ids(const io::Json& beams, const Run& run) {
  ASSERT_GE(beams["searches"].size(), 9u);
  for (const auto& how : beams["searches"]) {
    const SearchOptions options{.num_beams = how["num_beams"].get<int64_t>(),
                                .num_results = how.value("num_return_sequences", int64_t{1}),
                                .max_new_tokens = how["max_new_tokens"].get<int64_t>(),
                                .length_penalty = how.value("length_penalty", 1.0),
                                .early_stopping = early_stopping(how),
                                .no_repeat_ngram_size = how.value("no_repeat_ngram_size", int64_t{0}),
                                .repetition_penalty = how.value("repetition_penalty", 1.0),
                                .end_token = beams["eos_token_id"].get<int64_t>()};
    const at::Tensor found = run(options), expected = ids_of(how["ids"]);
    EXPECT_TRUE(at::equal(found, expected)) << how.dump() << "\n" << found << "\n" << expected;
  }
}

TEST(Search, ADecoderAloneFindsWhatTransformersFinds) {
  const auto folder = testing::source_path("tests/golden/bart_decoder/alone_relu_scaled");
  const auto beams = io::read_json_file(folder / "beams.json");
  const auto model = models::load_causal_lm(folder, at::kDouble).model;
  model->model().set_compute_dtype(at::kDouble);
  const at::Tensor prompt = ids_of(beams["input_ids"]);
  expect_ids(beams, [&](const SearchOptions& options) {
    return padded_ids(prompt, search(*model, {.tokens = prompt}, options), options.end_token, beams["pad_token_id"].get<int64_t>());
  });
}

TEST(Search, EncoderDecoderModelsFindWhatTransformersFinds) {
  for (const char* name : {"mega_bart", "mega_mega"}) {
    const auto folder = testing::source_path(std::string("tests/golden/encoder_decoder/") + name);
    const auto beams = io::read_json_file(folder / "beams.json");
    const auto model = models::load_encoder_decoder(folder, at::kDouble).model;
    model->set_compute_dtype(at::kDouble);
    const models::ModelInput source{.tokens = ids_of(beams["input_ids"]), .valid = ids_of(beams["attention_mask"]).to(at::kBool)};
    const at::Tensor start = at::full({source.tokens.size(0), 1}, beams["decoder_start_token_id"].get<int64_t>(), at::kLong);
    expect_ids(beams, [&](const SearchOptions& options) {
      return padded_ids(start, search(*model, source, options), options.end_token, beams["pad_token_id"].get<int64_t>());
    });
  }
}

}  // namespace
}  // namespace everlong::generate
