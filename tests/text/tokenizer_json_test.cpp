#include "everlong/text/tokenizer_json.h"

#include <functional>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/text/bpe_trainer.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::text {
namespace {

using nlohmann::json;

json smallest() {
  return json::parse(R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}, "post_processor": null,
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
}

std::string refusal(const json& definition) {
  return testing::message_of<Error>([&] { (void)make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "t.json"), "t.json"); });
}

/// What the smallest file says after `change`.
template <class Kind>
void expect_refused(const char* part, const std::function<void(json&)>& change) {
  json definition = smallest();
  change(definition);
  EXPECT_THROW((void)make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "t.json"), "t.json"), Kind) << part;
  const std::string message = refusal(definition);
  EXPECT_NE(message.find(part), std::string::npos) << "wanted: " << part << "\n   got: " << message;
}

TEST(TokenizerJson, TheSmallestFileLoads) {
  EXPECT_EQ(refusal(smallest()), "nothing was thrown");
  EXPECT_EQ(make_bpe_tokenizer(read_tokenizer_json(smallest().dump(), "t"))->encode("abaz"), (std::vector<int32_t>{2, 0}));
}

TEST(TokenizerJson, MergesMayBePairs) {
  json definition = smallest();
  definition["model"]["merges"] = json::array({json::array({"a", "b"})});
  EXPECT_EQ(fingerprint_of(read_tokenizer_json(definition.dump(), "t")), fingerprint_of(read_tokenizer_json(smallest().dump(), "t")));
}

