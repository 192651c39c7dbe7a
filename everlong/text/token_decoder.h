#pragma once
// The decoder of a tokenizer.json, worked out for each token once.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/text/bpe_definition.h"

namespace everlong::text {

class TokenDecoder {
 public:
  /// The steps must be in an order that decoder_order_is_supported() accepts.
  explicit TokenDecoder(const BpeDefinition& definition);

  [[nodiscard]] int32_t vocab_size() const { return static_cast<int32_t>(entries_.size()); }
  [[nodiscard]] std::string_view bytes(int32_t id) const;
  void decode_next(int32_t id, DecodePosition& position, std::string& bytes) const;

 private:
  struct Entry {
    uint32_t begin = 0, size_bytes = 0;
    bool special = true;  ///< also ids that the vocabulary leaves out
  };

  void add(int32_t id, std::string_view spelling, bool special, const std::vector<DecoderStep>& steps);

  std::vector<Entry> entries_;
  std::string arena_;
  int64_t max_stripped_ = 0;
  char stripped_char_ = ' ';
  bool first_drops_spaces_ = false;  ///< Metaspace: the first token's markers are no spaces
};

/// True for ByteLevel alone; Metaspace alone; and Replace..., ByteFallback, Fuse, Strip (of one ASCII character at the start, after Fuse), each
/// of which may be missing.
[[nodiscard]] bool decoder_order_is_supported(const std::vector<DecoderStep>& steps);

}  // namespace everlong::text
