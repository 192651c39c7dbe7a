#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "everlong/text/bpe_trainer.h"
#include "everlong/text/tokenizer.h"

namespace everlong::data {

/// Learns a byte-level BPE from corpus files: .txt and .jsonl, plain or compressed. A special token <mask> takes the spaces before it along.
/// Errors   IoError, FormatError; InvalidArgument if a file is packed already, or as text::train_bpe
[[nodiscard]] std::unique_ptr<text::Tokenizer> learn_bpe(std::span<const std::filesystem::path> files, int64_t vocab_size,
                                                         const text::BpeTrainerOptions& options = {});

}  // namespace everlong::data
