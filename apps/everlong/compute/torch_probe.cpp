#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <string>

#include "apps/everlong/compute/runs.h"
#include "everlong/base/environment.h"
#include "everlong/base/log.h"

namespace everlong::app {
namespace {

/// The file that a function of libtorch was loaded from: who wonders which of two installations runs finds it here.
std::string library_of(const void* function) {
  Dl_info info{};
  return dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "unknown";
}

/// "Intel(R) MKL-DNN v3.7.1" of "Intel(R) MKL-DNN v3.7.1 (Git Hash ...)"
std::string without_build(std::string text) { return text.substr(0, std::min({text.find(" (Git"), text.find(" Product Build"), text.find('\n')})); }

}  // namespace

void configure_torch(const GlobalOptions& globals) {
  at::set_num_threads(globals.threads > 0 ? static_cast<int>(globals.threads) : available_processors());
}

void probe_torch(std::vector<Fact>& facts) {
  facts.push_back({"libtorch", "version", std::string(TORCH_VERSION)});
  facts.push_back({"libtorch", "file", library_of(reinterpret_cast<const void*>(&at::get_num_threads))});
  facts.push_back({"libtorch", "threads", int64_t{at::get_num_threads()}});
  facts.push_back({"libtorch", "vector instructions", at::get_cpu_capability()});
  facts.push_back({"libtorch", "oneDNN", at::globalContext().hasMKLDNN() ? without_build(at::get_mkldnn_version()) : "none"});
  facts.push_back({"libtorch", "MKL", at::globalContext().hasMKL() ? without_build(at::get_mkl_version()) : "none"});
  facts.push_back({"libtorch", "CUDA", at::hasCUDA()});
}

}  // namespace everlong::app
