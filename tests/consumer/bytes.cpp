// Encodes a text with a room that needs no libtorch.

#include <cstdio>

#include "everlong/text/tokenizer.h"

int main() {
  const auto tokenizer = everlong::text::make_bytes_tokenizer();
  std::printf("%zu tokens of %d\n", tokenizer->encode("hello").size(), tokenizer->vocab_size());
}
