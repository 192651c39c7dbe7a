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
