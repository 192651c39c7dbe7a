#pragma once
// What the tests of this room share.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "everlong/data/corpus.h"
#include "tests/support/message.h"

namespace everlong::data {

using Documents = std::vector<std::vector<int32_t>>;

inline std::shared_ptr<const Corpus> make_corpus(const Documents& documents, int64_t vocab_size = 1 << 20) {
  return std::make_shared<Corpus>(Corpus::from_documents(documents, vocab_size));
}

/// Documents of the given lengths whose tokens are 0, 1, 2, ... throughout, so that a token names its place.
inline Documents counted_documents(const std::vector<int64_t>& lens) {
  Documents documents;
  int32_t token = 0;
  for (const int64_t len : lens) {
    documents.emplace_back();
    for (int64_t i = 0; i < len; ++i) documents.back().push_back(token++);
  }
  return documents;
}

inline std::vector<int64_t> values_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.reshape({-1}).to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

inline std::vector<int64_t> tokens_of(const Corpus& corpus, int64_t document) {
  std::vector<int64_t> tokens(static_cast<size_t>(corpus.document_len(document)));
  corpus.copy_tokens(corpus.document_begin(document), tokens);
  return tokens;
}

}  // namespace everlong::data
