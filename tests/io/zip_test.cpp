#include "everlong/io/zip.h"

#include <gtest/gtest.h>

#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::read_text;
using testing::TemporaryFolder;

std::string archive(const TemporaryFolder& folder, const std::vector<std::pair<std::string, std::string>>& entries) {
  ZipWriter writer(folder / "f.zip");
  for (const auto& [name, text] : entries) writer.add(name, text);
  writer.commit();
  return read_text(folder / "f.zip");
}

std::string put(std::string file, size_t at, std::string_view bytes) { return file.replace(at, bytes.size(), bytes); }

template <class E = FormatError>
std::string refusal(const std::string& file) {
  return message_of<E>([&] { (void)parse_zip(as_bytes(file), "f"); });
}

TEST(Zip, EntriesAreFoundWithTheirData) {
  const TemporaryFolder folder;
  const std::string file = archive(folder, {{"a/b", "first"}, {"c", ""}, {"d", std::string(1000, 'x')}});
  const auto entries = parse_zip(as_bytes(file), "f");
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].name, "a/b");
  EXPECT_EQ(as_text(checked_bytes(as_bytes(file), entries[0], "f")), "first");
  EXPECT_EQ(entries[1].size_bytes, 0);
  for (const ZipEntry& entry : entries) EXPECT_EQ(entry.offset % 64, 0);
  EXPECT_EQ(parse_zip(as_bytes(put(file, file.size() - 2, std::string("\3\0", 2)) + "abc"), "f").size(), 3U);
}

TEST(Zip, MoreThan65535EntriesAreCountedIn64Bits) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 65'540; ++i) many.emplace_back(std::to_string(i), "");
  const std::string file = archive(folder, many);
  EXPECT_EQ(parse_zip(as_bytes(file), "f").size(), many.size());
  const size_t locator = file.size() - 42;
  EXPECT_NE(refusal(put(file, locator + 8, "\xff\xff\xff\xff\xff\xff\xff\x7f")).find("zip64 end record"), std::string::npos);
  EXPECT_NE(refusal(put(file, locator - 56 + 32, "\xff\xff\xff\xff\xff\xff\xff\xff")).find("number of entries] expected at most"), std::string::npos);
  EXPECT_NE(refusal(put(file, locator - 56 + 40, "\xff\xff\xff\xff\xff\xff\xff\xff")).find("expected a directory that ends here"), std::string::npos);
}

TEST(Zip, LiesAreRefusedByName) {
  const TemporaryFolder folder;
  const std::string file = archive(folder, {{"a", "first"}, {"b", "second"}});
  const size_t end = file.size() - 22, second = end - 47, first = second - 47;
  ASSERT_EQ(file.substr(first, 4), "PK\1\2");
  const std::string_view big = "\xfe\xff\xff\xff";
  for (const auto& [damaged, message] : std::vector<std::pair<std::string, std::string>>{
           {"", "end of the directory] expected the end record of a zip archive, got none"},
           {file.substr(0, file.size() - 1), "end of the directory] expected"},
           {file + "x", "end of the directory] expected"},
           {put(file, end + 10, "\3"), "number of entries] expected at most 2, got 3"},
           {put(file, end + 10, "\1"), "directory] expected 1 entries, got 47 more bytes"},
           {put(file, end + 12, big), "directory] expected a directory that ends here"},
           {put(file, end + 16, big), "directory] expected a directory that ends here"},
           {put(file, first, "XX"), "directory] expected an entry, got other bytes"},
           {put(file, second + 28, "\xff\xff"), "directory] expected an entry that ends with it"},
           {put(file, first + 20, big), "a] expected the same size stored and original"},
           {put(put(file, first + 20, big), first + 24, big), "a] expected data that end before the directory"},
           {put(put(file, first + 20, "\xff\xff\xff\xff"), first + 24, "\xff\xff\xff\xff"), "a] expected data that end before the directory"},
           {put(put(file, first + 20, "\x10"), first + 24, "\x10"), "b] expected it behind a, got entries that overlap"},
           {put(file, first + 42, big), "a] expected a place before the directory"},
           {put(file, second + 42, std::string(4, '\0')), "b] expected the name that the directory has, got another"},
           {put(file, first + 42, "\1"), "a] expected the header of an entry"},
           {put(file, first + 46, "b"), "b] expected the name that the directory has, got another"},
           {put(put(put(file, second + 46, "a"), second + 42, std::string(4, '\0')), 0, "P"), "a] expected each name once, got it twice"}}) {
    EXPECT_NE(refusal(damaged).find(message), std::string::npos) << refusal(damaged) << "\ninstead of " << message;
  }
}

TEST(Zip, WhatIsNotStoredIsUnsupported) {
  const TemporaryFolder folder;
  const std::string file = archive(folder, {{"a", "first"}});
  const size_t end = file.size() - 22, entry = end - 47;
  for (const auto& [damaged, message] : std::vector<std::pair<std::string, std::string>>{{put(file, entry + 8, "\1"), "a encrypted"},
                                                                                         {put(file, 6, "\1"), "a encrypted"},
                                                                                         {put(file, entry + 10, "\x08"), "a compressed (method 8)"},
                                                                                         {put(file, 8, "\x0c"), "a compressed (method 12)"},
                                                                                         {put(file, entry + 34, "\1"), "an archive in several parts"},
                                                                                         {put(file, end + 4, "\1"), "an archive in several parts"}})
    EXPECT_NE(refusal<Unsupported>(damaged).find(message), std::string::npos) << refusal<Unsupported>(damaged);
}

TEST(Zip, AnArchiveThatIsNotCommittedIsNotThere) {
  const TemporaryFolder folder;
  {
    ZipWriter writer(folder / "f.zip");
    writer.add("a", "first");
    EXPECT_THROW(writer.add("", "nameless"), InvalidArgument);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace everlong::io
