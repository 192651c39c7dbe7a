// tokenizer.json from strangers: loading, encoding, decoding and saving may refuse with everlong::Error and do nothing worse.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "everlong/base/error.h"
#include "everlong/text/stream_decoder.h"
#include "everlong/text/tokenizer_json.h"

namespace {

using namespace everlong::text;

/// What was read must be what is read back after writing.
void check_round_trip(const BpeDefinition& definition) {
  try {
    if (fingerprint_of(read_tokenizer_json(write_tokenizer_json(definition), "written.json")) != fingerprint_of(definition)) __builtin_trap();
  } catch (const everlong::Error&) {
    __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const BpeDefinition definition = read_tokenizer_json(input, "fuzz.json");
    check_round_trip(definition);
    const auto tokenizer = make_bpe_tokenizer(definition, "fuzz.json");
    for (const std::string_view text : {std::string_view("The house, it's 1815  caf\u00e9 e\u0301 \n<s> ab\xff"), input.substr(0, 512)}) {
      const auto ids = tokenizer->encode(text);
      (void)tokenizer->decode(ids);
      StreamDecoder decoder(*tokenizer);
      for (const int32_t id : ids) (void)decoder.push(id);
      (void)decoder.flush();
    }
  } catch (const everlong::Error&) {
  }
  return 0;
}
