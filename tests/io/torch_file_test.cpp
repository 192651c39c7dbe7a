#include "everlong/io/torch_file.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "everlong/base/error.h"
#include "everlong/io/safetensors.h"
#include "everlong/io/zip.h"
#include "tests/io/support.h"
#include "tests/io/torch_support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

using testing::read_text;
using testing::source_path;
using testing::TemporaryFolder;
using testing::write_text;

std::filesystem::path sample(const std::string& name) { return source_path("tests/data/torch_files/" + name); }

nlohmann::json described(const TorchFile& file) {
  return described(file.value(), [&](size_t storage) { return file.checked_bytes(file.storages()[storage]); });
}

template <class E = FormatError>
std::string refusal_of(const std::string& name) {
  return message_of<E>([&] { (void)TorchFile::open(sample(name)); }, sample("").string());
}

TEST(TorchFile, WhatPyTorchSavedIsReadAsItWas) {
  const auto expected = nlohmann::json::parse(read_text(sample("expected.json")));
  ASSERT_EQ(expected.size(), 10U);
  for (const auto& [name, values] : expected.items()) EXPECT_EQ(described(TorchFile::open(sample(name))), values) << name;
}

TEST(TorchFile, ACheckpointOfTransformersHoldsTheTensorsThatPyTorchReads) {
  const auto file = TorchFile::open(source_path("tests/golden/mega/mlm_pickle_bin/pytorch_model.bin"));
  const auto twin = SafetensorsFile::open(sample("mlm_pickle_bin.safetensors"));
  const auto& items = file.value().get_if<TorchDict>()->items;
  ASSERT_EQ(items.size(), twin.tensors().size());
  for (const TorchItem& item : items) {
    const auto& name = *item.key.get_if<std::string>();
    const TorchTensor& tensor = *item.value.get_if<TorchTensor>();
    const TensorEntry* entry = twin.find(name);
    ASSERT_NE(entry, nullptr) << name;
    EXPECT_EQ(tensor.shape, entry->shape) << name;
    ASSERT_TRUE(tensor.is_contiguous() && tensor.offset == 0) << name;
    EXPECT_EQ(as_text(file.checked_bytes(file.storages()[tensor.storage])), as_text(twin.bytes(name))) << name;
  }
  const auto storage_of = [&](std::string_view name) { return file.value().find(name)->get_if<TorchTensor>()->storage; };
  EXPECT_EQ(storage_of("mlm_head.weight"), storage_of("mega.embedding_layer.word_embeddings.weight"));
  EXPECT_EQ(file.storages().size() + 1, items.size());
}

TEST(TorchFile, ATiedTensorSharesItsStorageAndAViewKeepsItsStrides) {
  const auto file = TorchFile::open(sample("views.pt"));
  const auto& whole = *file.value().find("whole")->get_if<TorchTensor>();
  const auto& turned = *file.value().find("turned")->get_if<TorchTensor>();
  EXPECT_EQ(file.value().find("tied")->get_if<TorchTensor>()->storage, whole.storage);
  EXPECT_EQ(turned.strides, (std::vector<int64_t>{1, 6}));
  EXPECT_TRUE(whole.is_contiguous());
  EXPECT_FALSE(turned.is_contiguous());
  EXPECT_EQ(file.value().find("scalar")->get_if<TorchTensor>()->offset, 7);
  EXPECT_EQ(file.value().find("nothing"), nullptr);
}

TEST(TorchFile, ANameThatWouldRunSomethingIsRefusedWithItsPlace) {
  const std::string expected = "] expected only names that plain values and tensors need, got another, and nothing in a file is run.";
  for (const auto& [file, name] : std::map<std::string, std::string>{{"os_system.pt", "posix.system"},
                                                                     {"os_system_legacy.pt", "posix.system"},
                                                                     {"eval.pt", "__builtin__.eval"},
                                                                     {"getattr.pt", "__builtin__.getattr"},
                                                                     {"whole_module.pt", "torch.nn.modules.linear.Linear"},
                                                                     {"complex.pt", "torch.ComplexFloatStorage"}}) {
    const std::string got = refusal_of(file);
    EXPECT_NE(got.find("global " + name + expected), std::string::npos) << got;
    EXPECT_TRUE(got.starts_with("[/" + file + " at ") || got.starts_with("[" + file + " at ")) << got;
  }
}

