#include "everlong/text/tokenizer.h"

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::text {

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<int32_t> ids;
  append_encoding(text, options, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  DecodePosition position;
  for (const int32_t id : ids) decode_next(id, position, bytes);
  return bytes;
}

void Tokenizer::decode_next(int32_t id, DecodePosition& position, std::string& bytes) const {
  const std::string_view token = token_bytes(id);
  if (!token.empty()) position.at_start = false;
  bytes += token;
}

void Tokenizer::check_id(int32_t id) const {
  require(id >= 0 && id < vocab_size(), [&] {
    return Complaint{.where = "tokenizer",
                     .expected = fmt::format("a token id from 0 to {}", vocab_size() - 1),
                     .got = fmt::format("{}", id),
                     .hint = "a model whose vocabulary is padded can emit ids that its tokenizer lacks: mask them when sampling"};
  });
}

}  // namespace everlong::text
