#pragma once
// The whole command: its verbs, their options, and what they run.

#include <functional>
#include <memory>

#include "apps/everlong/description.h"
#include "apps/everlong/options.h"

namespace everlong::app {

class Command {
 public:
  Command();
  ~Command();
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  /// Parses and runs. Prints help, version or what is wrong with the words where that is all there is to do.
  /// Returns  the exit status
  int run(int argc, char** argv);

  [[nodiscard]] VerbDescription description() const;

 private:
  struct Parts;
  void declare();
  std::unique_ptr<Parts> parts_;
};

}  // namespace everlong::app
