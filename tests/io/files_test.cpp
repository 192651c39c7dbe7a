#include <sys/resource.h>

#include <csignal>

#include <gtest/gtest.h>

#include "everlong/io/atomic_file.h"
#include "everlong/base/error.h"
#include "everlong/io/mapped_file.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

size_t count_entries(const TemporaryFolder& folder) {
  return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator()));
}

TEST(MappedFile, ShowsTheBytesOfTheFile) {
  const TemporaryFolder folder;
  write_text(folder / "a", std::string("x\0y", 3));
  const MappedFile file(folder / "a");
  EXPECT_EQ(as_text(file.bytes()), std::string("x\0y", 3));
}

TEST(MappedFile, AMoveKeepsTheSpanValidAndEmptiesTheSource) {
  const TemporaryFolder folder;
  write_text(folder / "a", "abc");
  write_text(folder / "b", "other");
  MappedFile first(folder / "a");
  const auto span = first.bytes();
  MappedFile second(folder / "b");
  second = std::move(first);
  EXPECT_EQ(second.bytes().data(), span.data());
  EXPECT_EQ(as_text(span), "abc");
  EXPECT_TRUE(first.bytes().empty());
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
  const TemporaryFolder folder;
  write_text(folder / "a", "");
  EXPECT_TRUE(MappedFile(folder / "a").bytes().empty());
}

TEST(MappedFile, WhatCannotBeMappedIsAnIoErrorThatNamesIt) {
  const TemporaryFolder folder;
  const auto map = [&](const std::filesystem::path& path) { return message_of<IoError>([&] { MappedFile{path}; }, folder.path()); };
  EXPECT_EQ(map(folder / "missing"), "[/missing] cannot open: No such file or directory.");
  EXPECT_EQ(map(folder.path()), "[] cannot open: Is a directory.");
  EXPECT_EQ(map("/dev/null"), "[/dev/null] cannot map: No such device. Hint: it must be a regular file.");
}

TEST(MappedFile, AReplacedFileKeepsItsOldContentForWhoMappedIt) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  const MappedFile file(folder / "a");
  atomic_write_text(folder / "a", "n");
  EXPECT_EQ(as_text(file.bytes()), "old");
  EXPECT_EQ(read_text(folder / "a"), "n");
}

TEST(ReadTextFile, ReadsUpToTheLimitAndRefusesOneByteMore) {
  const TemporaryFolder folder;
  const std::string text(200'000, 'x');
  write_text(folder / "a", text);
  EXPECT_EQ(read_text_file(folder / "a", 200'000), text);
  EXPECT_EQ(message_of<FormatError>([&] { (void)read_text_file(folder / "a", 199'999); }, folder.path()),
            "[/a] expected at most 199999 bytes, got more.");
}

TEST(AtomicFile, AppearsOnlyAtCommitAndReplacesWhatWasThere) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  const std::string large(1'000'000, 'b');
  {
    AtomicFile file(folder / "a");
    file.write("head ");
    file.write(large);
    file.write(" tail");
    EXPECT_EQ(file.written_bytes(), 1'000'010);
    EXPECT_EQ(read_text(folder / "a"), "old");
    file.commit();
    EXPECT_EQ(read_text(folder / "a"), "head " + large + " tail");
  }
  EXPECT_EQ(read_text(folder / "a"), "head " + large + " tail");
  EXPECT_EQ(count_entries(folder), 1U);
}

TEST(AtomicFile, WithoutCommitNothingIsLeft) {
  const TemporaryFolder folder;
  { AtomicFile(folder / "a").write("x"); }
  EXPECT_EQ(count_entries(folder), 0U);
}

TEST(AtomicFile, AMissingFolderIsAnIoErrorThatNamesTheFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(message_of<IoError>([&] { AtomicFile file(folder / "no/a"); }, folder.path()), "[/no/a] cannot write: No such file or directory.");
  EXPECT_EQ(message_of<IoError>([&] { AtomicFile file(folder / "no/"); }, folder.path()), "[/no/] cannot write: Is a directory.");
}

/// Lowers the largest size that a file may grow to, as a full disk does; restored at the end of the scope.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST(AtomicFile, AFileThatDoesNotFitLeavesTheOldOneAndCannotBeCommitted) {
  const TemporaryFolder folder;
  write_text(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    const FileSizeLimit limit(100'000);
    EXPECT_EQ(message_of<IoError>([&] { file.write(std::string(1'000'000, 'x')); }, folder.path()), "[/a] cannot write: File too large.");
    EXPECT_EQ(message_of<InvalidArgument>([&] { file.commit(); }, folder.path()), "[/a] expected one commit, after no failed write.");
    EXPECT_EQ(message_of<InvalidArgument>([&] { file.write("y"); }, folder.path()), "[/a] expected no write after a commit or a failed write.");
  }
  {
    AtomicFile file(folder / "a");
    file.write(std::string(150'000, 'x'));  // stays in the buffer: the commit is what fails
    const FileSizeLimit limit(100'000);
    EXPECT_EQ(message_of<IoError>([&] { file.commit(); }, folder.path()), "[/a] cannot write: File too large.");
  }
  EXPECT_EQ(read_text(folder / "a"), "old");
  EXPECT_EQ(count_entries(folder), 1U);
}

TEST(AtomicFolder, AppearsCompleteUnderItsName) {
  const TemporaryFolder folder;
  {
    AtomicFolder step(folder / "step-1/");
    atomic_write_text(step.temporary() / "a", "x");
    std::filesystem::create_directory(step.temporary() / "inner");
    write_text(step.temporary() / "inner/b", "y");
    EXPECT_FALSE(std::filesystem::exists(folder / "step-1"));
    EXPECT_NE(step.temporary().string().find("step-1.tmp-"), std::string::npos);
    step.commit();
  }
  EXPECT_EQ(read_text(folder / "step-1/inner/b"), "y");
  EXPECT_EQ(count_entries(folder), 1U);
}

TEST(AtomicFolder, WithoutCommitNothingIsLeft) {
  const TemporaryFolder folder;
  {
    AtomicFolder step(folder / "a");
    write_text(step.temporary() / "x", "x");
  }
  EXPECT_EQ(count_entries(folder), 0U);
}

TEST(AtomicFolder, TwoAtOnceDoNotShareATemporaryFolder) {
  const TemporaryFolder folder;
  AtomicFolder first(folder / "a"), second(folder / "a");
  EXPECT_NE(first.temporary(), second.temporary());
}

TEST(AtomicFolder, AnExistingFolderIsReplacedOnlyWhenAsked) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "a");
  write_text(folder / "a/old", "x");
  EXPECT_EQ(message_of<IoError>([&] { AtomicFolder again(folder / "a"); }, folder.path()), "[/a] cannot create: File exists.");
  AtomicFolder again(folder / "a", IfExists::replace);
  write_text(again.temporary() / "new", "y");
  again.commit();
  EXPECT_FALSE(std::filesystem::exists(folder / "a/old"));
  EXPECT_EQ(read_text(folder / "a/new"), "y");
  EXPECT_EQ(count_entries(folder), 1U);
}

TEST(AtomicFolder, ANameThatWasTakenMeanwhileIsLeftAlone) {
  const TemporaryFolder folder;
  AtomicFolder step(folder / "a");
  std::filesystem::create_directory(folder / "a");
  EXPECT_EQ(message_of<IoError>([&] { step.commit(); }, folder.path()), "[/a] cannot create: File exists.");
}

}  // namespace
}  // namespace everlong::io
