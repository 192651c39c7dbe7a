#pragma once
// Brings in the compute module, and libtorch with it, when a verb first needs it.

#include <filesystem>
#include <vector>

#include "apps/everlong/compute/table.h"

namespace everlong::app {

/// Where the module is looked for, in this order: beside the program, in the library folder of its installation.
[[nodiscard]] std::vector<std::filesystem::path> compute_module_places();

/// Loads the module on the first call and configures it; later calls return the same table.
/// Cost     0.2 to 1 s for the first call: libtorch is mapped and initialised
/// Errors   Unsupported if no module is found (names the places), if the system cannot load it (with its reason), or if it is of another build
const ComputeTable& compute(const GlobalOptions& globals);

}  // namespace everlong::app
