#pragma once
// What everlong itself reads in a SentencePiece model, and checks before the library sees it.

#include <cstdint>
#include <string>
#include <string_view>

namespace everlong::text {

/// Settings that decoding depends on.
struct SentencePieceSettings {
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string unk_surface = " \u2047 ";
};

/// Walks the protobuf and refuses what the library would follow out of its tables: the trie of the character map is not checked there.
/// Errors   FormatError
/// Source   google/sentencepiece, sentencepiece_model.proto; s-yata/darts-clone, darts.h (units of the double array)
[[nodiscard]] SentencePieceSettings check_sentencepiece_model(std::string_view model, std::string_view file_name);

}  // namespace everlong::text
