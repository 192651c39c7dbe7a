#include "apps/everlong/verbs/tokenize.h"

#include <array>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "apps/everlong/input.h"
#include "apps/everlong/inspection.h"
#include "apps/everlong/output.h"
#include "apps/everlong/token_ids.h"
#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/text/bpe_trainer.h"

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, IdFormat>, 4> kFormats{
    {{"text", IdFormat::text}, {"json", IdFormat::json}, {"u16", IdFormat::u16}, {"u32", IdFormat::u32}}};
constexpr const char* kTokenizerDoc = "Tokenizer: bytes, a tokenizer file, or a directory that holds one";

void declare_encode(Syntax& group, TokenizeOptions& options) {
  Syntax verb = group.verb("encode", "Turn text into token ids");
  verb.value("FILE", options.file, Kind::file, "Text; - is standard input");
  verb.value("-t,--tokenizer", options.tokenizer, Kind::path, kTokenizerDoc);
  verb.choice("--format", options.format, Names<IdFormat>(kFormats), "How ids are written: decimal, JSON, or 16/32-bit little-endian words");
  verb.flag("--json", options.json, "Short for --format json");
  verb.on_chosen([&options] { options.action = TokenizeAction::encode; });
  verb.example("everlong tokenize encode --tokenizer models/gpt2 book.txt --format u16 > book.bin");
}

void declare_decode(Syntax& group, TokenizeOptions& options) {
  Syntax verb = group.verb("decode", "Turn token ids back into text");
  verb.value("FILE", options.file, Kind::file, "Token ids; - is standard input");
  verb.value("-t,--tokenizer", options.tokenizer, Kind::path, kTokenizerDoc);
  verb.choice("--format", options.format, Names<IdFormat>(kFormats), "How ids are read: decimal, JSON, or 16/32-bit little-endian words");
  verb.on_chosen([&options] { options.action = TokenizeAction::decode; });
  verb.example("echo 72 105 | everlong tokenize decode --tokenizer bytes");
}

void declare_training(Syntax& group, TokenizeOptions& options) {
  Syntax verb = group.verb("train", "Learn a byte-level BPE vocabulary from text");
  verb.values("FILE", options.files, Kind::file, "Text files; - is standard input").required();
  verb.integer("--vocab-size", options.vocab_size, {.min = 257}, "Entries of the vocabulary, the 256 bytes among them").required();
  verb.value("-o,--out", options.out, Kind::directory, "Directory to write tokenizer.json to").required();
  verb.json(options.json);
  verb.on_chosen([&options] { options.action = TokenizeAction::train; });
  verb.example("everlong tokenize train corpus/*.txt --vocab-size 8192 -o tokenizers/mine");
}

void declare_info(Syntax& group, TokenizeOptions& options) {
  Syntax verb = group.verb("info", "Show kind, size and special tokens of a tokenizer");
  verb.value("MODEL", options.path, Kind::path, "bytes, a tokenizer file, or a directory that holds one").required();
  verb.json(options.json);
  verb.on_chosen([&options] { options.action = TokenizeAction::info; });
}

int encode(const TokenizeOptions& options) {
  const auto tokenizer = tokenizer_named(options.tokenizer);
  const std::string text = read_input(options.file);
  print(ids_to_text(tokenizer->encode(text), options.json ? IdFormat::json : options.format));
  return 0;
}

int decode(const TokenizeOptions& options) {
  const auto tokenizer = tokenizer_named(options.tokenizer);
  print(tokenizer->decode(ids_from_text(read_input(options.file), options.format, options.file == "-" ? "standard input" : options.file)));
  return 0;
}

int report(const text::Tokenizer& tokenizer, bool json) {
  const Json finding = inspect_tokenizer(tokenizer);
  print(json ? json_line(finding) : inspection_text(finding));
  return 0;
}

int train(const TokenizeOptions& options) {
  std::vector<std::string> texts;
  for (const std::string& file : options.files) texts.push_back(read_input(file));
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const auto tokenizer = text::make_bpe_tokenizer(text::train_bpe(views, options.vocab_size));
  if (tokenizer->vocab_size() < options.vocab_size) log_warning("the texts have too few pairs of tokens for a vocabulary of that size");
  std::error_code error;
  std::filesystem::create_directories(options.out, error);
  if (error) throw IoError("create", options.out, error.value());
  tokenizer->save(options.out);
  return report(*tokenizer, options.json);
}

int info(const TokenizeOptions& options) { return report(*tokenizer_named(options.path), options.json); }

}  // namespace

Syntax declare_tokenize(Syntax& program, TokenizeOptions& options) {
  Syntax group = program.verb("tokenize", "Encode, decode and learn vocabularies");
  declare_encode(group, options);
  declare_decode(group, options);
  declare_training(group, options);
  declare_info(group, options);
  return group.require_verb();
}

int run_tokenize(const TokenizeOptions& options) {
  switch (options.action) {
    case TokenizeAction::encode:
      return encode(options);
    case TokenizeAction::decode:
      return decode(options);
    case TokenizeAction::train:
      return train(options);
    case TokenizeAction::info:
      return info(options);
  }
  return 1;
}

}  // namespace everlong::app
