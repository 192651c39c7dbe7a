#include "apps/everlong/verbs/data.h"

#include <array>

#include <nlohmann/json.hpp>

#include "apps/everlong/inspection.h"

namespace everlong::app {
namespace {

constexpr std::array<std::pair<std::string_view, CorpusFormat>, 2> kFormats{
    {{"megatron", CorpusFormat::megatron}, {"nanogpt", CorpusFormat::nanogpt}}};

}  // namespace

Syntax declare_data(Syntax& program, DataOptions& options) {
  Syntax group = program.verb("data", "Pack text into token corpora, look at them, make examples of tasks");
  Syntax pack = group.verb("pack", "Tokenize text and JSONL files into one corpus");
  pack.values("FILE", options.files, Kind::file, "Text (.txt) or JSONL (.jsonl) files, also with .zst or .gz after it").required();
  pack.value("-t,--tokenizer", options.tokenizer, Kind::path, "Tokenizer: bytes, a tokenizer file, or a directory that holds one").required();
  pack.value("-o,--out", options.out, Kind::path, "Prefix of the files to write").required();
  pack.choice("--format", options.format, Names<CorpusFormat>(kFormats), "megatron writes PREFIX.bin and PREFIX.idx, nanogpt one PREFIX.bin");
  pack.value("--document-separator", options.separator, Kind::text, "In text files: the line between documents; default: a file is one document");
  pack.flag("--end-of-document", options.end_of_document, "Write the tokenizer's end token after each document");
  pack.json(options.json);
  pack.on_chosen([&options] { options.action = DataAction::pack; });
  pack.example("everlong data pack corpus/*.jsonl.zst --tokenizer models/gpt2 -o data/corpus");
  Syntax info = group.verb("info", "Show documents, tokens and width of a packed corpus");
  info.value("PATH", options.path, Kind::path, "Packed corpus, or its prefix").required();
  info.json(options.json);
  info.on_chosen([&options] { options.action = DataAction::info; });
  declare_data_make(group, options.make, [&options] { options.action = DataAction::make; });
  return group.require_verb();
}

int run_data_info(const DataOptions& options) {
  const Json finding = inspect(options.path, PathKind::corpus);
  print(options.json ? json_line(finding) : inspection_text(finding));
  return 0;
}

}  // namespace everlong::app
