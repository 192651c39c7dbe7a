#include "everlong/io/zip.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <zlib.h>

#include <fmt/format.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::io {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kDirectoryEnd = 0x06054b50;
constexpr uint32_t kDirectoryEnd64 = 0x06064b50, kDirectoryEndLocator64 = 0x07064b50;
constexpr uint64_t kLocalHeaderBytes = 30, kDirectoryEntryBytes = 46, kDirectoryEndBytes = 22, kDirectoryEnd64Bytes = 56, kLocatorBytes = 20;
constexpr uint16_t kExtra64 = 0x0001;
constexpr uint64_t kNone32 = 0xFFFFFFFF, kNone16 = 0xFFFF;

/// Little-endian numbers at places of a file, each place checked.
class ZipBytes {
 public:
  ZipBytes(std::span<const std::byte> bytes, std::string_view name) : bytes_(bytes), name_(name) {}

  [[nodiscard]] uint64_t size() const { return bytes_.size(); }

  [[noreturn]] void refuse(uint64_t at, std::string_view field, std::string_view expected, std::string_view got) const {
    throw FormatError({std::string(name_), static_cast<int64_t>(std::min<uint64_t>(at, bytes_.size())), std::string(field)}, expected, got);
  }

  [[noreturn]] void unsupported(std::string_view field, std::string_view got) const {
    throw Unsupported({.where = name_,
                       .expected = "a zip archive as torch.save writes it: one part, entries stored as they are",
                       .got = fmt::format("{} {}", field, got),
                       .hint = "unpack it and load it in PyTorch, then torch.save it again"});
  }

  [[nodiscard]] std::span<const std::byte> at(uint64_t offset, uint64_t count, std::string_view field) const {
    if (offset > bytes_.size() || count > bytes_.size() - offset)
      refuse(offset, field, fmt::format("{} bytes", count), fmt::format("{}", offset > bytes_.size() ? 0 : bytes_.size() - offset));
    return bytes_.subspan(offset, count);
  }

