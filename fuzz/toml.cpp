// Any bytes are a TOML configuration that reads the same after it was written, or are refused.

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "everlong/base/config.h"
#include "everlong/base/error.h"
#include "everlong/io/toml.h"

namespace {

struct Sample {
  int64_t a = 1;
  double b = 1;
  std::string c;
  std::optional<double> d;
  std::vector<std::string> e;
  bool f = false;

  everlong::Fields fields() {
    everlong::Fields all;
    all.add("a", a, "a", {.min = 0}).add("b.b", b, "b").add("b.c", c, "c").add("d", d, "d").add("b.e.e", e, "e").add("f", f, "f");
    return all;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace everlong;
  constexpr std::array<std::string_view, 1> kOpen{"open"};
  try {
    Sample sample, again;
    (void)io::apply_toml(sample.fields(), {reinterpret_cast<const char*>(data), size}, "input", kOpen);
    const std::string text = io::to_toml(sample.fields());
    try {
      if (!io::apply_toml(again.fields(), text, "again").empty()) std::abort();
    } catch (const Error&) {
      std::abort();
    }
    if (again.fields().canonical_text() != sample.fields().canonical_text()) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
