// Ids and decodings against tables written by the libraries that own the formats (tests/data/text/generate.py).

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/sentencepiece_tokenizer.h"
#include "everlong/text/stream_decoder.h"
#include "everlong/text/tokenizer.h"
#include "everlong/text/tokenizer_json.h"
#include "everlong/text/utf8.h"
#include "tests/support/files.h"

namespace everlong::text {
namespace {

using nlohmann::json;

json table(const std::string& name) { return json::parse(testing::read_text(testing::source_path("tests/data/text/" + name))); }

std::string repaired(std::string_view bytes) {
  std::string text;
  append_repaired(bytes, true, text);
  return text;
}

std::string streamed(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (const int32_t id : ids) {
    const std::string piece = decoder.push(id);
    EXPECT_TRUE(is_utf8(piece));
    text += piece;
  }
  return text + decoder.flush();
}

void expect_cases(const Tokenizer& tokenizer, const json& cases) {
  for (const json& row : cases) {
    const auto text = row["text"].get<std::string>();
    const auto expected = row["ids"].get<std::vector<int32_t>>();
    SCOPED_TRACE(::testing::PrintToString(text));
    EXPECT_EQ(tokenizer.encode(text), expected);
    EXPECT_EQ(repaired(tokenizer.decode(expected)), row["decoded"].get<std::string>());
    EXPECT_EQ(streamed(tokenizer, expected), row["decoded"].get<std::string>());
  }
}

/// As generate.py merges: null removes a key, the model is merged key by key, everything else is replaced.
void merge(json& value, const json& patch) {
  for (const auto& item : patch.items()) {
    if (item.value().is_null()) {
      value.erase(item.key());
    } else if (item.key() == "model") {
      merge(value["model"], item.value());
    } else {
      value[item.key()] = item.value();
    }
  }
}

TEST(Tables, Gpt2EncodesAsHuggingFaceDoes) { expect_cases(*load_tokenizer(testing::source_path("assets/gpt2")), table("gpt2.json")); }

TEST(Tables, EveryVariantOfTokenizerJsonEncodesAsHuggingFaceDoes) {
  int count = 0;
  for (const json& variant : table("variants.json")) {
    SCOPED_TRACE(variant["base"].get<std::string>() + ", " + variant["name"].get<std::string>());
    json definition = table(variant["base"].get<std::string>() + ".json");
    merge(definition, variant["patch"]);
    expect_cases(*make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "tokenizer.json")), variant["cases"]);
    ++count;
  }
  EXPECT_GE(count, 35);
}

TEST(Tables, EveryVariantIsTheSameAfterSaveAndLoad) {
  for (const json& variant : table("variants.json")) {
    SCOPED_TRACE(variant["base"].get<std::string>() + ", " + variant["name"].get<std::string>());
    json definition = table(variant["base"].get<std::string>() + ".json");
    merge(definition, variant["patch"]);
    const auto tokenizer = make_bpe_tokenizer(read_tokenizer_json(definition.dump(), "tokenizer.json"));
    const testing::TemporaryFolder folder;
    tokenizer->save(folder.path());
    const auto loaded = load_tokenizer(folder.path());
    EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
    EXPECT_EQ(loaded->special_ids(), tokenizer->special_ids());
    expect_cases(*loaded, variant["cases"]);
  }
}

/// As generate.py: h = h * 1000003 + id + 1, modulo 2^64.
uint64_t digest(const std::vector<int32_t>& ids) {
  uint64_t value = 0;
  for (const int32_t id : ids) value = value * 1000003 + static_cast<uint64_t>(id) + 1;
  return value;
}

TEST(Tables, TheVocabulariesOfMegalodonAndPg19EncodeAsTheirLibrariesDo) {
  const json released = table("released.json");
  ASSERT_EQ(released.size(), 2);
  for (const json& entry : released) {
    SCOPED_TRACE(entry["tokenizer"].get<std::string>());
    const auto tokenizer = load_tokenizer(testing::source_path(entry["tokenizer"].get<std::string>()));
    EXPECT_EQ(tokenizer->vocab_size(), entry["vocab_size"].get<int32_t>());
    expect_cases(*tokenizer, entry["cases"]);
    const json& novel = entry["novel"];
    const std::vector<int32_t> ids = tokenizer->encode(testing::read_text(testing::source_path(novel["file"].get<std::string>())));
    EXPECT_EQ(ids.size(), novel["count"].get<size_t>());
    EXPECT_EQ(digest(ids), std::stoull(novel["digest"].get<std::string>(), nullptr, 16));
  }
}

TEST(Tables, MegalodonsTokenizerBeginsATextAndKnowsItsEnd) {
  const auto tokenizer = load_tokenizer(testing::source_path("assets/megalodon"));
  EXPECT_EQ(tokenizer->special_ids(), (SpecialIds{.bos = 1, .eos = 2, .unk = 0}));
  EXPECT_EQ(tokenizer->encode("").front(), 1);
}

TEST(Tables, SentencePieceEncodesAndDecodesAsItsLibraryDoes) {
  for (const json& model : table("sentencepiece.json")) {
    SCOPED_TRACE(model["model"].get<std::string>());
    const auto tokenizer = load_tokenizer(testing::source_path("tests/data/text/" + model["model"].get<std::string>()));
    EXPECT_EQ(tokenizer->kind(), "sentencepiece");
    expect_cases(*tokenizer, model["cases"]);
  }
}

}  // namespace
}  // namespace everlong::text
