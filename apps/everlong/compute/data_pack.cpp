#include <chrono>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/interrupt.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/base/error.h"
#include "everlong/data/megatron.h"
#include "everlong/text/tokenizer.h"

namespace everlong::app {
namespace {

namespace fs = std::filesystem;

data::PackOptions pack_options(const DataOptions& options, const text::Tokenizer& tokenizer) {
  data::PackOptions pack{.format =
                             options.format == CorpusFormat::megatron ? data::PackedWriter::Format::megatron : data::PackedWriter::Format::nanogpt};
  pack.read.document_separator = options.separator;
  if (!options.end_of_document) return pack;
  pack.eos_id = tokenizer.special_ids().eos;
  require(pack.eos_id.has_value(),
          [] { return Complaint{.where = "--end-of-document", .expected = "a tokenizer with an end token", .got = "one without"}; });
  return pack;
}

void print_result(const DataOptions& options, const text::Tokenizer& tokenizer, const data::PackProgress& packed) {
  const double bytes_per_token = packed.tokens > 0 ? static_cast<double>(packed.text_bytes) / static_cast<double>(packed.tokens) : 0;
  if (options.json) {
    const nlohmann::ordered_json object = {{"prefix", options.out},
                                           {"format", options.format == CorpusFormat::megatron ? "megatron" : "nanogpt"},
                                           {"documents", packed.documents},
                                           {"tokens", packed.tokens},
                                           {"text_bytes", packed.text_bytes},
                                           {"bytes_per_token", bytes_per_token},
                                           {"tokenizer", tokenizer.fingerprint()}};
    print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return;
  }
  print(fmt::format("{}: {} documents, {} tokens, {} of text, {:.2f} bytes a token\n", options.out, packed.documents, packed.tokens,
                    human_bytes(packed.text_bytes), bytes_per_token));
}

}  // namespace

int run_data_pack(const DataOptions& options) {
  const auto tokenizer = options.tokenizer == "bytes" ? text::make_bytes_tokenizer() : text::load_tokenizer(options.tokenizer);
  data::PackOptions pack = pack_options(options, *tokenizer);
  const InterruptScope interrupt;
  Progress progress;
  const auto start = std::chrono::steady_clock::now();
  pack.progress = [&](const data::PackProgress& now) {
    if (interrupt.requested()) throw Interrupted{};  // what was written so far is removed on the way out
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    progress.update({.step = now.tokens, .tokens_per_second = static_cast<double>(now.tokens) / std::max(elapsed.count(), 1e-9)});
  };
  const fs::path folder = fs::path(options.out).parent_path();
  if (!folder.empty()) fs::create_directories(folder);
  const std::vector<fs::path> files(options.files.begin(), options.files.end());
  const data::PackProgress packed = data::pack(files, *tokenizer, options.out, pack);
  progress.clear();
  print_result(options, *tokenizer, packed);
  return kSuccess;
}

}  // namespace everlong::app