TEST(TorchFile, OtherFormsAreRefusedByName) {
  EXPECT_NE(refusal_of<Unsupported>("compressed.pt").find("compressed (method 8)"), std::string::npos) << refusal_of<Unsupported>("compressed.pt");
  EXPECT_NE(refusal_of<Unsupported>("big_endian.pt").find("a file of a big-endian machine"), std::string::npos);
  EXPECT_NE(refusal_of<Unsupported>("torchscript.pt").find("a TorchScript archive"), std::string::npos);
  EXPECT_NE(refusal_of("no_storage.pt").find("storage 0] expected an entry of the archive with its data, got none"), std::string::npos);
  EXPECT_NE(refusal_of("short_storage.pt").find("expected 40 bytes in the archive, got 39"), std::string::npos) << refusal_of("short_storage.pt");
  EXPECT_NE(refusal_of("expanded.pt").find("expected a view of its 1 elements, got shape [1000], strides [0], offset 0"), std::string::npos)
      << refusal_of("expanded.pt");
  const TemporaryFolder folder;
  std::string tar(1024, '\0');
  tar.replace(257, 5, "ustar");
  write_text(folder / "tar", tar);
  EXPECT_NE(message_of<Unsupported>([&] { (void)TorchFile::open(folder / "tar"); }).find("the tar form of PyTorch 0.1"), std::string::npos);
  write_text(folder / "text", "hello");
  EXPECT_THROW((void)TorchFile::open(folder / "text"), FormatError);
  EXPECT_THROW((void)TorchFile::open(folder / "nothing"), IoError);
}

TEST(TorchFile, AFileCutOffAnywhereIsRefused) {
  for (const char* name : {"views.pt", "legacy.pt"}) {
    const std::string whole = read_text(sample(name));
    EXPECT_NO_THROW((void)parse_torch_file(as_bytes(whole), name));
    for (size_t size = 0; size < whole.size(); ++size)
      EXPECT_THROW((void)parse_torch_file(as_bytes(std::string_view(whole).substr(0, size)), name), FormatError) << name << " " << size;
  }
}

TEST(TorchFile, AFlippedByteIsRefusedOrReadWithinBounds) {
  for (const char* name : {"views.pt", "legacy.pt"}) {
    std::string file = read_text(sample(name));
    for (size_t i = 0; i < file.size(); ++i) {
      for (const char flip : {'\x01', '\x80', '\xff'}) {
        file[i] = static_cast<char>(file[i] ^ flip);
        try {
          const TorchContents contents = parse_torch_file(as_bytes(file), name);
          for (const TorchStorage& storage : contents.storages)
            ASSERT_LE(storage.offset + storage.size_bytes, static_cast<int64_t>(file.size())) << name << " " << i;
        } catch (const Error&) {
        }
        file[i] = static_cast<char>(file[i] ^ flip);
      }
    }
  }
}

TEST(TorchFile, DamagedDataAreFoundByTheirChecksum) {
  const TemporaryFolder folder;
  std::string file = read_text(sample("views.pt"));
  const auto sound = TorchFile::open(sample("views.pt"));
  const TorchStorage& storage = sound.storages().at(0);
  file[static_cast<size_t>(storage.offset)] ^= 1;
  write_text(folder / "f", file);
  const auto damaged = TorchFile::open(folder / "f");
  EXPECT_NE(
      message_of<FormatError>([&] { (void)damaged.checked_bytes(damaged.storages().at(0)); }, folder.path()).find("expected data with the checksum"),
      std::string::npos);
  EXPECT_EQ(damaged.bytes(damaged.storages().at(0)).size(), 96U);
  const size_t pickle = file.find("_rebuild_tensor_v2");
  file[pickle] = 'X';
  EXPECT_NE(message_of<FormatError>([&] { (void)parse_torch_file(as_bytes(file), "f"); }).find("data.pkl] expected data with the checksum"),
            std::string::npos);
}

