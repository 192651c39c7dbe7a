#include "apps/everlong/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "apps/everlong/guard.h"

namespace everlong::app {
namespace {

volatile std::sig_atomic_t interrupts_noted = 0;

extern "C" void leave(int signal) { _exit(signal == SIGINT ? kInterrupted : 128 + signal); }

extern "C" void note(int signal) {
  if (interrupts_noted != 0) leave(signal);
  interrupts_noted = 1;
}

void handle(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void exit_on_interrupt() { handle(SIGINT, leave); }

InterruptScope::InterruptScope() {
  interrupts_noted = 0;
  handle(SIGINT, note);
  handle(SIGTERM, note);
}

InterruptScope::~InterruptScope() {
  handle(SIGINT, leave);
  handle(SIGTERM, SIG_DFL);
}

bool InterruptScope::requested() const { return interrupts_noted != 0; }

}  // namespace everlong::app
