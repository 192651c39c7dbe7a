#include <array>
#include <cstring>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include "everlong/data/corpus.h"
#include "everlong/base/error.h"
#include "everlong/data/megatron.h"
#include "everlong/text/tokenizer.h"
#include "tests/data/support.h"
#include "tests/support/files.h"

namespace everlong::data {
namespace {

using testing::message_of;

using Path = std::filesystem::path;
using Values = std::vector<int64_t>;

const std::array<std::string, 3> kTexts = {"The first\ndocument.\n", "zwölf Äpfel", "\"quoted\"\tend"};
const std::string kJsonl =
    "{\"text\": \"The first\\ndocument.\\n\"}\n\n{\"id\": 3, \"content\": \"zwölf \\u00c4pfel\"}\n{\"text\": \"\\\"quoted\\\"\\tend\"}";

std::string gzipped(const std::string& text) {
  std::string packed(compressBound(text.size()) + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string zstd_compressed(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

class ReadCorpus : public ::testing::Test {
 protected:
  Corpus read(std::vector<Path> files, const ReadOptions& options = {}) { return Corpus::read(files, *tokenizer_, options); }
  Path write(std::string_view name, std::string_view content) {
    testing::write_text(folder_ / name, content);
    return folder_ / name;
  }
  std::string text_of(const Corpus& corpus, int64_t document) {
    const Values tokens = tokens_of(corpus, document);
    return tokenizer_->decode(std::vector<int32_t>(tokens.begin(), tokens.end()));
  }
  template <class E>
  std::string refusal(std::vector<Path> files, const ReadOptions& options = {}) {
    return message_of<E>([&] { (void)read(std::move(files), options); }, folder_.path().string() + "/");
  }
  void expect_the_texts(const Corpus& corpus) {
    ASSERT_EQ(corpus.num_documents(), 3);
    for (int64_t i = 0; i < 3; ++i) {
      const std::string& text = kTexts[static_cast<size_t>(i)];
      EXPECT_EQ(text_of(corpus, i), text);
      EXPECT_EQ(corpus.document_len(i), std::ssize(text));
      EXPECT_EQ(corpus.document_bytes(i), std::ssize(text));
    }
  }

  testing::TemporaryFolder folder_;
  std::unique_ptr<text::Tokenizer> tokenizer_ = text::make_bytes_tokenizer();
};

TEST_F(ReadCorpus, OneTextInEveryFormIsOneCorpus) {
  expect_the_texts(read({write("a.txt", kTexts[0]), write("b.txt", kTexts[1]), write("c.txt", kTexts[2])}));
  expect_the_texts(read({write("a.txt.gz", gzipped(kTexts[0])), write("b.txt.zst", zstd_compressed(kTexts[1])), write("c.txt", kTexts[2])}));
  expect_the_texts(read({write("all.jsonl", kJsonl)}));
  expect_the_texts(read({write("all.jsonl.gz", gzipped(kJsonl))}));
  expect_the_texts(read({write("all.jsonl.zst", zstd_compressed(kJsonl))}));
}

TEST_F(ReadCorpus, SeparatorLinesCutATextIntoDocuments) {
  const auto documents = [&](std::string_view content) {
    const Corpus corpus = read({write("a.txt", content)}, {.document_separator = "<|end|>"});
    std::vector<std::string> texts;
    for (int64_t i = 0; i < corpus.num_documents(); ++i) texts.push_back(text_of(corpus, i));
    return texts;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(documents("one\ntwo\n<|end|>\n\nthree <|end|>\n<|end|>\nfour"), (Texts{"one\ntwo", "\nthree <|end|>", "four"}));
  EXPECT_EQ(documents("one\n<|end|>\n"), (Texts{"one"}));
  EXPECT_EQ(documents("<|end|>\none\n"), (Texts{"", "one"}));
  EXPECT_EQ(documents(""), Texts{});
}

TEST_F(ReadCorpus, EmptyFilesAndDocumentsStay) {
  const Corpus corpus = read({write("empty.txt", ""), write("empty.jsonl", ""), write("a.jsonl", "{\"text\": \"\"}\n{\"text\": \"x\"}\n")});
  ASSERT_EQ(corpus.num_documents(), 3);
  EXPECT_EQ(corpus.document_len(0), 0);
  EXPECT_EQ(corpus.document_len(1), 0);
  EXPECT_EQ(text_of(corpus, 2), "x");
  EXPECT_EQ(corpus.total_bytes(), 1);
  EXPECT_EQ(read({}).num_documents(), 0);
  EXPECT_EQ(read({write("empty.bin", "")}).num_tokens(), 0);
}

TEST_F(ReadCorpus, FilesThatAreNoCorpusAreRefused) {
  const std::string known = "[data] expected a corpus: .txt or .jsonl, also with .gz or .zst after it, or packed tokens: .bin, .idx, got ";
  EXPECT_EQ(refusal<InvalidArgument>({write("a.parquet", "")}), known + "a.parquet.");
  EXPECT_EQ(refusal<InvalidArgument>({write("a.bin.gz", "")}), known + "a.bin.gz.");
  EXPECT_EQ(refusal<InvalidArgument>({write("plain", "")}), known + "plain.");
  for (const char* name : {"none.txt", "none.txt.gz", "none.jsonl", "none.bin", "none.idx"}) {
    EXPECT_EQ(refusal<IoError>({folder_ / name}), "[" + std::string(name) + "] cannot open: No such file or directory.");
  }
  EXPECT_EQ(refusal<FormatError>({write("odd.bin", "abc")}),
            "[odd.bin at 3, size] expected an even number of bytes (nanoGPT's uint16 tokens), got 3. Hint: a Megatron dataset needs its .idx file "
            "beside it.");
  EXPECT_NE(refusal<FormatError>({write("long.txt", "123456")}, {.max_document_bytes = 5}), "nothing was thrown");
  EXPECT_NE(refusal<FormatError>({write("long.jsonl", "{\"text\": \"1\"}")}, {.max_document_bytes = 5}), "nothing was thrown");
  EXPECT_EQ(refusal<FormatError>({write("long.txt", "123\n456\n")}, {.document_separator = "-", .max_document_bytes = 5}),
            "[long.txt at 2, document] expected at most 5 bytes, got more.");
}

TEST_F(ReadCorpus, ReadsTheMegatronFileOfAnIndependentWriter) {
  const PackedFile packed = open_megatron(testing::source_path("tests/data/megatron_sample"));
  EXPECT_FALSE(packed.info);
  EXPECT_EQ(message_of<FormatError>(
                [&] {
                  const Corpus corpus = read({testing::source_path("tests/data/megatron_sample.bin")});
                  EXPECT_EQ(tokens_of(corpus, 0), (Values{1, 2, 3}));
                  EXPECT_EQ(corpus.document_len(2), 0);
                  EXPECT_EQ(tokens_of(corpus, 3), (Values{7, 8, 9, 10, 11}));
                  EXPECT_EQ(corpus.document_bytes(0), std::nullopt);
                  (void)tokens_of(corpus, 1);
                },
                testing::source_path("tests/data").string() + "/"),
            "[megatron_sample.bin at 6, token] expected an id in [0, 256), got 65000. Hint: the file may come from another tokenizer.");
}

TEST_F(ReadCorpus, APackedCorpusEqualsTheText) {
  const std::vector<Path> files = {write("all.jsonl", kJsonl)};
  std::vector<int64_t> seen;
  const PackProgress summary =
      pack(files, *tokenizer_, folder_ / "packed", {.progress = [&](const PackProgress& p) { seen.push_back(p.text_bytes); }});
  EXPECT_EQ(summary.documents, 3);
  EXPECT_EQ(summary.tokens, summary.text_bytes);
  EXPECT_EQ(seen, (Values{20, 33, 45}));
  expect_the_texts(read({folder_ / "packed.bin"}));
  expect_the_texts(read({folder_ / "packed.idx"}));
  const PackedFile packed = open_megatron(folder_ / "packed");
  EXPECT_EQ(packed.tokens.type, TokenType::u16);
  EXPECT_EQ(packed.info->sources, (std::vector<std::string>{"all.jsonl"}));
  EXPECT_EQ(packed.info->vocab_size, 256);
}

TEST_F(ReadCorpus, PackingAppendsAnEndAndLeavesEmptyDocumentsOut) {
  const std::vector<Path> files = {write("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": \"\"}\n{\"text\": \"c\"}\n")};
  (void)pack(files, *tokenizer_, folder_ / "packed", {.eos_id = 0});
  const Corpus corpus = read({folder_ / "packed.bin"});
  ASSERT_EQ(corpus.num_documents(), 2);
  EXPECT_EQ(tokens_of(corpus, 0), (Values{'a', 'b', 0}));
  EXPECT_EQ(tokens_of(corpus, 1), (Values{'c', 0}));
  EXPECT_EQ(corpus.document_bytes(0), 2);
}

TEST_F(ReadCorpus, NanoGptFilesAreOneDocumentOfUint16) {
  const std::vector<Path> files = {write("a.jsonl", kJsonl)};
  testing::write_text(folder_ / "nano.idx", "left from before");
  (void)pack(files, *tokenizer_, folder_ / "nano", {.format = PackedWriter::Format::nanogpt});
  const std::string bytes = testing::read_text(folder_ / "nano.bin");
  EXPECT_EQ(bytes.substr(0, 6), std::string("T\0h\0e\0", 6));
  const Corpus corpus = read({folder_ / "nano.bin"});
  ASSERT_EQ(corpus.num_documents(), 1);
  EXPECT_EQ(text_of(corpus, 0), kTexts[0] + kTexts[1] + kTexts[2]);
  EXPECT_EQ(corpus.document_bytes(0), 45);
  EXPECT_EQ(message_of<InvalidArgument>([&] { PackedWriter(folder_ / "large", PackedWriter::Format::nanogpt, 65537, ""); }),
            "[pack] expected at most 65536 tokens in the vocabulary of a nanoGPT file, got 65537. Hint: write a Megatron file.");
}

TEST_F(ReadCorpus, LargeVocabulariesArePackedAsInt32) {
  const std::vector<int32_t> first = {70000, 1}, second = {2};
  PackedWriter writer(folder_ / "large", PackedWriter::Format::megatron, 100000, "x");
  writer.add_document(first, 9);
  writer.add_document(second, 1);
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              const std::vector<int32_t> wrong = {100000};
              writer.add_document(wrong, 1);
            }),
            "[pack] expected token ids in [0, 100000), got 100000.");
  writer.commit({});
  PackedFile packed = open_megatron(folder_ / "large");
  EXPECT_EQ(packed.tokens.type, TokenType::i32);
  EXPECT_EQ(packed.document_lens, (Values{2, 1}));
  int32_t token = 0;
  std::memcpy(&token, packed.tokens.bytes.data(), sizeof(token));
  EXPECT_EQ(token, 70000);
}

TEST_F(ReadCorpus, AFailedPackLeavesNothing) {
  const std::vector<Path> files = {write("a.jsonl", "{\"text\": \"ab\"}\n{\"text\": 3}\n")};
  EXPECT_THROW((void)pack(files, *tokenizer_, folder_ / "packed"), FormatError);
  const std::vector<Path> packed = {write("b.bin", "ab")};
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)pack(packed, *tokenizer_, folder_ / "packed"); }, folder_.path().string() + "/"),
            "[data] expected a text file: .txt or .jsonl, also with .gz or .zst after it, got b.bin.");
  EXPECT_EQ(message_of<InvalidArgument>([&] { (void)pack({}, *tokenizer_, folder_ / "packed", {.eos_id = 256}); }),
            "[pack] expected an end token in [0, 256), got 256.");
  size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) left += entry.path().filename().string().starts_with("packed");
  EXPECT_EQ(left, 0u);
}

