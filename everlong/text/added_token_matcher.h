#pragma once
// Finds the added tokens in a text before the rest of the tokenizer sees it.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

/// A stretch of text that is one added token (id >= 0) or lies between them (id = -1).
struct TokenOrText {
  int32_t id = -1;
  size_t begin = 0, end = 0;
};

class AddedTokenMatcher {
 public:
  /// `spellings[i]` is what tokens[i] looks like in the texts to come.
  AddedTokenMatcher(std::span<const AddedToken> tokens, std::span<const std::string> spellings);

  /// Cuts `text` at its tokens: at each place the longest one, from left to right. Empty stretches are left out.
  /// Cost     O(n L), L the longest spelling; O(n) where no token begins
  void split(std::string_view text, bool parse_special, std::vector<TokenOrText>& pieces) const;

  [[nodiscard]] bool empty() const { return tokens_.empty(); }

 private:
  struct Node {
    std::vector<std::pair<uint8_t, uint32_t>> children;  ///< sorted by byte
    int32_t token = -1;                                  ///< index of the token that ends here
  };
  struct Match {
    size_t begin, end;
    const AddedToken* token;
  };

  [[nodiscard]] std::optional<Match> next(std::string_view text, size_t from) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
  std::array<bool, 256> first_bytes_{};
};

}  // namespace everlong::text
