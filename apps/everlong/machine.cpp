#include "apps/everlong/machine.h"

#include <dlfcn.h>
#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include <fmt/format.h>
#include <spdlog/version.h>
#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>

#include "everlong/base/environment.h"
#include "everlong/base/version.h"

namespace everlong::app {
namespace {

std::string file_text(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string dotted(int major, int minor, int patch) { return fmt::format("{}.{}.{}", major, minor, patch); }

std::string compiler_name() {
#if defined(__clang__)
  return "clang " + dotted(__clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return "gcc " + dotted(__GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

constexpr bool is_sanitized() {
#if defined(__SANITIZE_ADDRESS__)
  return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  return true;
#endif
#endif
  return false;
}

/// The part of the CUDA driver's C interface that names devices; every function returns 0 for success.
struct CudaDriver {
  int (*init)(unsigned) = nullptr;
  int (*device_count)(int*) = nullptr;
  int (*device_name)(char*, int, int) = nullptr;
  int (*device_memory)(size_t*, int) = nullptr;

  static CudaDriver load() {
    CudaDriver driver;
    void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return driver;
    driver.device_count = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDeviceGetCount"));
    driver.device_name = reinterpret_cast<int (*)(char*, int, int)>(dlsym(library, "cuDeviceGetName"));
    driver.device_memory = reinterpret_cast<int (*)(size_t*, int)>(dlsym(library, "cuDeviceTotalMem_v2"));
    driver.init = reinterpret_cast<int (*)(unsigned)>(dlsym(library, "cuInit"));
    return driver;
  }
  [[nodiscard]] bool complete() const { return init && device_count && device_name && device_memory; }
};

void append_devices(std::vector<Fact>& facts) {
  const CudaDriver driver = CudaDriver::load();
  int count = 0;
  if (!driver.complete() || driver.init(0) != 0 || driver.device_count(&count) != 0 || count == 0) {
    facts.push_back({"machine", "NVIDIA devices", std::string("none")});
    return;
  }
  for (int device = 0; device < count; ++device) {
    char name[256] = "unknown";
    size_t bytes = 0;
    driver.device_name(name, sizeof name - 1, device);
    driver.device_memory(&bytes, device);
    facts.push_back({"machine", fmt::format("cuda:{}", device), fmt::format("{}, {}", name, human_bytes(static_cast<int64_t>(bytes)))});
  }
}

}  // namespace

std::vector<std::string> processor_flags(const std::string& cpuinfo, const std::vector<std::string>& interesting) {
  std::istringstream lines(cpuinfo);
  std::vector<std::string> present;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("flags")) continue;
    std::istringstream words(line.substr(std::min(line.find(':'), line.size() - 1) + 1));
    for (std::string word; words >> word;) present.push_back(word);
    break;
  }
  std::vector<std::string> found;
  for (const std::string& flag : interesting)
    if (std::find(present.begin(), present.end(), flag) != present.end()) found.push_back(flag);
  return found;
}

void append_build_facts(std::vector<Fact>& facts) {
  facts.push_back({"build", "everlong", std::string(kVersion)});
  facts.push_back({"build", "compiler", compiler_name()});
#ifdef NDEBUG
  facts.push_back({"build", "assertions", false});
#else
  facts.push_back({"build", "assertions", true});
#endif
  facts.push_back({"build", "address sanitizer", is_sanitized()});
  facts.push_back({"build", "fmt", dotted(FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)});
  facts.push_back({"build", "spdlog", dotted(SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH)});
  facts.push_back({"build", "CLI11", std::string(CLI11_VERSION)});
  facts.push_back({"build", "nlohmann-json", dotted(NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR, NLOHMANN_JSON_VERSION_PATCH)});
}

void append_machine_facts(std::vector<Fact>& facts) {
  utsname system{};
  uname(&system);
  const std::vector<std::string> interesting{"sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512vl", "avx512_vnni", "avx512_bf16", "amx_bf16"};
  const MachineMemory memory = machine_memory();
  facts.push_back({"machine", "system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)});
  facts.push_back({"machine", "processor", processor_name()});
  facts.push_back({"machine", "processors available", int64_t{available_processors()}});
  facts.push_back({"machine", "vector instructions", processor_flags(file_text("/proc/cpuinfo"), interesting)});
  facts.push_back({"machine", "memory", human_bytes(memory.total_bytes)});
  facts.push_back({"machine", "memory available", human_bytes(memory.available_bytes)});
  append_devices(facts);
}

}  // namespace everlong::app
