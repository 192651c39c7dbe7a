// Any bytes are a Megatron index that is written back to the same documents, or an error of ours.

#include <cstdint>
#include <cstdlib>

#include "everlong/base/error.h"
#include "everlong/data/megatron_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace everlong::data;
  try {
    const MegatronIndex index = parse_megatron_index(std::as_bytes(std::span(data, size)), "input");
    int64_t sum = 0;
    for (const int64_t len : index.document_lens) {
      if (len < 0) std::abort();
      sum += len;
    }
    if (sum != index.num_tokens() || index.document_lens.size() > size / sizeof(int64_t)) std::abort();
    const MegatronIndex again = parse_megatron_index(write_megatron_index(index), "again");
    if (again.type != index.type || again.document_lens != index.document_lens) std::abort();
  } catch (const everlong::Error&) {
  }
  return 0;
}
