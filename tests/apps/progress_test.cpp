#include "apps/everlong/progress.h"

#include <unistd.h>

#include <gtest/gtest.h>

#include "apps/everlong/output.h"
#include "everlong/base/log.h"
#include "tests/support/files.h"

namespace everlong::app {
namespace {

const ProgressSample kFull{.step = 250,
                           .total_steps = 1000,
                           .loss = 1.5,
                           .bits_per_byte = 2.164,
                           .tokens_per_second = 12345,
                           .learning_rate = 3e-4,
                           .grad_norm = 0.5,
                           .memory_bytes = int64_t{3} << 30,
                           .remaining_s = 185};

/// A stream into a file, and what has been written to it.
class Recorder {
 public:
  Recorder() : stream_(std::fopen((folder_ / "out").c_str(), "w")) {}
  ~Recorder() { std::fclose(stream_); }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  std::FILE* stream() { return stream_; }
  std::string text() {
    std::fflush(stream_);
    return testing::read_text(folder_ / "out");
  }

 private:
  testing::TemporaryFolder folder_;
  std::FILE* stream_;
};

TEST(Progress, TheBarShowsEverythingOnAWideTerminal) {
  EXPECT_EQ(progress_bar(kFull, 200, false),
            "[######------------------]  25% 250/1000  loss 1.5000  eta 3 min 05 s  bpb 2.164  12.3k tok/s  lr 3.00e-04  |g| 0.50  mem 3.00 GiB");
}

TEST(Progress, NoLineIsWiderThanTheTerminal) {
  for (int width = 20; width <= 200; ++width) {
    const std::string line = progress_bar(kFull, width, false);
    EXPECT_LE(display_width(line), width) << line;
    EXPECT_NE(line.find("25%"), std::string::npos) << line;
  }
}

TEST(Progress, ColourChangesNoColumn) {
  for (const int width : {40, 80, 120}) {
    std::string colored = progress_bar(kFull, width, true);
    EXPECT_NE(colored.find('\x1b'), std::string::npos);
    for (size_t at; (at = colored.find('\x1b')) != std::string::npos;) colored.erase(at, colored.find('m', at) - at + 1);
    EXPECT_EQ(colored, progress_bar(kFull, width, false));
  }
}

TEST(Progress, WithoutATotalThereIsNoBarAndNoPercentage) {
  EXPECT_EQ(progress_bar({.step = 7, .loss = 2.0}, 80, false), "step 7  loss 2.0000");
  EXPECT_EQ(progress_line({.step = 7, .loss = 2.0}), "step 7  loss 2.0000");
}

TEST(Progress, AStepBeyondTheTotalStaysAtAHundredPercent) {
  EXPECT_EQ(progress_bar({.step = 12, .total_steps = 10}, 60, false), "[###############] 100% 12/10");
}

TEST(Progress, ElsewhereThanOnATerminalALineComesOncePerInterval) {
  Recorder out;
  double now = 0;
  Progress progress({.stream = out.stream(), .terminal = Terminal{}, .interval_s = 10, .clock = [&now] { return now; }});
  for (int step = 1; step <= 25; ++step, now += 1) progress.update({.step = step, .total_steps = 100});
  EXPECT_EQ(out.text(), "step 1/100 (1%)\nstep 11/100 (11%)  eta 1 min 29 s\nstep 21/100 (21%)  eta 1 min 19 s\n");
}

TEST(Progress, AMessageIsPrintedOnAClearedLineAndTheBarComesBack) {
  Recorder out;
  Progress progress({.stream = out.stream(), .terminal = Terminal{.interactive = true, .width = 61}});
  progress.update({.step = 1, .total_steps = 2});
  progress.message("saved");
  const std::string bar = "[#######--------]  50% 1/2";
  EXPECT_EQ(out.text(), "\r\x1b[K" + bar + "\r\x1b[Ksaved\n\r\x1b[K" + bar);
  progress.clear();
  progress.clear();
  EXPECT_EQ(out.text(), "\r\x1b[K" + bar + "\r\x1b[Ksaved\n\r\x1b[K" + bar + "\r\x1b[K");
}

TEST(Progress, WhatTheLibraryLogsIsPrintedOnAClearedLine) {
  Recorder out;
  const int saved = dup(STDERR_FILENO);
  dup2(fileno(out.stream()), STDERR_FILENO);  // the log goes to standard error
  {
    Progress progress({.stream = out.stream(), .terminal = Terminal{.interactive = true, .width = 61}, .clock = [] { return 0.0; }});
    log_warning("before");
    progress.update({.step = 1, .total_steps = 2});
    log_warning("between");
    progress.clear();
    log_warning("after");
    progress.update({.step = 2, .total_steps = 2});
  }
  log_warning("without");
  dup2(saved, STDERR_FILENO);
  close(saved);
  const std::string bar = "[#######--------]  50% 1/2", erase = "\r\x1b[K";
  EXPECT_EQ(out.text(),
            "warning: before\n" + erase + bar + erase + "warning: between\n" + erase + bar + erase + "warning: after\nwarning: without\n");
}

TEST(Progress, FinishKeepsTheLastSampleEvenIfItCameTooSoonToBeShown) {
  Recorder out;
  Progress progress({.stream = out.stream(), .terminal = Terminal{}, .clock = [] { return 0.0; }});
  progress.update({.step = 1, .total_steps = 2});
  progress.update({.step = 2, .total_steps = 2});
  progress.finish();
  EXPECT_EQ(out.text(), "step 1/2 (50%)\nstep 2/2 (100%)  eta 0.0 s\n");
}

TEST(Progress, FinishDoesNotRepeatALineThatIsThere) {
  for (const bool interactive : {false, true}) {
    Recorder out;
    Progress progress({.stream = out.stream(), .terminal = Terminal{.interactive = interactive, .width = 61}});
    progress.update({.step = 2, .total_steps = 2});
    progress.finish();
    EXPECT_EQ(out.text(), interactive ? "\r\x1b[K[###############] 100% 2/2\n" : "step 2/2 (100%)\n");
    progress.update({.step = 1, .total_steps = 0});
    progress.clear();
    progress.finish();
    EXPECT_EQ(out.text().substr(out.text().size() - 7), "step 1\n");
  }
}

TEST(Progress, QuietPrintsMessagesOnly) {
  Recorder out;
  Progress progress({.stream = out.stream(), .terminal = Terminal{.interactive = true}, .quiet = true});
  progress.update(kFull);
  progress.message("saved");
  progress.finish();
  EXPECT_EQ(out.text(), "saved\n");
}

}  // namespace
}  // namespace everlong::app
