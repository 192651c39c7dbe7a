#pragma once
// Options that several verbs share. All options structs are plain data without torch: program and compute module include the same headers.

#include <cstdint>
#include <optional>

namespace everlong::app {

enum class Device { automatic, cpu, cuda };
enum class Dtype { f32, bf16, f64 };

/// What may be said before or after any verb.
struct GlobalOptions {
  bool quiet = false;
  bool verbose = false;
  int64_t threads = 0;  ///< 0 = as many as the process may use
};

/// Where and in which precision a verb computes.
struct ComputeOptions {
  Device device = Device::automatic;
  std::optional<Dtype> dtype;  ///< none = what the model or configuration says
};

}  // namespace everlong::app
