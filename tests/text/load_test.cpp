#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"
#include "everlong/text/sentencepiece_tokenizer.h"
#include "everlong/text/tokenizer.h"
#include "tests/support/files.h"
#include "tests/support/message.h"

namespace everlong::text {
namespace {

using testing::source_path;
using testing::TemporaryFolder;
using testing::write_text;

constexpr const char* kVocab = R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3})";
constexpr const char* kMerges = "#version: 0.2\na b\n";

std::string refusal(const std::filesystem::path& path) {
  return testing::message_of<Error>([&] { (void)load_tokenizer(path); });
}

TEST(LoadTokenizer, BytesAreSavedAsAMarkerFile) {
  const TemporaryFolder folder;
  const auto tokenizer = make_bytes_tokenizer();
  tokenizer->save(folder.path());
  const auto loaded = load_tokenizer(folder.path());
  EXPECT_EQ(loaded->kind(), "bytes");
  EXPECT_EQ(loaded->vocab_size(), 256);
  EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(loaded->encode("a\xff"), (std::vector<int32_t>{'a', 255}));
}

TEST(LoadTokenizer, Gpt2FilesOfEitherNameGiveTheSameTokenizer) {
  const TemporaryFolder folder;
  write_text(folder / "encoder.json", kVocab);
  write_text(folder / "vocab.bpe", kMerges);
  const auto openai = load_tokenizer(folder.path());
  const TemporaryFolder other;
  write_text(other / "vocab.json", kVocab);
  write_text(other / "merges.txt", "a b");
  for (const char* name : {"vocab.json", "merges.txt"}) EXPECT_EQ(load_tokenizer(other / name)->fingerprint(), openai->fingerprint());
  EXPECT_EQ(openai->encode("abba<|endoftext|>"), (std::vector<int32_t>{2, 1, 0, 3}));
  EXPECT_EQ(openai->special_ids(), (SpecialIds{.bos = 3, .eos = 3}));
  EXPECT_EQ(openai->token_bytes(2), "ab");
  EXPECT_EQ(openai->token_bytes(3), "");
  EXPECT_EQ(openai->token_id("<|endoftext|>"), 3);
}

TEST(LoadTokenizer, Gpt2SavedAsTokenizerJsonKeepsItsFingerprint) {
  const auto tokenizer = load_tokenizer(source_path("assets/gpt2"));
  EXPECT_EQ(tokenizer->vocab_size(), 50257);
  const TemporaryFolder folder;
  tokenizer->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->fingerprint(), tokenizer->fingerprint());
}

TEST(LoadTokenizer, SentencePieceSavesItsFile) {
  const auto tokenizer = load_tokenizer(source_path("tests/data/text/unigram_nfkc.model"));
  const TemporaryFolder folder;
  tokenizer->save(folder.path());
  const auto loaded = load_tokenizer(folder.path());
  EXPECT_EQ(loaded->fingerprint(), tokenizer->fingerprint());
  EXPECT_EQ(loaded->special_ids(), (SpecialIds{.bos = 1, .eos = 2, .pad = 3, .unk = 0}));
  EXPECT_EQ(loaded->token_bytes(1), "");
}

TEST(LoadTokenizer, TheConfigurationBesideItNamesTheSpecialTokens) {
  const TemporaryFolder folder;
  load_tokenizer(source_path("tests/data/text/llama.json"))->save(folder.path());
  EXPECT_EQ(load_tokenizer(folder.path())->special_ids(), (SpecialIds{.bos = 1, .eos = 2, .unk = 0}));
  write_text(folder / "tokenizer_config.json", R"({"pad_token": {"content": "</s>"}, "eos_token": null, "unk_token": "<unk>"})");
  EXPECT_EQ(load_tokenizer(folder.path())->special_ids(), (SpecialIds{.bos = 1, .pad = 2, .unk = 0}));
  write_text(folder / "tokenizer_config.json", R"({"pad_token": "<nowhere>"})");
  EXPECT_EQ(refusal(folder.path()), "[tokenizer_config.json, pad_token] expected a token of the vocabulary, got '<nowhere>'.");
}

TEST(LoadTokenizer, ATokenizerJsonGoesBeforeTheFilesItWasMadeFrom) {
  const TemporaryFolder folder;
  write_text(folder / "vocab.json", kVocab);
  write_text(folder / "merges.txt", kMerges);
  load_tokenizer(source_path("tests/data/text/llama.json"))->save(folder.path());
  EXPECT_GT(load_tokenizer(folder.path())->vocab_size(), 256);
}

TEST(LoadTokenizer, WhatIsMissingOrAmbiguousIsSaid) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(folder / "nowhere").find("No such file or directory. Hint: a tokenizer is everlong_tokenizer.json"), std::string::npos);
  EXPECT_NE(refusal(folder.path()).find("expected a tokenizer: everlong_tokenizer.json, tokenizer.json, vocab.bpe + encoder.json"),
            std::string::npos);
  write_text(folder / "vocab.json", kVocab);
  EXPECT_NE(refusal(folder.path()).find("expected merges.txt beside it, got none"), std::string::npos);
  write_text(folder / "merges.txt", kMerges);
  EXPECT_EQ(refusal(folder.path()), "nothing was thrown");
  make_bytes_tokenizer()->save(folder.path());
  EXPECT_NE(refusal(folder.path()).find("expected one tokenizer, got everlong_tokenizer.json, vocab.json"), std::string::npos);
  write_text(folder / "notes.txt", "x");
  EXPECT_NE(refusal(folder / "notes.txt").find("got 'notes.txt'"), std::string::npos);
}

