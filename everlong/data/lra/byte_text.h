#pragma once
// Text as bytes, for classification of long texts without a vocabulary. No torch.

#include <cstdint>
#include <string_view>
#include <vector>

namespace everlong::data {

/// Padding 0, then the bytes.
inline constexpr int64_t kByteTextVocabSize = 257;

/// The first `max_len` bytes of a text, each plus one.
[[nodiscard]] inline std::vector<int32_t> byte_text_ids(std::string_view text, int64_t max_len) {
  std::vector<int32_t> ids;
  for (const char c : text.substr(0, static_cast<size_t>(max_len < 0 ? 0 : max_len))) ids.push_back(static_cast<unsigned char>(c) + 1);
  return ids;
}

}  // namespace everlong::data
