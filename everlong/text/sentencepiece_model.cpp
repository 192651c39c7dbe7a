#include "everlong/text/sentencepiece_model.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "everlong/base/error.h"

namespace everlong::text {
namespace {

enum class WireType : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

struct WireField {
  uint64_t number = 0;
  WireType type = WireType::varint;
  uint64_t value = 0;  ///< varint, fixed32, fixed64
  std::string_view bytes = {};
};

/// Reads the fields of one protobuf message in the order they come.
class WireReader {
 public:
  WireReader(std::string_view message, std::string_view file, const char* name) : rest_(message), file_(file), name_(name) {}

  std::optional<WireField> next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = varint();
    WireField field{.number = tag >> 3, .type = static_cast<WireType>(tag & 7)};
    switch (field.type) {
      case WireType::varint:
        field.value = varint();
        break;
      case WireType::fixed64:
        field.value = fixed(8);
        break;
      case WireType::fixed32:
        field.value = fixed(4);
        break;
      case WireType::bytes:
        field.bytes = take(varint());
        break;
      default:
        refuse("a protobuf field", "an unknown wire type");
    }
    return field;
  }

  [[noreturn]] void refuse(std::string_view expected, std::string_view got) const {
    throw FormatError({.file = std::string(file_), .field = name_}, expected, got, "is this a SentencePiece model?");
  }

 private:
  std::string_view take(uint64_t size) {
    if (size > rest_.size()) refuse("a field inside its message", "one that runs over its end");
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  uint64_t fixed(size_t size) {
    uint64_t value = 0;
    const std::string_view bytes = take(size);
    for (size_t i = 0; i < size; ++i) value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i])) << (8 * i);
    return value;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint64_t byte = static_cast<uint8_t>(take(1)[0]);
      value |= (byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse("a varint of at most 10 bytes", "a longer one");
  }

  std::string_view rest_;
  std::string_view file_;
  const char* name_;
};

uint32_t word_at(std::string_view bytes, size_t index) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) word |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[4 * index + i])) << (8 * i);
  return word;
}

/// The map is the size of a double array, the array, and the texts that its values point into, each ended by a zero byte.
void check_charsmap(std::string_view map, const WireReader& reader) {
  if (map.empty()) return;
  if (map.size() < 4) reader.refuse("a character map that begins with the size of its trie", "less than 4 bytes");
  const size_t trie_bytes = word_at(map, 0);
  if (trie_bytes % 1024 != 0 || trie_bytes == 0 || trie_bytes > map.size() - 4)
    reader.refuse("a trie of whole blocks inside the character map", "another size");
  const std::string_view trie = map.substr(4, trie_bytes);
  const std::string_view texts = map.substr(4 + trie_bytes);
  if (texts.empty() || texts.back() != '\0') reader.refuse("texts ended by a zero byte", "none");
  const size_t units = trie_bytes / 4;
  for (size_t unit = 0; unit < units; ++unit) {
    const uint32_t word = word_at(trie, unit);
    if (word >> 31 != 0) {
      if ((word & 0x7FFFFFFF) >= texts.size()) reader.refuse("values inside the texts", "one beyond their end");
      continue;
    }
    const size_t offset = static_cast<size_t>(word >> 10) << ((word & 0x200) >> 6);
    // Children are unit ^ offset ^ byte: one block of 256.
    if (((unit ^ offset) | 0xFF) >= units) reader.refuse("links inside the trie", "one beyond its end");
    // A leaf's value is a unit of its own, which need not have the mark of one.
    if ((word & 0x100) != 0 && (word_at(trie, unit ^ offset) & 0x7FFFFFFF) >= texts.size())
      reader.refuse("values inside the texts", "one beyond their end");
  }
}

void check_piece(std::string_view piece, std::string_view file) {
  WireReader reader(piece, file, "pieces");
  while (const auto field = reader.next()) {
    if (field->number == 2 && field->type == WireType::fixed32 && !std::isfinite(std::bit_cast<float>(static_cast<uint32_t>(field->value)))) {
      reader.refuse("scores that are finite numbers", "infinity or NaN");
    }
  }
}

void read_normalizer(std::string_view spec, std::string_view file, SentencePieceSettings& settings) {
  WireReader reader(spec, file, "normalizer_spec");
  while (const auto field = reader.next()) {
    if (field->number == 2 && field->type == WireType::bytes) check_charsmap(field->bytes, reader);
    if (field->number == 3 && field->type == WireType::varint) settings.add_dummy_prefix = field->value != 0;
    if (field->number == 4 && field->type == WireType::varint) settings.remove_extra_whitespaces = field->value != 0;
  }
}

void read_trainer(std::string_view spec, std::string_view file, SentencePieceSettings& settings) {
  WireReader reader(spec, file, "trainer_spec");
  while (const auto field = reader.next()) {
    if (field->number == 44 && field->type == WireType::bytes) settings.unk_surface = field->bytes;
  }
}

}  // namespace

SentencePieceSettings check_sentencepiece_model(std::string_view model, std::string_view file_name) {
  SentencePieceSettings settings;
  SentencePieceSettings ignored;
  WireReader reader(model, file_name, "model");
  while (const auto field = reader.next()) {
    if (field->type != WireType::bytes) continue;
    if (field->number == 1) check_piece(field->bytes, file_name);
    if (field->number == 2) read_trainer(field->bytes, file_name, settings);
    if (field->number == 3) read_normalizer(field->bytes, file_name, settings);
    if (field->number == 5) read_normalizer(field->bytes, file_name, ignored);
  }
  return settings;
}

}  // namespace everlong::text
