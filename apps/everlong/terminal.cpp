#include "apps/everlong/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "everlong/base/environment.h"

namespace everlong::app {
namespace {

constexpr int kNarrowest = 20;

int width_of(int descriptor) {
  winsize size{};
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  int columns = 0;
  const auto said = environment_variable("COLUMNS").value_or("");
  std::from_chars(said.data(), said.data() + said.size(), columns);
  return columns > 0 ? columns : 80;
}

}  // namespace

Terminal terminal_of(std::FILE* stream) {
  const int descriptor = fileno(stream);
  Terminal terminal;
  terminal.interactive = isatty(descriptor) == 1 && environment_variable("TERM").value_or("dumb") != "dumb";
  terminal.color = terminal.interactive && !environment_variable("NO_COLOR");
  terminal.width = std::max(width_of(descriptor), kNarrowest);
  return terminal;
}

}  // namespace everlong::app
