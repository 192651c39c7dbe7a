#include "everlong/data/learn_tokenizer.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/base/error.h"
#include "everlong/io/jsonl.h"
#include "everlong/io/lines.h"
#include "everlong/text/special_roles.h"

namespace everlong::data {
namespace {

bool is_jsonl(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.ends_with(".jsonl") || name.ends_with(".jsonl.gz") || name.ends_with(".jsonl.zst");
}

void append_texts(const std::filesystem::path& path, std::vector<std::string>& texts) {
  const auto extension = path.extension();
  const std::string where = path.string();
  require(extension != ".bin" && extension != ".idx", [&] {
    return Complaint{.where = where,
                     .expected = "text to learn a tokenizer from",
                     .got = "packed tokens",
                     .hint = "set data.tokenizer to the one that packed them"};
  });
  if (!is_jsonl(path)) {
    texts.push_back(io::read_document(path));
    return;
  }
  io::JsonlReader documents(path);
  while (const auto document = documents.next()) texts.emplace_back(*document);
}

}  // namespace

std::unique_ptr<text::Tokenizer> learn_bpe(std::span<const std::filesystem::path> files, int64_t vocab_size, const text::BpeTrainerOptions& options) {
  std::vector<std::string> texts;
  for (const auto& file : files) append_texts(file, texts);
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  text::BpeDefinition definition = text::train_bpe(views, vocab_size, options);
  for (text::AddedToken& token : definition.added_tokens) token.lstrip = token.content == "<mask>";  // it stands for a word with the space before it
  const auto id_of = [&](std::string_view spelling) {
    const auto found = std::find(options.special_tokens.begin(), options.special_tokens.end(), spelling);
    return found == options.special_tokens.end() ? std::nullopt : std::optional(static_cast<int32_t>(found - options.special_tokens.begin()));
  };
  text::find_special_ids("", id_of, definition);
  return text::make_bpe_tokenizer(std::move(definition));
}

}  // namespace everlong::data
