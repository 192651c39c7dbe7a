#pragma once
// SentencePiece models, run by the SentencePiece library.

#include <memory>
#include <string>
#include <string_view>

#include "everlong/text/tokenizer.h"

namespace everlong::text {

/// Reads the bytes of a SentencePiece .model file of any type (unigram, BPE, word, char).
/// Encoding is the library's: bytes that are no UTF-8 become U+FFFD, bos and eos are not added, control symbols in a text are plain text.
/// Decoding gives bytes: those of the pieces, with the library's rule for the leading space; byte pieces are not repaired.
/// Errors   FormatError if the file is no model, or one whose tables point outside themselves
[[nodiscard]] std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string model, std::string_view file_name);

}  // namespace everlong::text