TorchValue tensor_value(Dtype dtype, std::vector<int64_t> shape, size_t storage) {
  const auto strides = contiguous_strides(shape);
  return {TorchTensor{.dtype = dtype, .shape = std::move(shape), .strides = strides, .storage = storage}};
}

TEST(WriteTorchFile, WhatIsReadAndWrittenReadsAsBefore) {
  const TemporaryFolder folder;
  for (const char* name : {"dtypes.pt", "views.pt", "values.pt", "fairseq.pt", "legacy.pt", "protocol_5.pt"}) {
    const auto file = TorchFile::open(sample(name));
    std::vector<TorchStorageToWrite> storages(file.storages().size());
    const auto note = [&](const auto& self, const TorchValue& value) -> void {
      if (const auto* tensor = value.get_if<TorchTensor>())
        storages[tensor->storage] = {.dtype = tensor->dtype, .bytes = file.bytes(file.storages()[tensor->storage])};
      if (const auto* dict = value.get_if<TorchDict>())
        for (const TorchItem& item : dict->items) self(self, item.value);
    };
    note(note, file.value());
    write_torch_file(folder / "again.pt", file.value(), storages);
    EXPECT_EQ(described(TorchFile::open(folder / "again.pt")), described(file)) << name;
    const std::string first = read_text(folder / "again.pt");
    if (const char* kept = std::getenv("EVERLONG_WRITTEN_TORCH_FILES")) write_text(std::filesystem::path(kept) / name, first);
    write_torch_file(folder / "again.pt", file.value(), storages);
    EXPECT_EQ(read_text(folder / "again.pt"), first) << name;
  }
}

TEST(WriteTorchFile, StoragesBeginAtMultiplesOf64Bytes) {
  const TemporaryFolder folder;
  const std::vector<std::byte> data(20);
  write_torch_file(folder / "f",
                   {TorchDict{{{{std::string("a")}, tensor_value(Dtype::F32, {5}, 0)}, {{std::string("b")}, tensor_value(Dtype::U16, {2, 5}, 1)}}}},
                   {{Dtype::F32, data}, {Dtype::U16, data}});
  const auto file = TorchFile::open(folder / "f");
  ASSERT_EQ(file.storages().size(), 2U);
  for (const TorchStorage& storage : file.storages()) EXPECT_EQ(storage.offset % 64, 0) << storage.key;
}

TEST(WriteTorchFile, WhatCouldNotBeReadIsNotWritten) {
  const TemporaryFolder folder;
  const std::vector<std::byte> data(20);
  const auto refused = [&](const TorchValue& value, Dtype dtype) {
    EXPECT_THROW(write_torch_file(folder / "f", value, {{dtype, data}}), InvalidArgument);
    EXPECT_FALSE(std::filesystem::exists(folder / "f"));
  };
  refused(tensor_value(Dtype::F32, {6}, 0), Dtype::F32);
  refused(tensor_value(Dtype::F32, {5}, 1), Dtype::F32);
  refused(tensor_value(Dtype::I32, {5}, 0), Dtype::F32);
  refused(tensor_value(Dtype::F64, {2}, 0), Dtype::F64);
  refused({TorchTensor{.shape = {2}, .strides = {-1}, .offset = 1}}, Dtype::F32);
  refused({std::string("\xff")}, Dtype::F32);
  TorchValue deep;
  for (int i = 0; i < 200; ++i) {
    TorchSequence outer;
    outer.items.push_back(std::move(deep));
    deep = TorchValue{std::move(outer)};
  }
  refused(deep, Dtype::F32);
}

}  // namespace
}  // namespace everlong::io
