#include "apps/everlong/compute/loader.h"

#include <dlfcn.h>

#include <cstdlib>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"

namespace everlong::app {
namespace {

namespace fs = std::filesystem;

fs::path find_module() {
  std::vector<std::string> looked_at;
  for (const fs::path& place : compute_module_places()) {
    std::error_code ignored;
    if (fs::exists(place, ignored)) return place;
    looked_at.push_back(place.string());
  }
  throw Unsupported({.where = "compute",
                     .expected = fmt::format("the module {}", kComputeModule),
                     .got = fmt::format("nothing at {}", fmt::join(looked_at, " or ")),
                     .hint = "this verb computes with libtorch; build the target everlong_compute, or reinstall everlong"});
}

/// oneDNN keeps a program of 1 to 2 MB for each shape of a bfloat16 product, 1024 of them unless told otherwise: texts of many lengths would fill 2
/// GB.
void bound_primitive_cache() { setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256", /*overwrite=*/0); }

const ComputeTable* load(const fs::path& path) {
  bound_primitive_cache();
  // Lazy: libtorch_cpu of the CUDA wheel names functions that exist only where CUDA does.
  void* module = dlopen(path.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (module == nullptr) {
    throw Unsupported({.where = path.native(),
                       .expected = "a module that the system can load",
                       .got = dlerror(),
                       .hint = "is the libtorch that everlong was built with still in its place?"});
  }
  const auto table_of = reinterpret_cast<ComputeTableFunction>(dlsym(module, kComputeSymbol));
  const auto* table = table_of == nullptr ? nullptr : static_cast<const ComputeTable*>(table_of());
  const std::string built = table == nullptr || table->build == nullptr ? "not a module of everlong" : table->build;
  if (built != build_identity()) {
    throw Unsupported({.where = path.native(),
                       .expected = fmt::format("a module of the same build, {}", build_identity()),
                       .got = built,
                       .hint = "build or install program and module together"});
  }
  return table;
}

}  // namespace

std::vector<fs::path> compute_module_places() {
  std::error_code ignored;
  const fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {folder / kComputeModule, (folder / EVERLONG_MODULE_DIR / kComputeModule).lexically_normal()};
}

const ComputeTable& compute(const GlobalOptions& globals) {
  static const ComputeTable* table = nullptr;
  if (table == nullptr) {
    const ComputeTable* loaded = load(find_module());
    loaded->configure(globals);
    table = loaded;
  }
  return *table;
}

}  // namespace everlong::app
