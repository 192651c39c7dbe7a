#pragma once
// The number types in which files hold tokens.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace everlong::data {

/// Integer types of token files; the values are Megatron's dtype codes.
enum class TokenType : uint8_t { u8 = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u16 = 8 };

[[nodiscard]] constexpr int64_t bytes_per_token(TokenType type) {
  switch (type) {
    case TokenType::u8:
    case TokenType::i8:
      return 1;
    case TokenType::i16:
    case TokenType::u16:
      return 2;
    case TokenType::i32:
      return 4;
    case TokenType::i64:
      return 8;
  }
  return 0;
}

/// The type to write ids below `vocab_size` in. Source  Megatron-LM, indexed_dataset.py, DType.optimal_dtype. Exact.
[[nodiscard]] constexpr TokenType token_type_for(int64_t vocab_size) { return vocab_size < 65500 ? TokenType::u16 : TokenType::i32; }

}  // namespace everlong::data
