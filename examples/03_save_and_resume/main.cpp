// Reads, saves what was read, goes on in another session and in a fork, and shows that all of them say the same.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "everlong/generate/session.h"
#include "everlong/io/lines.h"
#include "examples/load_model.h"

namespace {

using everlong::generate::Session;

/// Reads the rest of the text and continues it, always with the likeliest token.
std::vector<int32_t> finish(Session& session, std::string_view rest) {
  session.read(rest);
  return session.generate({.max_tokens = 40, .sampling = {.temperature = 0}}).tokens;
}

void run(const std::string& model_path, const std::string& text_path, const std::filesystem::path& folder) {
  const auto [model, tokenizer] = examples::load_model(model_path);
  const std::string text = everlong::io::read_document(text_path).substr(0, 3000);
  const std::string_view beginning = std::string_view(text).substr(0, 2000), rest = std::string_view(text).substr(2000);
  const auto file = folder / "example.state";

  Session session(model, tokenizer);
  session.read(beginning);
  session.save(file);
  fmt::print("{} tokens read, {} bytes of state, saved as {} ({} bytes)\n", session.position(), session.state_bytes(), file.string(),
             std::filesystem::file_size(file));

  Session fork = session.fork();
  Session loaded(model, tokenizer);  // in another process, or on another day
  loaded.load(file);

  const auto expected = finish(session, rest);
  const bool forked = finish(fork, rest) == expected, resumed = finish(loaded, rest) == expected;
  fmt::print("the fork continues {}, the loaded session {}\n", forked ? "equally" : "DIFFERENTLY", resumed ? "equally" : "DIFFERENTLY");
  std::filesystem::remove(file);
  if (!forked || !resumed) throw std::runtime_error("a continuation differs");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: {} MODEL|tiny TEXT FOLDER\n", argv[0]);
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}
