#include "everlong/text/special_roles.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/text/tokenizer.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::text {
namespace {

using testing::source_path;
using testing::TemporaryFolder;
using testing::write_text;
using Ids = std::vector<int32_t>;

constexpr const char* kVocab = R"({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "I": 4, "\u0120": 5, "l": 6, "o": 7, "v": 8, "e": 9, "t": 10, ".": 11,
                                   "lo": 12, "\u0120lo": 13, "ve": 14, "\u0120love": 15, "to": 16, "\u0120to": 17, "<mask>": 18})";
constexpr const char* kMerges = "#version: 0.2\nl o\n\u0120 lo\nv e\n\u0120lo ve\nt o\n\u0120 to\n";

/// A folder of a RoBERTa-like tokenizer with what lies beside its two files.
class Folder {
 public:
  explicit Folder(const char* vocab = kVocab) {
    write_text(folder_ / "vocab.json", vocab);
    write_text(folder_ / "merges.txt", kMerges);
  }
  Folder& with(const char* name, const char* text) {
    write_text(folder_ / name, text);
    return *this;
  }
  [[nodiscard]] std::unique_ptr<Tokenizer> load() const { return load_tokenizer(folder_.path()); }
  [[nodiscard]] std::string message() const {
    return testing::message_of<Error>([&] { (void)load(); });
  }

 private:
  TemporaryFolder folder_;
};

constexpr SpecialIds kRoberta{.bos = 0, .eos = 2, .pad = 1, .unk = 3, .mask = 18};

TEST(SpecialTokens, ARobertaFolderWithAnyOfItsFilesEncodesAMaskedSentence) {
  for (const auto& [name, text] : std::vector<std::pair<const char*, const char*>>{
           {"config.json", R"({"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "model_type": "mega"})"},
           {"tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer", "mask_token": {"content": "<mask>", "lstrip": true}})"},
           {"special_tokens_map.json", R"({"bos_token": "<s>", "eos_token": "</s>", "mask_token": {"content": "<mask>", "lstrip": true}})"},
           {"tokenizer_config.json",
            R"({"tokenizer_class": "BartTokenizer", "added_tokens_decoder": {"18": {"content": "<mask>", "lstrip": true, "special": true}}})"},
           {"notes.txt", ""}}) {
    const auto tokenizer = Folder().with(name, text).load();
    EXPECT_EQ(tokenizer->special_ids(), kRoberta) << name;
    EXPECT_EQ(tokenizer->encode("I love to <mask>."), (Ids{0, 4, 15, 17, 18, 11, 2})) << name;
    EXPECT_EQ(tokenizer->encode("I love to <mask>.", {.add_special = false}), (Ids{4, 15, 17, 18, 11})) << name;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("I love to <mask>.")), "I love to.") << name;
  }
}

TEST(SpecialTokens, ASavedTokenizerKeepsThem) {
  const auto tokenizer = Folder().load();
  const TemporaryFolder saved;
  tokenizer->save(saved.path());
  const auto loaded = load_tokenizer(saved.path());
  EXPECT_EQ(loaded->special_ids(), kRoberta);
  EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(loaded->encode("I love to <mask>."), (Ids{0, 4, 15, 17, 18, 11, 2}));
  const auto json = nlohmann::json::parse(testing::read_text(saved / "tokenizer.json"));
  std::string pair;
  for (const auto& item : json["post_processor"]["pair"]) pair += item.begin().value()["id"].get<std::string>() + " ";
  EXPECT_EQ(pair, "<s> A </s> </s> B </s> ");
}

TEST(SpecialTokens, RobertasPostProcessorIsRead) {
  const TemporaryFolder folder;
  Folder().load()->save(folder.path());
  auto json = nlohmann::json::parse(testing::read_text(folder / "tokenizer.json"));
  const std::string fingerprint = load_tokenizer(folder.path())->fingerprint();
  json["post_processor"] = {
      {"type", "RobertaProcessing"}, {"sep", {"</s>", 2}}, {"cls", {"<s>", 0}}, {"trim_offsets", true}, {"add_prefix_space", false}};
  write_text(folder / "tokenizer.json", json.dump());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), fingerprint);
  json["post_processor"]["cls"][1] = 40;
  write_text(folder / "tokenizer.json", json.dump());
  EXPECT_THROW((void)load_tokenizer(folder.path()), FormatError);
}

