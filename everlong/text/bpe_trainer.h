#pragma once
// Learns a byte-level vocabulary from texts.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

struct BpeTrainerOptions {
  int64_t min_pair_count = 2;               ///< a pair seen less often is not merged
  std::vector<std::string> special_tokens;  ///< ids 0, 1, ...; never produced by merging, found in texts as they are spelled
};

/// Learns `vocab_size` tokens: the special ones, the 256 bytes, and merges of the most frequent neighbours inside GPT-2's words.
/// Among pairs of equal count the one whose left id, then right id, is smallest goes first; the result does not depend on the order of the texts.
/// The vocabulary comes out smaller if the texts have too few pairs.
/// Cost     O(bytes of text) to count words, then in the order of (distinct words) x (their length)
/// Errors   InvalidArgument if vocab_size is too small for bytes and special tokens, if a special token is empty, no UTF-8, a duplicate or one
///          character of the byte alphabet
/// Source   Hugging Face tokenizers, BpeTrainer with ByteLevel pre-tokenizer and its whole alphabet. Exact: the same ids and merges.
[[nodiscard]] BpeDefinition train_bpe(std::span<const std::string_view> texts, int64_t vocab_size, const BpeTrainerOptions& options = {});

}  // namespace everlong::text
