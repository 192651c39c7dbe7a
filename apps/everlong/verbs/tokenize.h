#pragma once
// everlong tokenize encode|decode|train|info: options, their declaration, and what runs. No torch.

#include <cstdint>
#include <string>
#include <vector>

#include "apps/everlong/syntax.h"

namespace everlong::app {

enum class TokenizeAction { encode, decode, train, info };
/// How token ids are written and read: decimal numbers, JSON, or fixed-width little-endian words.
enum class IdFormat { text, json, u16, u32 };

struct TokenizeOptions {
  TokenizeAction action = TokenizeAction::encode;
  std::string tokenizer = "bytes";
  std::string file = "-";  ///< encode, decode
  IdFormat format = IdFormat::text;
  std::vector<std::string> files;  ///< train
  int64_t vocab_size = 0;          ///< train
  std::string out;                 ///< train
  std::string path;                ///< info
  bool json = false;
};

Syntax declare_tokenize(Syntax& program, TokenizeOptions& options);

/// Errors   what the text room throws; IoError for files
int run_tokenize(const TokenizeOptions& options);

}  // namespace everlong::app
