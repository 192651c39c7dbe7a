// Any bytes are documents by lines, or a FormatError. Every document is UTF-8.

#include <cstdint>
#include <cstdlib>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/jsonl.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace everlong;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    io::JsonlReader reader(io::bytes_in_memory(text), "input", {.max_line_bytes = 2048});
    int64_t line = 0;
    while (const auto document = reader.next()) {
      if (!io::is_valid_utf8(*document) || reader.line_number() <= line) std::abort();
      line = reader.line_number();
    }
  } catch (const FormatError&) {
  }
  return 0;
}
