#pragma once
// Tokens to text while they arrive.

#include <cstdint>
#include <string>

#include "everlong/text/tokenizer.h"

namespace everlong::text {

/// Decodes one token at a time; the pieces of text put together are the text of all tokens, bytes that are no UTF-8 replaced.
/// A copy continues on its own. The tokenizer must outlive the decoder.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// Returns the characters that are complete with this token; often none. Never splits a character; bytes that can no longer become one come out
  /// as U+FFFD, one for each maximal invalid stretch.
  /// State    keeps at most 3 bytes of an unfinished character
  /// Errors   InvalidArgument if the id is outside the vocabulary; the decoder is then unchanged
  std::string push(int32_t id);

  /// Ends the text: an unfinished character comes out as U+FFFD, and the next push() begins a new text.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  DecodePosition position_;
  std::string pending_;
};

}  // namespace everlong::text
