#include "apps/everlong/command.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/interrupt.h"

int main(int argc, char** argv) {
  using namespace everlong::app;
  exit_on_interrupt();
  return guarded([&] { return Command().run(argc, argv); });
}
