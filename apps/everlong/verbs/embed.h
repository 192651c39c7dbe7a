#pragma once
// everlong embed: options and their declaration.

#include <cstdint>
#include <optional>
#include <string>

#include "apps/everlong/syntax.h"

namespace everlong::app {

/// What of a sequence becomes its vector.
enum class EmbedPooling { mean, first, last, pooler };

struct EmbedOptions {
  std::string model;
  std::string file;
  std::string out;
  EmbedPooling pooling = EmbedPooling::mean;
  std::string text_column;
  std::optional<int64_t> max_len;
  int64_t batch_size = 16;
  bool json = false;
  ComputeOptions compute;
};

Syntax declare_embed(Syntax& program, EmbedOptions& options);

}  // namespace everlong::app
