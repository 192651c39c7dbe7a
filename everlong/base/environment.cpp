#include "everlong/base/environment.h"

#include <sched.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>

namespace everlong {
namespace {

/// Reads "Key:   123 kB" lines of a /proc file; 0 where the key is missing.
int64_t proc_kilobytes(const char* path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    int64_t kilobytes = 0;
    rest >> kilobytes;
    return kilobytes;
  }
  return 0;
}

}  // namespace

std::optional<std::string> environment_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

ProcessMemory process_memory() {
  return {proc_kilobytes("/proc/self/status", "VmRSS:") * 1024, proc_kilobytes("/proc/self/status", "VmHWM:") * 1024};
}

MachineMemory machine_memory() {
  return {proc_kilobytes("/proc/meminfo", "MemTotal:") * 1024, proc_kilobytes("/proc/meminfo", "MemAvailable:") * 1024};
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    const auto colon = line.find(": ");
    if (colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

}  // namespace everlong
