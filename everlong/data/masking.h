#pragma once
// Masked-language-model examples: some tokens are hidden, and the model is to say what they were. No torch.

#include <cstdint>
#include <span>
#include <vector>

#include "everlong/data/token_roles.h"

namespace everlong::data {

/// Label of a position at which nothing is to be predicted.
inline constexpr int64_t kNoLabel = -100;

struct MaskingOptions {
  double ratio = 0.4;         ///< share of the ordinary tokens (or words) to predict, in (0, 1]
  double mask_share = 0.8;    ///< of those: shown as the mask token
  double random_share = 0.1;  ///< of those: shown as a random ordinary token; the rest is shown as it is
  bool whole_words = false;   ///< draw words; all tokens of one are predicted, each shown by its own draw
  int32_t mask_id = 0;
  uint64_t seed = 0;
};

/// Masks examples. Immutable; may be used by several threads.
class Masking {
 public:
  /// Errors   InvalidArgument if a share is outside its range or mask_id outside the vocabulary
  Masking(TokenRoles roles, const MaskingOptions& options);

  /// Masks `ids` in place and writes to `labels` what was there, kNoLabel at all other positions. Returns how many tokens are to be predicted.
  /// Math     of n units (ordinary tokens; or words, which begin after a special token and at tokens with leading white space), floor(ratio n + u)
  ///          are drawn without replacement, u uniform in [0, 1); at least one where there is one
  /// Units    0 <= example < 2^48: number it anew for each epoch to see another mask
  /// State    the result is a function of (seed, example, ids) alone
  /// Errors   InvalidArgument if the lengths differ, an id is outside the vocabulary, or `example` outside its range
  int64_t mask(std::span<int64_t> ids, std::span<int64_t> labels, int64_t example) const;

  [[nodiscard]] const TokenRoles& roles() const { return roles_; }

 private:
  /// Where each unit begins in `positions`, and the end.
  std::vector<size_t> units(std::span<const int64_t> ids, std::vector<size_t>& positions) const;
  void check(std::span<const int64_t> ids, std::span<const int64_t> labels, int64_t example) const;

  TokenRoles roles_;
  MaskingOptions options_;
};

}  // namespace everlong::data
