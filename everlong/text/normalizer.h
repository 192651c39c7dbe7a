#pragma once
// The normalizer of a tokenizer.json: text to text.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/regex.h"

namespace everlong::text {

class Normalizer {
 public:
  /// Errors   FormatError if a pattern does not compile
  Normalizer(const std::vector<NormalizerStep>& steps, std::string_view where);

  [[nodiscard]] bool empty() const { return steps_.empty(); }
  /// Errors   InvalidArgument if the steps make the text more than 64 times as long; Unsupported if a pattern backtracks without end
  [[nodiscard]] std::string apply(std::string_view text) const;

 private:
  std::vector<NormalizerStep> steps_;
  std::vector<std::optional<Regex>> patterns_;
};

}  // namespace everlong::text
