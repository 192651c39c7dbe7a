// Any bytes are a safetensors file whose tensors fill it, or a FormatError.

#include <cstdint>
#include <cstdlib>

#include "everlong/base/error.h"
#include "everlong/io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace everlong::io;
  try {
    const SafetensorsHeader header = parse_safetensors(std::as_bytes(std::span(data, size)), "input");
    int64_t end = -1;
    for (const TensorEntry& tensor : header.tensors) {
      const bool follows = end < 0 || tensor.offset == end;
      end = tensor.offset + tensor.size_bytes;
      if (!follows || end > static_cast<int64_t>(size) || header.find(tensor.name) != &tensor) std::abort();
    }
    if (!header.tensors.empty() && end != static_cast<int64_t>(size)) std::abort();
  } catch (const everlong::FormatError&) {
  }
  return 0;
}
