#include "everlong/bench/measurement.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include <c10/core/impl/VirtualGuardImpl.h>
#include <fmt/format.h>

#include "everlong/base/environment.h"
#include "everlong/base/error.h"

namespace everlong::bench {
namespace {

void wait_for(at::Device device) {
  if (device.is_cpu()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(std::max<c10::DeviceIndex>(device.index(), 0));
}

}  // namespace

Timing time_calls(const std::function<void()>& call, int64_t repeat, at::Device device, const std::function<void()>& prepare) {
  require(repeat >= 1, [&] { return Complaint{.where = "bench", .expected = "at least one repetition", .got = fmt::format("{}", repeat)}; });
  std::vector<double> times;
  for (int64_t i = 0; i <= repeat; ++i) {
    if (prepare) prepare();
    wait_for(device);
    const auto start = std::chrono::steady_clock::now();
    call();
    wait_for(device);
    if (i > 0) times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return {.best_ms = times.front(), .median_ms = times[times.size() / 2]};
}

PeakMemory::PeakMemory() { std::ofstream("/proc/self/clear_refs") << "5"; }

int64_t PeakMemory::bytes() const { return process_memory().peak_resident_bytes; }

}  // namespace everlong::bench
