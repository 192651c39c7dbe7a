#include "apps/everlong/verbs/data.h"

#include <array>

#include "everlong/base/error.h"

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, CorpusFormat>, 2> kFormats{
    {{"megatron", CorpusFormat::megatron}, {"nanogpt", CorpusFormat::nanogpt}}};

}  // namespace

Syntax declare_data(Syntax& program, DataOptions& options) {
  Syntax group = program.verb("data", "Pack text into token corpora and look at them");
  Syntax pack = group.verb("pack", "Tokenize text and JSONL files into one corpus");
  pack.values("FILE", options.files, Kind::file, "Text or JSONL files, zstd or gzip allowed; - is standard input").required();
  pack.value("-t,--tokenizer", options.tokenizer, Kind::path, "Tokenizer: bytes, a tokenizer file, or a directory that holds one").required();
  pack.value("-o,--out", options.out, Kind::path, "Prefix of the files to write").required();
  pack.choice("--format", options.format, Names<CorpusFormat>(kFormats), "megatron writes PREFIX.bin and PREFIX.idx, nanogpt one PREFIX.bin");
  pack.json(options.json);
  pack.on_chosen([&options] { options.action = DataAction::pack; });
  pack.example("everlong data pack corpus/*.jsonl.zst --tokenizer models/gpt2 -o data/corpus");
  Syntax info = group.verb("info", "Show documents, tokens and width of a packed corpus");
  info.value("PATH", options.path, Kind::path, "Packed corpus, or its prefix").required();
  info.json(options.json);
  info.on_chosen([&options] { options.action = DataAction::info; });
  return group.require_verb();
}

int run_data_info(const DataOptions&) { throw Unsupported({.where = "data info", .expected = "a verb that is built in this version"}); }

}  // namespace everlong::app