  template <class T>
  [[nodiscard]] T number(uint64_t offset, std::string_view field) const {
    const auto bytes = at(offset, sizeof(T), field);
    uint64_t value = 0;
    for (size_t i = sizeof(T); i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
    return static_cast<T>(value);
  }
  [[nodiscard]] uint16_t u16(uint64_t offset, std::string_view field) const { return number<uint16_t>(offset, field); }
  [[nodiscard]] uint32_t u32(uint64_t offset, std::string_view field) const { return number<uint32_t>(offset, field); }
  [[nodiscard]] uint64_t u64(uint64_t offset, std::string_view field) const { return number<uint64_t>(offset, field); }

  [[nodiscard]] std::string text(uint64_t offset, uint64_t count, std::string_view field) const {
    const auto bytes = at(offset, count, field);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> bytes_;
  std::string_view name_;
};

/// Where the directory lies.
struct Directory {
  uint64_t offset = 0, size = 0, entries = 0;
  uint64_t end_record = 0;  ///< of the first of the records that follow the directory
};

/// The end record may be followed by a comment only, so it is searched from the end.
uint64_t find_directory_end(const ZipBytes& file) {
  if (file.size() >= kDirectoryEndBytes) {
    const uint64_t last = file.size() - kDirectoryEndBytes, first = last - std::min<uint64_t>(last, kNone16);
    for (uint64_t at = last + 1; at-- > first;)
      if (file.u32(at, "end of the directory") == kDirectoryEnd && file.u16(at + 20, "comment") == last - at) return at;
  }
  file.refuse(file.size(), "end of the directory", "the end record of a zip archive", "none: the file is cut off or is no zip archive");
}

Directory read_directory64(const ZipBytes& file, uint64_t end) {
  const uint64_t locator = end - kLocatorBytes;
  if (file.u32(locator + 4, "parts") != 0 || file.u32(locator + 16, "parts") > 1) file.unsupported("an archive", "in several parts");
  const uint64_t record = file.u64(locator + 8, "zip64 end record");
  if (record > locator || file.u32(record, "zip64 end record") != kDirectoryEnd64)
    file.refuse(locator + 8, "zip64 end record", "its place", fmt::format("{}", record));
  const uint64_t size = file.u64(record + 4, "zip64 end record");
  if (size < kDirectoryEnd64Bytes - 12 || size != locator - record - 12)
    file.refuse(record + 4, "zip64 end record", fmt::format("a size of {}", locator - record - 12), fmt::format("{}", size));
  if (file.u32(record + 16, "parts") != 0 || file.u32(record + 20, "parts") != 0) file.unsupported("an archive", "in several parts");
  return {.offset = file.u64(record + 48, "directory"),
          .size = file.u64(record + 40, "directory"),
          .entries = file.u64(record + 32, "number of entries"),
          .end_record = record};
}

Directory read_directory(const ZipBytes& file) {
  const uint64_t end = find_directory_end(file);
  Directory directory{.offset = file.u32(end + 16, "directory"),
                      .size = file.u32(end + 12, "directory"),
                      .entries = file.u16(end + 10, "number of entries"),
                      .end_record = end};
  const bool is_64 = end >= kLocatorBytes && file.u32(end - kLocatorBytes, "zip64 locator") == kDirectoryEndLocator64;
  if (is_64) directory = read_directory64(file, end);
  const bool in_parts = file.u16(end + 4, "parts") != 0 || file.u16(end + 6, "parts") != 0;
  if (in_parts && !(is_64 && file.u16(end + 4, "parts") == kNone16)) file.unsupported("an archive", "in several parts");
  if (directory.offset > directory.end_record || directory.size != directory.end_record - directory.offset)
    file.refuse(directory.end_record, "directory", "a directory that ends here", fmt::format("{} bytes from {}", directory.size, directory.offset));
  if (directory.entries > directory.size / kDirectoryEntryBytes)
    file.refuse(directory.end_record, "number of entries", fmt::format("at most {}", directory.size / kDirectoryEntryBytes),
                fmt::format("{}", directory.entries));
  return directory;
}

/// Sizes and place of an entry, as its directory record has them.
struct Sizes {
  uint64_t stored = 0, original = 0, header_offset = 0;
};

/// Takes from the zip64 field what did not fit into 32 bits, in the order the format prescribes.
void read_extra64(const ZipBytes& file, uint64_t offset, uint64_t count, std::string_view name, Sizes& sizes) {
  const uint64_t end = offset + count;
  while (offset < end) {
    if (end - offset < 4) return;  // padding
    const uint64_t kind = file.u16(offset, name), length = file.u16(offset + 2, name);
    offset += 4;
    if (length > end - offset) file.refuse(offset, name, fmt::format("an extra field of at most {} bytes", end - offset), fmt::format("{}", length));
    if (kind == kExtra64) {
      uint64_t at = offset;
      for (uint64_t* size : {&sizes.original, &sizes.stored, &sizes.header_offset}) {
        if (*size != kNone32) continue;
        if (offset + length - at < 8) file.refuse(at, name, "8 bytes in the zip64 field", fmt::format("{}", offset + length - at));
        *size = file.u64(at, name);
        at += 8;
      }
      return;
    }
    offset += length;
  }
}

void check_form(const ZipBytes& file, uint64_t flags, uint64_t method, std::string_view name) {
  if ((flags & 0x2041) != 0) file.unsupported(name, "encrypted");
  if (method != 0) file.unsupported(name, fmt::format("compressed (method {})", method));
}

/// An entry and the bytes that it and its header take up.
struct Placed {
  ZipEntry entry;
  uint64_t begin = 0, end = 0;
};

/// Follows a directory record to the header before the data, which must agree with it.
Placed place_entry(const ZipBytes& file, const Directory& directory, std::string name, const Sizes& sizes, uint32_t crc32) {
  const std::string field = excerpt(name);
  const uint64_t header = sizes.header_offset;
  if (header > directory.offset || directory.offset - header < kLocalHeaderBytes)
    file.refuse(directory.offset, field, "a place before the directory", fmt::format("{}", header));
  if (file.u32(header, field) != kLocalHeader) file.refuse(header, field, "the header of an entry", "other bytes");
  check_form(file, file.u16(header + 6, field), file.u16(header + 8, field), field);
  const uint64_t name_bytes = file.u16(header + 26, field), extra_bytes = file.u16(header + 28, field);
  const uint64_t data = header + kLocalHeaderBytes + name_bytes + extra_bytes;
  if (data > directory.offset || sizes.stored > directory.offset - data)
    file.refuse(header, field, "data that end before the directory", fmt::format("{} bytes from {}", sizes.stored, data));
  if (file.text(header + kLocalHeaderBytes, name_bytes, field) != name) file.refuse(header, field, "the name that the directory has", "another");
  ZipEntry entry{.name = std::move(name), .offset = static_cast<int64_t>(data), .size_bytes = static_cast<int64_t>(sizes.stored), .crc32 = crc32};
  return {.entry = std::move(entry), .begin = header, .end = data + sizes.stored};
}

/// Reads the record at `at` and moves it to the next.
Placed read_entry(const ZipBytes& file, const Directory& directory, uint64_t& at) {
  if (file.u32(at, "directory") != kDirectoryEntry) file.refuse(at, "directory", "an entry", "other bytes");
  const uint64_t name_bytes = file.u16(at + 28, "directory"), extra_bytes = file.u16(at + 30, "directory"),
                 comment_bytes = file.u16(at + 32, "directory");
  const uint64_t length = kDirectoryEntryBytes + name_bytes + extra_bytes + comment_bytes;
  if (at + length > directory.end_record) file.refuse(at, "directory", "an entry that ends with it", "a longer one");
  std::string name = file.text(at + kDirectoryEntryBytes, name_bytes, "directory");
  const std::string field = excerpt(name);
  check_form(file, file.u16(at + 8, field), file.u16(at + 10, field), field);
  Sizes sizes{.stored = file.u32(at + 20, field), .original = file.u32(at + 24, field), .header_offset = file.u32(at + 42, field)};
  read_extra64(file, at + kDirectoryEntryBytes + name_bytes, extra_bytes, field, sizes);
  const uint64_t part = file.u16(at + 34, field);
  if (part != 0 && part != kNone16) file.unsupported("an archive", "in several parts");
  if (sizes.stored != sizes.original)
    file.refuse(at, field, "the same size stored and original", fmt::format("{} and {}", sizes.stored, sizes.original));
  Placed placed = place_entry(file, directory, std::move(name), sizes, file.u32(at + 16, field));
  at += length;
  return placed;
}

void check_places(const ZipBytes& file, std::vector<Placed>& entries) {
  std::sort(entries.begin(), entries.end(), [](const Placed& a, const Placed& b) { return a.begin < b.begin; });
  std::set<std::string_view> names;
  for (size_t i = 0; i < entries.size(); ++i) {
    const std::string field = excerpt(entries[i].entry.name);
    if (!names.insert(entries[i].entry.name).second) file.refuse(entries[i].begin, field, "each name once", "it twice");
    if (i > 0 && entries[i].begin < entries[i - 1].end)
      file.refuse(entries[i].begin, field, fmt::format("it behind {}", excerpt(entries[i - 1].entry.name)), "entries that overlap");
  }
}

}  // namespace

bool looks_like_zip(std::span<const std::byte> file) {
  constexpr std::string_view kFirst = "PK\x03\x04";
  return file.size() >= kFirst.size() && std::memcmp(file.data(), kFirst.data(), kFirst.size()) == 0;
}

std::vector<ZipEntry> parse_zip(std::span<const std::byte> bytes, std::string_view file_name) {
  const ZipBytes file(bytes, file_name);
  const Directory directory = read_directory(file);
  std::vector<Placed> placed;
  uint64_t at = directory.offset;
  while (placed.size() < directory.entries) placed.push_back(read_entry(file, directory, at));
  if (at != directory.end_record)
    file.refuse(at, "directory", fmt::format("{} entries", directory.entries), fmt::format("{} more bytes", directory.end_record - at));
  check_places(file, placed);
  std::vector<ZipEntry> entries;
  for (Placed& one : placed) entries.push_back(std::move(one.entry));
  return entries;
}

uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::span<const std::byte> checked_bytes(std::span<const std::byte> file, const ZipEntry& entry, std::string_view file_name) {
  const auto bytes = file.subspan(static_cast<size_t>(entry.offset), static_cast<size_t>(entry.size_bytes));
  if (entry.crc32 == 0) return bytes;
  const uint32_t found = crc32_of(bytes);
  if (found != entry.crc32)
    throw FormatError({std::string(file_name), entry.offset, excerpt(entry.name)}, fmt::format("data with the checksum {:08x}", entry.crc32),
                      fmt::format("{:08x}", found), "the file is damaged; fetch it again");
  return bytes;
}

}  // namespace everlong::io
