#pragma once
// The pre-tokenizer of a tokenizer.json: text to words that the model never merges across.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/regex.h"

namespace everlong::text {

/// Words as ranges of a buffer, since some steps change the text.
struct Words {
  std::string buffer;
  std::vector<ByteRange> ranges;  ///< in order, none empty
};

/// All steps but a final byte_level one, which the tokenizer runs on the words itself.
class PreTokenizer {
 public:
  /// Errors   FormatError if a pattern does not compile
  PreTokenizer(const std::vector<PreTokenizerStep>& steps, std::string_view where);

  [[nodiscard]] bool empty() const { return steps_.empty(); }

  /// Splits `words`, which holds one range on entry. `at_text_start`: that range begins where the whole text begins.
  void apply(Words& words, bool at_text_start) const;

 private:
  std::vector<PreTokenizerStep> steps_;
  std::vector<std::optional<Regex>> patterns_;
};

}  // namespace everlong::text
