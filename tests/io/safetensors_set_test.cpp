#include "everlong/io/safetensors_set.h"

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::TemporaryFolder;
using testing::write_text;

void write_shard(const std::filesystem::path& path, const std::vector<std::string>& names) {
  static const std::string content = "12";
  std::vector<TensorToWrite> tensors;
  for (const auto& name : names) tensors.push_back({.name = name, .dtype = Dtype::U8, .shape = {2}, .bytes = as_bytes(content)});
  write_safetensors(path, tensors);
}

std::string refusal(const TemporaryFolder& folder, std::string_view index) {
  write_text(folder / "model.safetensors.index.json", index);
  return message_of<FormatError>([&] { (void)SafetensorsSet::open(folder.path()); }, folder.path());
}

TEST(SafetensorsSet, AFolderAFileAndAnIndexAreOpened) {
  const TemporaryFolder folder;
  write_shard(folder / "s1.safetensors", {"a", "b"});
  write_shard(folder / "s2.safetensors", {"c"});
  write_text(folder / "model.safetensors.index.json",
             R"({"metadata": {"total_size": 6}, "weight_map": {"a": "s1.safetensors", "b": "s1.safetensors", "c": "s2.safetensors"}})");
  for (const auto& path : {folder.path(), folder / "model.safetensors.index.json"}) {
    const auto set = SafetensorsSet::open(path);
    EXPECT_EQ(set.files().size(), 2U);
    EXPECT_EQ(set.tensors().size(), 3U);
    EXPECT_EQ(as_text(set.bytes("c")), "12");
  }
  const auto shard = SafetensorsSet::open(folder / "s1.safetensors");
  EXPECT_EQ(shard.find("c"), nullptr);
  EXPECT_NE(shard.find("a"), nullptr);
  EXPECT_EQ(message_of<FormatError>([&] { (void)shard.bytes("c"); }, folder.path()),
            "[/s1.safetensors, c] expected a tensor of this name, got none.");
  write_shard(folder / "model.safetensors", {"whole"});
  EXPECT_NE(SafetensorsSet::open(folder.path()).find("whole"), nullptr);
}

TEST(SafetensorsSet, AFolderWithoutAModelIsAnIoError) {
  const TemporaryFolder folder;
  EXPECT_EQ(message_of<IoError>([&] { (void)SafetensorsSet::open(folder.path()); }, folder.path()),
            "[/model.safetensors] cannot open: No such file or directory.");
}

TEST(SafetensorsSet, AnIndexThatLiesIsRefused) {
  const TemporaryFolder folder;
  write_shard(folder / "s1.safetensors", {"a", "b"});
  write_shard(folder / "s2.safetensors", {"b", "c"});
  const std::string index = "/model.safetensors.index.json";
  EXPECT_EQ(refusal(folder, "[]"), "[" + index + ", weight_map] expected an object from tensor names to files, got none.");
  EXPECT_EQ(refusal(folder, R"({"weight_map": 1})"), "[" + index + ", weight_map] expected an object from tensor names to files, got number.");
  EXPECT_EQ(refusal(folder, R"({"weight_map": {"a": 1}})"), "[" + index + ", weight_map.a] expected the name of a file, got number.");
  for (const std::string_view name : {"../s1.safetensors", "/etc/x.safetensors", "a\\\\s.safetensors", "s\\u0000.safetensors", "..", "", "s1.bin"}) {
    const std::string got = refusal(folder, "{\"weight_map\": {\"a\": \"" + std::string(name) + "\"}}");
    EXPECT_TRUE(got.starts_with("[" + index + ", weight_map.a] expected the name of a .safetensors file beside the index")) << got;
  }
  EXPECT_EQ(refusal(folder, R"({"weight_map": {"a": "s3.safetensors"}})"),
            "[" + index + ", weight_map.a] expected a file beside the index, got s3.safetensors, which is missing.");
  EXPECT_EQ(refusal(folder, R"({"weight_map": {"a": "s1.safetensors", "b": "s1.safetensors", "d": "s1.safetensors"}})"),
            "[/s1.safetensors, d] expected a tensor of this name, as model.safetensors.index.json says, got none.");
  EXPECT_EQ(refusal(folder, R"({"weight_map": {"a": "s1.safetensors", "b": "s1.safetensors", "c": "s2.safetensors"}})"),
            "[/s2.safetensors at 120, b] expected this tensor in s1.safetensors only, got it here too.");
  EXPECT_EQ(refusal(folder, R"({"weight_map": {"a": "s1.safetensors"}})"),
            "[/s1.safetensors at 122, b] expected a tensor that model.safetensors.index.json names, got one that it does not.");
}

}  // namespace
}  // namespace everlong::io
