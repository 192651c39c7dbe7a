#include "everlong/kernels/cpu/roofs.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"

namespace everlong::kernels {
namespace {

TEST(Roofs, AreRatesThatAMachineCanHave) {
  const auto roofs = measure_roofs(2, {.seconds = 0.02, .buffer_bytes = 8 << 20});
  EXPECT_EQ(roofs.num_threads, 2);
  EXPECT_GT(roofs.fp32_gflops, 0.1);
  EXPECT_LT(roofs.fp32_gflops, 2 * 1000.0);  // 64 operations a cycle at 5 GHz is 320 a thread
  EXPECT_GT(roofs.read_gb_s, 0.1);
  EXPECT_GT(roofs.copy_gb_s, 0.1);
}

TEST(Roofs, RefuseThreadsAndBuffersThatMakeNoSense) {
  EXPECT_THROW((void)measure_roofs(0), InvalidArgument);
  EXPECT_THROW((void)measure_roofs(4097), InvalidArgument);
  EXPECT_THROW((void)measure_roofs(2, {.buffer_bytes = 1 << 20}), InvalidArgument);
}

}  // namespace
}  // namespace everlong::kernels
