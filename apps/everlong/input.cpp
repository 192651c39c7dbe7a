#include "apps/everlong/input.h"

#include <unistd.h>

#include <array>
#include <cerrno>

#include "everlong/base/error.h"
#include "everlong/io/file_descriptor.h"

namespace everlong::app {

std::string read_input(const std::string& name) {
  const bool standard = name == "-";
  const int descriptor = standard ? dup(STDIN_FILENO) : -1;
  if (standard && descriptor < 0) throw IoError("read", "standard input", errno);
  const io::FileDescriptor file = standard ? io::FileDescriptor(descriptor) : io::open_for_reading(name);
  std::string text;
  std::array<std::byte, 1 << 16> buffer;
  while (const size_t got = io::read_some(file, buffer, standard ? "standard input" : name))
    text.append(reinterpret_cast<const char*>(buffer.data()), got);
  return text;
}

std::unique_ptr<text::Tokenizer> tokenizer_named(const std::string& name) {
  return name == "bytes" ? text::make_bytes_tokenizer() : text::load_tokenizer(name);
}

}  // namespace everlong::app
