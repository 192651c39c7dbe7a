#pragma once
// The index of Megatron's packed datasets: PREFIX.idx says how PREFIX.bin is cut into documents.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "everlong/data/token_type.h"

namespace everlong::data {

struct MegatronIndex {
  TokenType type = TokenType::i32;
  std::vector<int64_t> document_lens;  ///< in tokens, in the order of PREFIX.bin, which they fill

  [[nodiscard]] int64_t num_tokens() const;
};

/// Reads an index of version 1. A document may consist of several sequences; they must follow each other without gaps, as Megatron writes them.
/// Cost     memory of the order of the file
/// Errors   FormatError naming the byte and the field for: another magic, version or type code, counts that contradict the size of the file,
///          lengths below 0, pointers that are not where the sequence before ends, documents that do not cover the sequences in order;
///          Unsupported for floating-point types and for the modes of multimodal sequences
/// Source   Megatron-LM, megatron/core/datasets/indexed_dataset.py, _IndexReader. Differs: pointers are checked, not followed
[[nodiscard]] MegatronIndex parse_megatron_index(std::span<const std::byte> bytes, std::string_view file_name);

/// The file that parse_megatron_index reads back. A document of more than 2^30 tokens becomes several sequences; any other is one, also an empty one.
/// Errors   InvalidArgument if a length is below 0
/// Source   Megatron-LM, as above, _IndexWriter. Exact.
[[nodiscard]] std::vector<std::byte> write_megatron_index(const MegatronIndex& index);

}  // namespace everlong::data