TEST(TokenizerJson, TypesOutsideTheSubsetAreNamed) {
  const auto set = [](const char* key, json value) { return [=](json& file) { file[key] = value; }; };
  const auto set_model = [](const char* key, json value) { return [=](json& file) { file["model"][key] = value; }; };
  expect_refused<Unsupported>("[t.json, model.type] expected a model of type BPE, got 'WordPiece'", set_model("type", "WordPiece"));
  expect_refused<Unsupported>("[t.json, normalizer] expected a normalizer of type Sequence, Prepend",
                              set("normalizer", {{"type", "BertNormalizer"}}));
  expect_refused<Unsupported>("got 'Whitespace'", set("pre_tokenizer", {{"type", "Whitespace"}}));
  expect_refused<Unsupported>("got 'CTC'", set("decoder", {{"type", "CTC"}}));
  expect_refused<Unsupported>("[t.json, post_processor] expected a post-processor", set("post_processor", {{"type", "BertProcessing"}}));
  expect_refused<Unsupported>("[t.json, decoder] expected a decoder, got null", set("decoder", nullptr));
  expect_refused<Unsupported>("[t.json, truncation] expected null", set("truncation", {{"max_length", 5}}));
  expect_refused<Unsupported>("[t.json, padding] expected null", set("padding", {{"pad_id", 5}}));
  expect_refused<Unsupported>("[t.json, model.dropout] expected null", set_model("dropout", 0.1));
  expect_refused<Unsupported>("model.end_of_word_suffix] expected null", set_model("end_of_word_suffix", "</w>"));
  expect_refused<Unsupported>("model.continuing_subword_prefix] expected null", set_model("continuing_subword_prefix", "##"));
  expect_refused<Unsupported>("[t.json, model.novelty] expected only the keys", set_model("novelty", 1));
  expect_refused<Unsupported>("[t.json, extra] expected only the keys version", set("extra", 1));
  expect_refused<Unsupported>("[t.json, version] expected 1.0, got 2.0", set("version", "2.0"));
  expect_refused<Unsupported>("byte_fallback without ByteLevel", set_model("byte_fallback", true));
  expect_refused<Unsupported>("ByteLevel as the last", [](json& file) {
    file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {file["pre_tokenizer"], {{"type", "Digits"}}}}};
  });
  expect_refused<Unsupported>("in this order",
                              set("decoder", {{"type", "Sequence"}, {"decoders", {{{"type", "Fuse"}}, {{"type", "ByteFallback"}}}}}));
  expect_refused<Unsupported>("one of Removed, Isolated",
                              set("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"String", "x"}}}, {"behavior", "Odd"}, {"invert", false}}));
}

TEST(TokenizerJson, LiesAreRefusedByKey) {
  const auto set = [](const char* key, json value) { return [=](json& file) { file[key] = value; }; };
  const auto set_model = [](const char* key, json value) { return [=](json& file) { file["model"][key] = value; }; };
  expect_refused<FormatError>("expected a member 'model', got none", [](json& file) { file.erase("model"); });
  expect_refused<FormatError>("[t.json, model.vocab] expected an object of tokens and ids", set_model("vocab", json::object()));
  expect_refused<FormatError>("expected every id once, got 1", set_model("vocab", {{"a", 1}, {"b", 1}}));
  expect_refused<FormatError>("ids from 0 to 65552, got 99999999", set_model("vocab", {{"a", 99999999}, {"b", 1}}));
  expect_refused<FormatError>("got -1 for 'a'", set_model("vocab", {{"a", -1}}));
  expect_refused<FormatError>("got 1.5 for 'a'", set_model("vocab", {{"a", 1.5}}));
  expect_refused<FormatError>("[t.json, model.merges] expected tokens of the vocabulary, got 'c' at 0", set_model("merges", {"a c"}));
  expect_refused<FormatError>("got 'ba' at 0", set_model("merges", {"b a"}));
  expect_refused<FormatError>("\"a b c\" at 0", set_model("merges", {"a b c"}));
  expect_refused<FormatError>("at 1", set_model("merges", {"a b", 7}));
  expect_refused<FormatError>("[t.json, model.unk_token] expected a token of the vocabulary", set_model("unk_token", "<unk>"));
  expect_refused<FormatError>("expected true or false, got 1", set_model("fuse_unk", 1));
  expect_refused<FormatError>("[t.json, added_tokens] expected a list", set("added_tokens", 5));
  expect_refused<FormatError>("belong together", set("added_tokens", {{{"id", 0}, {"content", "b"}}}));
  expect_refused<FormatError>("belong together", set("added_tokens", {{{"id", 0}, {"content", "<s>"}}}));
  expect_refused<FormatError>("belong together", set("added_tokens", {{{"id", 3}, {"content", "<s>"}}, {{"id", 3}, {"content", "<t>"}}}));
  expect_refused<FormatError>("belong together", set("added_tokens", {{{"id", 3}, {"content", "<s>"}}, {{"id", 4}, {"content", "<s>"}}}));
  expect_refused<FormatError>("id 3 twice", set("added_tokens", {{{"id", 3}, {"content", "<s>"}}, {{"id", 3}, {"content", "<s>"}}}));
  expect_refused<FormatError>("not empty", set("added_tokens", {{{"id", 3}, {"content", ""}}}));
  expect_refused<FormatError>("from 0 to 65568, got 2147483648", set("added_tokens", {{{"id", 2147483648}, {"content", "x"}}}));
  expect_refused<FormatError>("a regular expression, got ",
                              set("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}, {"invert", false}}));
  expect_refused<FormatError>("not empty",
                              set("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"String", ""}}}, {"behavior", "Isolated"}, {"invert", false}}));
  expect_refused<FormatError>("one character", set("decoder", {{"type", "Metaspace"}, {"replacement", "ab"}}));
  expect_refused<FormatError>(
      "the sequence A once, got 0 times",
      set("post_processor",
          {{"type", "TemplateProcessing"}, {"single", json::array()}, {"pair", json::array()}, {"special_tokens", json::object()}}));
  expect_refused<FormatError>("t.json", [](json& file) { file = json::array(); });
}

TEST(TokenizerJson, AnIdInAGapOfTheTemplateIsRefused) {
  json definition = smallest();
  definition["model"]["vocab"]["z"] = 7;
  definition["post_processor"] = {{"type", "TemplateProcessing"},
                                  {"single", {{{"SpecialToken", {{"id", "x"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                                  {"special_tokens", {{"x", {{"id", "x"}, {"ids", {5}}, {"tokens", {"x"}}}}}}};
  EXPECT_NE(refusal(definition).find("expected ids of the vocabulary, got 5"), std::string::npos);
}

TEST(TokenizerJson, WorkIsBoundedForHostileSteps) {
  json doubling = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  json definition = smallest();
  definition["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
  for (int i = 0; i < 30; ++i) definition["normalizer"]["normalizers"].push_back(doubling);
  const auto tokenizer = make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "t.json"));
  EXPECT_THROW((void)tokenizer->encode("aaaa"), InvalidArgument);
  definition["normalizer"]["normalizers"].insert(definition["normalizer"]["normalizers"].end(), 5, doubling);
  EXPECT_NE(refusal(definition).find("at most 32 steps"), std::string::npos);

  definition = smallest();
  definition["decoder"] = {{"type", "Sequence"}, {"decoders", std::vector<json>(30, doubling)}};
  EXPECT_NE(refusal(definition).find("a decoder that makes tokens at most 8 times as long"), std::string::npos);

  definition = smallest();
  definition["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}, {"invert", false}};
  const auto backtracks = make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "t.json"));
  EXPECT_THROW((void)backtracks->encode(std::string(60, 'a') + "b"), Unsupported);
}

TEST(TokenizerJson, LongWordsAreNotQuadratic) {
  const auto tokenizer = load_tokenizer(testing::source_path("tests/data/text/llama.json"));
  std::string text(3 << 20, 'e');
  const auto ids = tokenizer->encode(text, {.add_special = false});
  EXPECT_LT(ids.size(), text.size() + 2);
  EXPECT_EQ(tokenizer->decode(ids), text);
}

TEST(TokenizerJson, NeighboursOfADroppedCharacterMeet) {
  json definition = smallest();
  definition["model"] = json::parse(R"({"type": "BPE", "vocab": {"▁": 0, "▁▁": 1, "a": 2}, "merges": ["▁ ▁"]})");
  definition["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "never"}, {"split", false}};
  const auto tokenizer = make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "t.json"));
  EXPECT_EQ(tokenizer->encode("a x a"), (std::vector<int32_t>{2, 1, 2}));
}

TEST(TokenizerJson, InvalidBytesRoundTrip) {
  const auto llama = load_tokenizer(testing::source_path("tests/data/text/llama.json"));
  const auto gpt2 = load_tokenizer(testing::source_path("assets/gpt2"));
  for (const std::string bytes : {"a\xff\xfe b\x80", "\xc3", "x\xe2\x82", "\xf0\x9f\x98z \xed\xa0\x80"}) {
    EXPECT_EQ(llama->decode(llama->encode(bytes)), bytes);
    EXPECT_EQ(gpt2->decode(gpt2->encode(bytes)), bytes);
  }
}

TEST(TokenizerJson, AddSpecialFalseLeavesTheTemplateOut) {
  const auto tokenizer = load_tokenizer(testing::source_path("tests/data/text/llama.json"));
  const auto with = tokenizer->encode("Hello");
  const auto without = tokenizer->encode("Hello", {.add_special = false});
  ASSERT_FALSE(with.empty());
  EXPECT_EQ(with.front(), 1);
  EXPECT_EQ(std::vector<int32_t>(with.begin() + 1, with.end()), without);
}

TEST(TokenizerJson, EveryKeyChangesTheFingerprint) {
  const std::string before = fingerprint_of(read_tokenizer_json(smallest().dump(), "t"));
  const std::vector<std::function<void(json&)>> changes{[](json& file) { file["pre_tokenizer"]["add_prefix_space"] = true; },
                                                        [](json& file) { file["model"]["ignore_merges"] = true; },
                                                        [](json& file) { file["model"]["merges"] = json::array(); },
                                                        [](json& file) { file["model"]["vocab"]["c"] = 3; },
                                                        [](json& file) { file["model"]["unk_token"] = "a"; },
                                                        [](json& file) {
                                                          file["normalizer"] = {{"type", "NFC"}};
                                                        },
                                                        [](json& file) {
                                                          file["added_tokens"] = {{{"id", 3}, {"content", "<s>"}, {"special", true}}};
                                                        }};
  for (size_t i = 0; i < changes.size(); ++i) {
    json definition = smallest();
    changes[i](definition);
    EXPECT_NE(fingerprint_of(read_tokenizer_json(definition.dump(), "t")), before) << i;
  }
}

}  // namespace
}  // namespace everlong::text
