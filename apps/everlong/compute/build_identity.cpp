#include <string>

#include "apps/everlong/compute/table.h"
#include "apps_everlong_interface.h"  // written by the build: EVERLONG_INTERFACE_DIGEST
#include "everlong/base/version.h"

namespace everlong::app {

const char* build_identity() {
  static const std::string identity = std::string(kVersion) + " (interface " EVERLONG_INTERFACE_DIGEST ", " __VERSION__ ")";
  return identity.c_str();
}

}  // namespace everlong::app
