// Any bytes are a JSON value that reads the same after it was written, or a FormatError; its members go into a configuration or are refused.

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "everlong/base/config.h"
#include "everlong/base/error.h"
#include "everlong/io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace everlong;
  try {
    const io::Json value = io::parse_json({reinterpret_cast<const char*>(data), size}, "input");
    if (io::parse_json(value.dump(), "again") != value) std::abort();
    int64_t a = 1;
    double b = 1;
    std::string c;
    std::optional<int64_t> d;
    Fields fields;
    fields.add("a", a, "a", {.min = 0}).add("b.b", b, "b").add("b.c", c, "c").add("d", d, "d");
    (void)io::apply_json(fields, value, "input");
    (void)io::to_json(fields, io::KeyStyle::nested);
  } catch (const Error&) {
  }
  return 0;
}
