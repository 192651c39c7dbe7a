#pragma once
// What the process can learn about the machine it runs on.

#include <cstdint>
#include <optional>
#include <string>

namespace everlong {

/// Value of an environment variable; absent and empty are the same.
[[nodiscard]] std::optional<std::string> environment_variable(const char* name);

struct ProcessMemory {
  int64_t resident_bytes = 0;       ///< now
  int64_t peak_resident_bytes = 0;  ///< since the start of the process
};

/// Memory of this process as the kernel counts it; zeros where /proc is missing.
[[nodiscard]] ProcessMemory process_memory();

/// Total and available memory of the machine, in bytes; zeros where /proc is missing.
struct MachineMemory {
  int64_t total_bytes = 0;
  int64_t available_bytes = 0;
};
[[nodiscard]] MachineMemory machine_memory();

/// Name of the processor as the kernel prints it, or "unknown".
[[nodiscard]] std::string processor_name();

/// Processors this process may run on.
[[nodiscard]] int available_processors();

}  // namespace everlong
