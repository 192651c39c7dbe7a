#include "everlong/text/token_decoder.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "everlong/base/error.h"
#include "everlong/text/byte_alphabet.h"

namespace everlong::text {
namespace {

std::string replace_all(std::string_view text, std::string_view what, std::string_view with) {
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, done)) {
    out += text.substr(done, at - done);
    out += with;
    done = at + what.size();
  }
  out += text.substr(done);
  return out;
}

/// The byte that "<0xAB>" names.
std::optional<char> named_byte(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling.back() != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(spelling.data() + 3, spelling.data() + 5, byte, 16);
  if (error != std::errc() || end != spelling.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

std::string decode_spelling(std::string_view spelling, const std::vector<DecoderStep>& steps) {
  std::string bytes(spelling);
  for (const DecoderStep& step : steps) {
    switch (step.kind) {
      case DecoderStep::Kind::byte_level:
        if (auto unspelt = unspell_bytes(bytes)) bytes = std::move(*unspelt);
        break;
      case DecoderStep::Kind::metaspace:
        bytes = replace_all(bytes, step.replacement, " ");
        break;
      case DecoderStep::Kind::replace:
        bytes = replace_all(bytes, step.pattern, step.content);
        require(bytes.size() <= 8 * spelling.size() + 64, [&] {
          return Complaint{.where = "tokenizer",
                           .expected = "a decoder that makes tokens at most 8 times as long",
                           .got = "a longer one",
                           .hint = "look at the decoder's Replace steps"};
        });
        break;
      case DecoderStep::Kind::byte_fallback:
        if (const auto byte = named_byte(bytes)) bytes = std::string(1, *byte);
        break;
      case DecoderStep::Kind::fuse:
      case DecoderStep::Kind::strip:
        break;
    }
  }
  return bytes;
}

}  // namespace

bool decoder_order_is_supported(const std::vector<DecoderStep>& steps) {
  using Kind = DecoderStep::Kind;
  if (steps.size() == 1 && (steps[0].kind == Kind::byte_level || steps[0].kind == Kind::metaspace)) return true;
  size_t i = 0;
  while (i < steps.size() && steps[i].kind == Kind::replace) ++i;
  if (i < steps.size() && steps[i].kind == Kind::byte_fallback) ++i;
  if (i < steps.size() && steps[i].kind == Kind::fuse) {
    ++i;
    const auto strips_start = [](const DecoderStep& step) {
      return step.kind == Kind::strip && step.stop == 0 && step.content.size() == 1 && static_cast<unsigned char>(step.content[0]) < 0x80;
    };
    if (i < steps.size() && strips_start(steps[i])) ++i;
  }
  return i == steps.size() && !steps.empty();
}

TokenDecoder::TokenDecoder(const BpeDefinition& definition) {
  entries_.reserve(definition.vocabulary.size() + definition.added_tokens.size());
  for (const VocabularyEntry& entry : definition.vocabulary) add(entry.id, entry.spelling, false, definition.decoder);
  for (const AddedToken& token : definition.added_tokens) add(token.id, token.content, token.special, definition.decoder);
  for (const DecoderStep& step : definition.decoder) {
    if (step.kind == DecoderStep::Kind::metaspace) first_drops_spaces_ = step.prepend != PrependScheme::never;
    if (step.kind == DecoderStep::Kind::strip) {
      max_stripped_ = step.start;
      stripped_char_ = step.content[0];
    }
  }
}

void TokenDecoder::add(int32_t id, std::string_view spelling, bool special, const std::vector<DecoderStep>& steps) {
  const auto index = static_cast<size_t>(id);
  if (index >= entries_.size()) entries_.resize(index + 1);
  entries_[index] = {static_cast<uint32_t>(arena_.size()), 0, special};
  if (special) return;
  const std::string bytes = decode_spelling(spelling, steps);
  arena_ += bytes;
  entries_[index].size_bytes = static_cast<uint32_t>(bytes.size());
}

std::string_view TokenDecoder::bytes(int32_t id) const {
  const Entry& entry = entries_[static_cast<size_t>(id)];
  return std::string_view(arena_).substr(entry.begin, entry.size_bytes);
}

void TokenDecoder::decode_next(int32_t id, DecodePosition& position, std::string& out) const {
  if (entries_[static_cast<size_t>(id)].special) return;
  std::string_view token = bytes(id);
  if (position.at_start && first_drops_spaces_) {
    position.at_start = false;
    std::copy_if(token.begin(), token.end(), std::back_inserter(out), [](char c) { return c != ' '; });
    return;
  }
  while (position.at_start && position.stripped_spaces < max_stripped_ && token.starts_with(stripped_char_)) {
    token.remove_prefix(1);
    ++position.stripped_spaces;
  }
  if (!token.empty()) position.at_start = false;
  out += token;
}

}  // namespace everlong::text