TEST(LoadTokenizer, MalformedGpt2FilesAreRefusedByLineOrKey) {
  const TemporaryFolder folder;
  const auto refuses = [&](const char* vocab, const char* merges, const char* part) {
    write_text(folder / "encoder.json", vocab);
    write_text(folder / "vocab.bpe", merges);
    const std::string message = refusal(folder.path());
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  refuses(kVocab, "a b\nab\n", "vocab.bpe at 2] expected a line 'left right', got ab");
  refuses(kVocab, "a b c\n", "at 1] expected a line");
  refuses(kVocab, "a c\n", "got 'c'");
  refuses(kVocab, "b a\n", "got 'ba'");
  refuses(R"({"a": 0, "b": 0})", "", "expected every id once, got 0 twice");
  refuses(R"({"a": 1})", "", "a] expected an integer from 0 to 0, got 1");
  refuses(R"({"a": -1})", "", "got -1");
  refuses(R"({"a": "0"})", "", "got \"0\"");
  refuses("[]", "", "expected an object of tokens and ids");
  refuses("{}", "", "expected an object of tokens and ids");
  refuses("{", "", "encoder.json");
  refuses(R"({"a": 0, "a": 1})", "", "expected each key once, got a duplicate");
  refuses(R"({"a": 0} x)", "", "expected valid JSON");
  refuses(R"({"a": 0.0})", "", "got 0.0");
  refuses(R"({"": 1, "b": 1})", "", "expected every id once, got 1 twice");
  refuses(R"({"\ud83d": 0})", "", "expected valid JSON");
  refuses("{\"\xff\": 0}", "", "expected valid JSON");
}

TEST(LoadTokenizer, Gpt2FilesAreTheSameHoweverTheirJsonIsWritten) {
  const TemporaryFolder folder;
  const auto fingerprint = [&](const char* vocab) {
    write_text(folder / "encoder.json", vocab);
    write_text(folder / "vocab.bpe", "a b\n");
    return load_tokenizer(folder.path())->fingerprint();
  };
  const std::string plain = fingerprint("{\"a\":0,\"b\":1,\"ab\":2,\"\xf0\x9f\x98\x80\":3}");
  EXPECT_EQ(fingerprint("{\"ab\":2,\n \"\\ud83d\\ude00\" : 3 , \"b\":1, \"\\u0061\":0}\n"), plain);
  EXPECT_EQ(fingerprint("{\"\xf0\x9f\x98\x80\":3,\"\\u0061\":0,\"b\":1,\"ab\":2}"), plain);
  EXPECT_NE(fingerprint("{\"a\":0,\"b\":3,\"ab\":2,\"\xf0\x9f\x98\x80\":1}"), plain);
}

TEST(LoadTokenizer, TruncatedSentencePieceModelsAreRefusedOrWork) {
  const std::string model = testing::read_text(source_path("tests/data/text/bpe_bytes.model"));
  const TemporaryFolder folder;
  int refused = 0;
  for (size_t size = 0; size < model.size(); size += 1 + size / 40) {
    write_text(folder / "cut.model", std::string_view(model).substr(0, size));
    try {
      const auto tokenizer = load_tokenizer(folder / "cut.model");
      (void)tokenizer->decode(tokenizer->encode("Hello world, here we are"));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(LoadTokenizer, DamagedSentencePieceModelsAreRefusedOrWork) {
  const std::string model = testing::read_text(source_path("tests/data/text/bpe_bytes.model"));
  CounterRng rng(1, 0);
  int refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string damaged = model;
    for (uint64_t i = 1 + rng.next_below(3); i > 0; --i) damaged[rng.next_below(damaged.size())] = static_cast<char>(rng.next_below(256));
    try {
      const auto tokenizer = make_sentencepiece_tokenizer(damaged, "damaged.model");
      (void)tokenizer->decode(tokenizer->encode("Hello caf\u00e9 world 12 \xff  x"));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
  EXPECT_LT(refused, 1500);
}

TEST(LoadTokenizer, SentencePiecesThatNoTrieCanHoldAreRefused) {
  // One more piece, of the text "", then of the text "\0", with score 0.
  using std::string_literals::operator""s;
  const std::string model = testing::read_text(source_path("tests/data/text/unigram_nfkc.model"));
  for (const std::string& piece : {"\x0a\x07\x0a\x00\x15\x00\x00\x00\x00"s, "\x0a\x08\x0a\x01\x00\x15\x00\x00\x00\x00"s}) {
    EXPECT_THROW((void)make_sentencepiece_tokenizer(model + piece, "odd.model"), FormatError);
  }
}

TEST(LoadTokenizer, SentencePieceTriesThatPointOutsideAreRefused) {
  std::string model = testing::read_text(source_path("tests/data/text/unigram_nfkc.model"));
  const TemporaryFolder folder;
  const size_t map = model.find("nmt_nfkc");
  ASSERT_NE(map, std::string::npos);
  // After the rule's name: tag and length of the character map, then the size of its trie, then the root unit.
  const size_t root = model.find(std::string_view("\0", 1), map) + 64;
  for (size_t i = 0; i < 64; ++i) model[root + i] = '\x7f';
  write_text(folder / "bad.model", model);
  EXPECT_NE(refusal(folder.path()).find("expected links inside the trie"), std::string::npos) << refusal(folder.path());
}

TEST(Tokenizer, IdsOutsideTheVocabularyAreRefused) {
  const auto tokenizer = load_tokenizer(source_path("tests/data/text/llama.json"));
  const int32_t size = tokenizer->vocab_size();
  for (const int32_t id : {-1, size}) {
    EXPECT_THROW((void)tokenizer->token_bytes(id), InvalidArgument);
    EXPECT_THROW((void)tokenizer->decode({&id, 1}), InvalidArgument);
  }
}

}  // namespace
}  // namespace everlong::text
