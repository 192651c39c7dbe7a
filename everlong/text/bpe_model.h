#pragma once
// The model of a byte pair encoding: one word to its tokens.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/bpe_merger.h"
#include "everlong/text/string_table.h"
#include "everlong/text/word_cache.h"

namespace everlong::text {

class BpeModel {
 public:
  /// Memory of one thread; belongs to one model.
  struct Scratch {
    WordCache cache;
    BpeMerger::Scratch merger;
    std::vector<int32_t> symbols;
  };

  /// `byte_level`: words are bytes and the vocabulary spells them in GPT-2's alphabet; else words are characters.
  BpeModel(const BpeDefinition& definition, bool byte_level);

  /// Appends the tokens of one word.
  /// Cost     O(n log n); O(1) for words seen lately
  void encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;

 private:
  void start_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  void encode_part(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const;
  [[nodiscard]] std::optional<int32_t> symbol_of(std::string_view character) const;
  [[nodiscard]] bool no_merge_enters_marker(const BpeDefinition& definition) const;

  BpeMerger merger_;
  StringTable words_;
  std::vector<int32_t> word_ids_;
  std::array<int32_t, 256> byte_symbols_;  ///< byte_level: all bytes; else ASCII; -1: none
  std::array<int32_t, 256> fallback_;      ///< ids of <0x00> ... <0xFF>; -1: none
  std::optional<int32_t> unk_;
  bool byte_level_, fuse_unk_, byte_fallback_, ignore_merges_, cut_at_marker_ = false;
};

}  // namespace everlong::text
