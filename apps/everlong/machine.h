#pragma once
// What `everlong doctor` can say without torch.

#include <string>
#include <vector>

#include "apps/everlong/output.h"

namespace everlong::app {

/// Version, compiler and libraries of this build.
void append_build_facts(std::vector<Fact>& facts);

/// Processor, vector instructions, memory, and NVIDIA devices as the driver names them.
void append_machine_facts(std::vector<Fact>& facts);

/// Which of `interesting` the "flags" line of a cpuinfo text names, in the order of `interesting`.
[[nodiscard]] std::vector<std::string> processor_flags(const std::string& cpuinfo, const std::vector<std::string>& interesting);

}  // namespace everlong::app
