#include "everlong/train/run_directory.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/support/files.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryFolder;
using testing::write_text;
using Steps = std::vector<int64_t>;

void make_checkpoints(const RunDirectory& run, const Steps& steps) {
  for (const int64_t step : steps) {
    fs::create_directories(run.checkpoint(step));
    write_text(run.checkpoint(step) / "config.json", "{}");
  }
}

TEST(RunDirectory, ListsCheckpointsByNumberNotByName) {
  const TemporaryFolder folder;
  const RunDirectory run(folder.path());
  EXPECT_EQ(run.checkpoint_steps(), Steps{});
  make_checkpoints(run, {1000, 20, 3});
  for (const char* other : {"step-", "step-7x", "notes", "step-40.tmp-123-0"}) fs::create_directories(run.checkpoints() / other);
  EXPECT_EQ(run.checkpoint_steps(), (Steps{3, 20, 1000}));
}

TEST(RunDirectory, PruningKeepsTheNewestAndTheBest) {
  const TemporaryFolder folder;
  const RunDirectory run(folder.path());
  make_checkpoints(run, {1, 2, 3, 4, 5});
  run.set_best(2);
  run.prune(2);
  EXPECT_EQ(run.checkpoint_steps(), (Steps{2, 4, 5}));
  run.set_best(5);
  run.prune(1);
  EXPECT_EQ(run.checkpoint_steps(), (Steps{5}));
  run.prune(3);
  EXPECT_EQ(run.checkpoint_steps(), (Steps{5}));
}

TEST(RunDirectory, PruningRemovesWhatAKilledProcessLeftHalfWritten) {
  const TemporaryFolder folder;
  const RunDirectory run(folder.path());
  make_checkpoints(run, {1});
  const fs::path left = run.checkpoints() / "step-2.tmp-4711-0";
  fs::create_directories(left);
  write_text(left / "model.safetensors", "half");
  run.prune(5);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(run.checkpoint_steps(), (Steps{1}));
}

TEST(RunDirectory, ARemovalThatWasCutShortIsFinished) {
  const TemporaryFolder folder;
  const RunDirectory run(folder.path());
  make_checkpoints(run, {1, 2});
  const fs::path left = run.checkpoints() / "step-1.tmp-old";
  fs::create_directories(left);
  write_text(left / "config.json", "{}");
  run.prune(1);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(run.checkpoint_steps(), (Steps{2}));
}

TEST(RunDirectory, ABestThatIsGoneIsNoBest) {
  const TemporaryFolder folder;
  const RunDirectory run(folder.path());
  EXPECT_EQ(run.best(), std::nullopt);
  make_checkpoints(run, {4});
  run.set_best(4);
  EXPECT_EQ(run.best(), 4);
  run.set_best(9);
  EXPECT_EQ(run.best(), std::nullopt);
  write_text(folder / "best", "nonsense\n");
  EXPECT_EQ(run.best(), std::nullopt);
}

TEST(RunDirectory, AModelPathMeansItselfOrTheBestOrTheNewestCheckpoint) {
  const TemporaryFolder folder;
  const RunDirectory run(folder.path());
  EXPECT_THROW(static_cast<void>(resolve_model_path(folder.path())), IoError);
  make_checkpoints(run, {9, 10});
  EXPECT_EQ(resolve_model_path(folder.path()), run.checkpoint(10));
  run.set_best(9);
  EXPECT_EQ(resolve_model_path(folder.path()), run.checkpoint(9));
  EXPECT_EQ(resolve_model_path(run.checkpoint(10)), run.checkpoint(10));
}

}  // namespace
}  // namespace everlong::train