TEST(SpecialTokens, TheTokenizersFilesGoBeforeTheModelsConfiguration) {
  const auto tokenizer = Folder()
                             .with("config.json", R"({"pad_token_id": 3, "eos_token_id": [2], "bos_token_id": 99, "unk_token_id": null})")
                             .with("tokenizer_config.json", R"({"eos_token": "<pad>", "unk_token": null})")
                             .with("special_tokens_map.json", R"({"eos_token": "<unk>", "mask_token": "<mask>"})")
                             .load();
  EXPECT_EQ(tokenizer->special_ids(), (SpecialIds{.bos = 0, .eos = 1, .pad = 3, .mask = 18}));
}

TEST(SpecialTokens, DefaultIdsOfAConfigurationMakeNoOrdinaryTokenSpecial) {
  constexpr const char* kPlain = R"({"I": 0, "\u0120": 1, "l": 2, "o": 3, "v": 4, "e": 5, "t": 6, "lo": 7, "\u0120lo": 8, "ve": 9, "\u0120love": 10,
                                     "to": 11, "\u0120to": 12, "<|endoftext|>": 13})";
  const auto tokenizer = Folder(kPlain).with("config.json", R"({"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2})").load();
  EXPECT_EQ(tokenizer->special_ids(), (SpecialIds{.bos = 13, .eos = 13}));
  EXPECT_EQ(tokenizer->encode("I love"), (Ids{0, 10}));
}

TEST(SpecialTokens, AClassOfGpt2PutsNothingAround) {
  EXPECT_EQ(Folder().with("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})").load()->encode("I"), (Ids{4}));
}

TEST(SpecialTokens, APrefixSpaceIsAddedWhereTheConfigurationSaysSo) {
  EXPECT_EQ(Folder().with("tokenizer_config.json", R"({"add_prefix_space": true})").load()->encode("to"), (Ids{0, 17, 2}));
}

TEST(SpecialTokens, TokensThatWereAddedLaterExtendTheVocabulary) {
  const auto tokenizer = Folder()
                             .with("added_tokens.json", R"({"<new>": 19, "plain": 20})")
                             .with("special_tokens_map.json", R"({"additional_special_tokens": ["<new>"]})")
                             .load();
  EXPECT_EQ(tokenizer->vocab_size(), 21);
  EXPECT_EQ(tokenizer->encode("to<new>plain"), (Ids{0, 16, 19, 20, 2}));
  EXPECT_EQ(tokenizer->encode("<new>", {.add_special = false, .parse_special = false}).size(), tokenizer->encode("<nex>").size() - 2);
  EXPECT_EQ(tokenizer->decode(Ids{16, 19, 20}), "toplain");
}

TEST(SpecialTokens, FilesThatContradictTheVocabularyAreRefused) {
  const auto refuses = [](const char* name, const char* text, const char* message) { EXPECT_EQ(Folder().with(name, text).message(), message); };
  refuses("tokenizer_config.json", R"({"pad_token": "<nowhere>"})",
          "[tokenizer_config.json, pad_token] expected a token of the vocabulary, got '<nowhere>'.");
  refuses("tokenizer_config.json", R"({"pad_token": 3})", "[tokenizer_config.json, pad_token] expected a text, got 3.");
  refuses("special_tokens_map.json", R"({"mask_token": {"content": 1}})", "[special_tokens_map.json, mask_token.content] expected a text, got 1.");
  refuses("special_tokens_map.json", "[]", "[special_tokens_map.json] expected an object, got array.");
  refuses("added_tokens.json", R"({"<new>": 4})",
          "[added_tokens.json, <new>] expected an id and a spelling that belong together in the vocabulary, got id 4 for '<new>'.");
  refuses("added_tokens.json", R"({"<s>": 19})",
          "[added_tokens.json, <s>] expected an id and a spelling that belong together in the vocabulary, got id 19 for '<s>'.");
  refuses("added_tokens.json", R"({"<new>": -1})", "[added_tokens.json, <new>] expected an integer from 0 to 65555, got -1.");
  refuses("added_tokens.json", R"({"": 19})", "[added_tokens.json] expected a spelling that is not empty, got \"\".");
  refuses("tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "y"}}})",
          "[tokenizer_config.json, added_tokens_decoder.x] expected an id from 0 to 65555 as key, got 'x'.");
  refuses("tokenizer_config.json", R"({"added_tokens_decoder": []})",
          "[tokenizer_config.json, added_tokens_decoder] expected an object of ids and tokens, got array.");
  refuses("tokenizer_config.json", R"({"added_tokens_decoder": {"19": {}}})",
          "[tokenizer_config.json, added_tokens_decoder.19] expected a member 'content', got none.");
}

}  // namespace
}  // namespace everlong::text
