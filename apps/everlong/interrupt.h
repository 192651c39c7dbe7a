#pragma once
// Ctrl-C: at once where there is nothing to save, in an orderly way where there is.

namespace everlong::app {

/// Makes SIGINT end the process with status 130. For the start of the program.
void exit_on_interrupt();

/// Within its life, the first SIGINT or SIGTERM is only noted, so that the work can be saved; the second one ends the process.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  [[nodiscard]] bool requested() const;
};

}  // namespace everlong::app
