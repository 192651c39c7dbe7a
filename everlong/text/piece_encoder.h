#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/tokenizer.h"

namespace everlong::text {

/// Encodes a text that arrives in pieces, with memory for one piece where the tokenizer allows it: the ids are those of the whole text.
/// Byte-level tokenizers are cut where a space or line feed follows another character, which their words never span; of other families the
/// whole text is held until finish().
class PieceEncoder {
 public:
  explicit PieceEncoder(const Tokenizer& tokenizer, const EncodeOptions& options = {.add_special = false, .parse_special = false});

  /// Takes more text and appends the ids that are certain.
  void push(std::string_view text, std::vector<int32_t>& ids);

  /// Ends the text and appends the rest.
  void finish(std::vector<int32_t>& ids);

  /// True if memory does not grow with the text.
  [[nodiscard]] bool bounded() const { return bounded_; }

 private:
  const Tokenizer& tokenizer_;
  EncodeOptions options_;
  bool bounded_;
  std::string held_;
};

}  // namespace everlong::text
