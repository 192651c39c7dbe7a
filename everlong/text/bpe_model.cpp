#include "everlong/text/bpe_model.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/text/byte_alphabet.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

constexpr std::string_view kMarker = "\u2581";

}  // namespace

BpeModel::BpeModel(const BpeDefinition& definition, bool byte_level)
    : merger_(definition.merges),
      byte_level_(byte_level),
      fuse_unk_(definition.fuse_unk),
      byte_fallback_(definition.byte_fallback),
      ignore_merges_(definition.ignore_merges) {
  byte_symbols_.fill(-1);
  fallback_.fill(-1);
  const bool needs_words = !byte_level_ || ignore_merges_;
  if (needs_words) word_ids_.reserve(definition.vocabulary.size());
  for (const VocabularyEntry& entry : definition.vocabulary) {
    if (definition.unk_token && entry.spelling == *definition.unk_token) unk_ = entry.id;
    if (!needs_words && entry.spelling.size() > 2) continue;  // more than one character of the alphabet
    const auto bytes = byte_level_ ? unspell_bytes(entry.spelling) : std::optional(entry.spelling);
    if (!bytes) continue;
    if (bytes->size() == 1) byte_symbols_[static_cast<uint8_t>((*bytes)[0])] = entry.id;
    if (!needs_words) continue;
    words_.insert(*bytes);
    word_ids_.push_back(entry.id);
  }
  if (byte_level_) return;
  for (int byte = 0; byte < 256; ++byte) {
    if (const auto word = words_.find(fmt::format("<0x{:02X}>", byte))) fallback_[static_cast<size_t>(byte)] = word_ids_[*word];
  }
  // A character that is dropped would let its neighbours meet across a cut.
  const bool drops_nothing = unk_ || (byte_fallback_ && std::all_of(fallback_.begin(), fallback_.end(), [](int32_t id) { return id >= 0; }));
  cut_at_marker_ = drops_nothing && !ignore_merges_ && words_.find(kMarker) && no_merge_enters_marker(definition);
}

/// True if no token has the marker behind another character: then every merge stays on one side of a place where a marker follows another
/// character, and a text may be cut there before merging.
bool BpeModel::no_merge_enters_marker(const BpeDefinition& definition) const {
  return std::none_of(definition.vocabulary.begin(), definition.vocabulary.end(), [](const VocabularyEntry& entry) {
    std::string_view rest = entry.spelling;
    while (rest.starts_with(kMarker)) rest.remove_prefix(kMarker.size());
    return rest.find(kMarker) != std::string_view::npos;
  });
}

std::optional<int32_t> BpeModel::symbol_of(std::string_view character) const {
  if (character.size() == 1) {
    const int32_t id = byte_symbols_[static_cast<uint8_t>(character[0])];
    return id < 0 ? std::nullopt : std::optional(id);
  }
  const auto word = words_.find(character);
  return word ? std::optional(word_ids_[*word]) : std::nullopt;
}

void BpeModel::start_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  symbols.clear();
  bool pending_unk = false;
  const auto flush_unk = [&] {
    if (pending_unk) symbols.push_back(*unk_);
    pending_unk = false;
  };
  for (size_t i = 0; i < word.size();) {
    const size_t size = byte_level_ ? 1 : code_point_at(word, i).size_bytes;
    const std::string_view character = word.substr(i, size);
    i += size;
    if (const auto symbol = symbol_of(character)) {
      flush_unk();
      symbols.push_back(*symbol);
      continue;
    }
    const auto named = [&](char byte) { return fallback_[static_cast<uint8_t>(byte)]; };
    if (byte_fallback_ && std::all_of(character.begin(), character.end(), [&](char byte) { return named(byte) >= 0; })) {
      std::transform(character.begin(), character.end(), std::back_inserter(symbols), named);
    } else if (unk_) {
      if (!fuse_unk_) flush_unk();
      pending_unk = true;
    }
  }
  flush_unk();
}

void BpeModel::encode_part(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  WordCache::Slot* const slot = scratch.cache.slot_of(word);
  if (slot && WordCache::holds(*slot, word)) {
    ids.insert(ids.end(), slot->ids, slot->ids + slot->id_count);
    return;
  }
  require(word.size() < static_cast<size_t>(std::numeric_limits<int32_t>::max()), [&] {
    return Complaint{
        .where = "tokenizer", .expected = "words of less than 2^31 bytes", .got = std::to_string(word.size()), .hint = "encode the text in parts"};
  });
  if (ignore_merges_) {
    if (const auto whole = words_.find(word)) {
      ids.push_back(word_ids_[*whole]);
      return;
    }
  }
  start_symbols(word, scratch.symbols);
  const size_t count = merger_.merge(scratch.symbols, scratch.merger);
  const std::span<const int32_t> merged(scratch.symbols.data(), count);
  ids.insert(ids.end(), merged.begin(), merged.end());
  if (slot) WordCache::keep(*slot, word, merged);
}

void BpeModel::encode_word(std::string_view word, Scratch& scratch, std::vector<int32_t>& ids) const {
  if (!cut_at_marker_) return encode_part(word, scratch, ids);
  size_t begin = 0;
  while (begin < word.size()) {
    size_t end = begin;
    while (word.substr(end).starts_with(kMarker)) end += kMarker.size();
    end = std::min(word.size(), word.find(kMarker, end));
    encode_part(word.substr(begin, end - begin), scratch, ids);
    begin = end;
  }
}

}  // namespace everlong::text
