// Streams a text of any length through a model whose memory does not grow, then continues it.

#include <cstdio>
#include <exception>
#include <string>

#include <fmt/format.h>

#include "everlong/base/environment.h"
#include "everlong/generate/session.h"
#include "everlong/io/lines.h"
#include "examples/load_model.h"

namespace {

double resident_mb() { return static_cast<double>(everlong::process_memory().resident_bytes) / 1e6; }

void run(const std::string& model_path, const std::string& text_path, int64_t max_tokens) {
  // [readme]
  const auto [model, tokenizer] = examples::load_model(model_path);
  everlong::generate::Session session(model, tokenizer);
  everlong::io::LineReader lines(text_path);
  std::string part;
  for (auto line = lines.next(); line && session.position() < max_tokens; line = lines.next()) {
    part.append(*line).push_back('\n');
    if (part.size() < 16384) continue;
    session.read_tokens(tokenizer->encode(part, {.add_special = false}));
    part.clear();
    fmt::print("{:>9} tokens read, state {} bytes, process {:.0f} MB\n", session.position(), session.state_bytes(), resident_mb());
  }
  session.read_tokens(tokenizer->encode(part, {.add_special = false}));
  const auto next = session.generate({.max_tokens = 60, .sampling = {.temperature = 0.8}});
  fmt::print("{}\n", next.text);
  // [/readme]
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    fmt::print(stderr, "usage: {} MODEL|tiny TEXT [TOKENS]\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], argc > 3 ? std::stoll(argv[3]) : 1'000'000);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
