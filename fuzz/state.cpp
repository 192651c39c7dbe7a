// Any file is shown by `everlong state info` and `everlong inspect`, as text and as JSON, or refused with one of our errors.

#include <cstdint>
#include <cstdlib>
#include <string>

#include <sys/mman.h>
#include <unistd.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/inspection.h"
#include "everlong/base/error.h"

namespace {

/// A file in memory under a path that programs can open.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("input", 0)), path_("/proc/self/fd/" + std::to_string(descriptor_)) {
    if (descriptor_ < 0) std::abort();
  }
  void set(const uint8_t* data, size_t size) const {
    if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  int descriptor_;
  std::string path_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace everlong::app;
  static const MemoryFile file;
  file.set(data, size);
  try {
    const PathKind kind = kind_of(file.path());
    const Json finding = inspect(file.path(), kind);
    if (kind == PathKind::state && (!finding.contains("positions") || !finding["positions"].is_array())) std::abort();
    if (kind == PathKind::state && finding["metadata"]["schema"].get<std::string>().find("everlong-state-") != 0) std::abort();
    const std::string text = inspection_text(finding), line = json_line(finding);
    if (text.empty() || !Json::accept(line)) std::abort();
  } catch (const everlong::Error&) {
  }
  return 0;
}