TEST_F(ReadCorpus, PackedFilesThatDoNotBelongTogetherAreRefused) {
  const std::vector<Path> files = {write("a.jsonl", kJsonl)};
  const auto refusal_after = [&]<class E>(E*, std::string_view name, auto change) {
    (void)pack(files, *tokenizer_, folder_ / "p");
    std::string content = testing::read_text(folder_ / name);
    change(content);
    testing::write_text(folder_ / name, content);
    return refusal<E>({folder_ / "p.bin"});
  };
  FormatError* format = nullptr;
  InvalidArgument* argument = nullptr;
  const auto replace = [](std::string from, std::string to) {
    return [from, to](std::string& text) { text.replace(text.find(from), from.size(), to); };
  };
  EXPECT_EQ(refusal_after(format, "p.bin", [](std::string& bytes) { bytes.pop_back(); }),
            "[p.bin at 89, size] expected 90 bytes, as p.idx says, got 89. Hint: the files of this name do not belong together, or one was cut off.");
  EXPECT_EQ(refusal_after(format, "p.json", replace("everlong.packed", "other")),
            "[p.json, format] expected \"everlong.packed\", got \"other\". Hint: this name belongs to the description of the packed file; move the "
            "other file away.");
  EXPECT_EQ(
      refusal_after(format, "p.json", [](std::string& text) { text = "[]"; }),
      "[p.json, format] expected \"everlong.packed\", got nothing. Hint: this name belongs to the description of the packed file; move the other "
      "file away.");
  EXPECT_EQ(refusal_after(format, "p.json", replace("\"version\": 1", "\"version\": 2")), "[p.json, version] expected 1, got 2.");
  EXPECT_EQ(refusal_after(format, "p.json", replace("20,", "")),
            "[p.json, document_bytes] expected 3 documents, got 2. Hint: the files of this name do not belong together; pack the text again.");
  EXPECT_EQ(refusal_after(format, "p.json", replace("20,", "-20,")), "[p.json, document_bytes] expected a list of integers >= 0, got -20.");
  EXPECT_EQ(refusal_after(format, "p.json", replace("256", "\"x\"")), "[p.json, vocab_size] expected an integer >= 0, got \"x\".");
  EXPECT_EQ(refusal_after(format, "p.json", replace("\"a.jsonl\"", "1")), "[p.json, sources] expected a list of texts, got 1.");
  const std::string fingerprint = tokenizer_->fingerprint();
  EXPECT_EQ(refusal_after(argument, "p.json", replace(fingerprint, "0123")),
            "[p.bin] expected tokens of the tokenizer " + fingerprint + ", got 0123. Hint: pack the text again with this tokenizer.");
}

}  // namespace
}  // namespace everlong::data
