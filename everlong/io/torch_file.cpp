#include "everlong/io/torch_file.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/torch_file_legacy.h"
#include "everlong/io/unpickler.h"
#include "everlong/io/zip.h"

namespace everlong::io {
namespace {

constexpr std::string_view kPickle = "data.pkl";

using Entries = std::map<std::string_view, const ZipEntry*>;

/// Everything lies in one folder of the archive: the one with data.pkl.
std::string prefix_of(const std::vector<ZipEntry>& entries, std::string_view file_name) {
  std::string prefix;
  int found = 0;
  for (const ZipEntry& entry : entries) {
    const size_t slash = entry.name.find('/');
    if (slash == std::string::npos || entry.name.substr(slash + 1) != kPickle) continue;
    prefix = entry.name.substr(0, slash + 1);
    ++found;
  }
  if (found != 1)
    throw FormatError({std::string(file_name), -1, std::string(kPickle)}, "one in the archive, as torch.save writes it", fmt::format("{}", found));
  return prefix;
}

const ZipEntry* find(const Entries& entries, const std::string& name) {
  const auto found = entries.find(name);
  return found == entries.end() ? nullptr : found->second;
}

void refuse_other_forms(std::span<const std::byte> file, const Entries& entries, const std::string& prefix, std::string_view file_name) {
  if (find(entries, prefix + "constants.pkl") != nullptr)
    throw Unsupported({.where = file_name,
                       .expected = "values and tensors of torch.save",
                       .got = "a TorchScript archive, which holds a program",
                       .hint = "load it with torch.jit.load and torch.save its state_dict()"});
  const ZipEntry* order = find(entries, prefix + "byteorder");
  if (order == nullptr) return;
  const auto bytes = checked_bytes(file, *order, file_name);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text == "big") throw Unsupported({.where = file_name, .expected = "numbers in little-endian order", .got = "a file of a big-endian machine"});
  if (text != "little") throw FormatError({std::string(file_name), order->offset, "byteorder"}, "little or big", excerpt(text));
}

TorchContents parse_zip_form(std::span<const std::byte> file, std::string_view file_name) {
  const std::vector<ZipEntry> list = parse_zip(file, file_name);
  Entries entries;
  for (const ZipEntry& entry : list) entries.emplace(entry.name, &entry);
  const std::string prefix = prefix_of(list, file_name);
  refuse_other_forms(file, entries, prefix, file_name);
  const ZipEntry& pickle = *find(entries, prefix + std::string(kPickle));
  if (pickle.size_bytes > kMaxPickleBytes)
    throw FormatError({std::string(file_name), pickle.offset, std::string(kPickle)}, fmt::format("at most {} bytes", kMaxPickleBytes),
                      fmt::format("{}", pickle.size_bytes));
  (void)checked_bytes(file, pickle, file_name);
  const int64_t end = pickle.offset + pickle.size_bytes;
  Unpickled unpickled = unpickle(file.first(static_cast<size_t>(end)), pickle.offset, file_name);
  if (unpickled.end != end)
    throw FormatError({std::string(file_name), unpickled.end, std::string(kPickle)}, "the end of the pickle",
                      fmt::format("{} more bytes", end - unpickled.end));
  TorchContents contents{.value = std::move(unpickled.value), .storages = {}};
  for (StorageClaim& claim : unpickled.storages) {
    const FileLocation location{std::string(file_name), claim.pickle_offset, "storage " + excerpt(claim.key)};
    const ZipEntry* data = find(entries, fmt::format("{}data/{}", prefix, claim.key));
    if (data == nullptr) throw FormatError(location, "an entry of the archive with its data", "none");
    if (data->size_bytes != claim.size_bytes())
      throw FormatError(location, fmt::format("{} bytes in the archive", claim.size_bytes()), fmt::format("{}", data->size_bytes));
    contents.storages.push_back({.key = std::move(claim.key),
                                 .offset = data->offset,
                                 .size_bytes = data->size_bytes,
                                 .crc32 = data->crc32,
                                 .device = std::move(claim.device)});
  }
  return contents;
}

bool looks_like_tar(std::span<const std::byte> file) {
  constexpr std::string_view kMagic = "ustar";
  return file.size() >= 512 && std::equal(kMagic.begin(), kMagic.end(), reinterpret_cast<const char*>(file.data()) + 257);
}

}  // namespace

bool looks_like_torch_file(std::span<const std::byte> file) { return looks_like_zip(file) || looks_like_legacy_torch_file(file); }

TorchContents parse_torch_file(std::span<const std::byte> file, std::string_view file_name) {
  if (looks_like_zip(file)) return parse_zip_form(file, file_name);
  if (looks_like_legacy_torch_file(file)) return parse_legacy_torch_file(file, file_name);
  if (looks_like_tar(file))
    throw Unsupported({.where = file_name,
                       .expected = "a file of torch.save",
                       .got = "the tar form of PyTorch 0.1",
                       .hint = "load it in PyTorch and torch.save it again"});
  throw FormatError({std::string(file_name), 0}, "a file of torch.save, which begins as a zip archive or a pickle", "other bytes");
}

TorchFile TorchFile::open(const std::filesystem::path& path) {
  TorchFile opened;
  opened.path_ = path;
  opened.file_ = MappedFile(path);
  opened.contents_ = parse_torch_file(opened.file_.bytes(), path.string());
  return opened;
}

std::span<const std::byte> TorchFile::bytes(const TorchStorage& storage) const {
  return file_.bytes().subspan(static_cast<size_t>(storage.offset), static_cast<size_t>(storage.size_bytes));
}

std::span<const std::byte> TorchFile::checked_bytes(const TorchStorage& storage) const {
  const ZipEntry entry{.name = "storage " + storage.key, .offset = storage.offset, .size_bytes = storage.size_bytes, .crc32 = storage.crc32};
  return io::checked_bytes(file_.bytes(), entry, path_.string());
}

}  // namespace everlong::io
