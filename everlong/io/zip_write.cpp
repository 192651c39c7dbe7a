#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/zip.h"

namespace everlong::io {
namespace {

constexpr int64_t kAlignment = 64, kLocalHeaderBytes = 30, kMax32 = 0xFFFFFFFE, kMax16 = 0xFFFE;
constexpr size_t kMaxNameBytes = 65'000;
constexpr uint16_t kVersion = 20, kVersion64 = 45, kUtf8 = 0x0800, kExtra64 = 0x0001, kPadding = 0x4246;  // "FB", as torch.save calls it
constexpr uint16_t kMidnight = 0, kFirstDay = 0x21;                                                       // 1980-01-01: no clock in the bytes

template <class T>
void put(std::string& text, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) text += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xFF);
}

uint32_t in_32_bits(int64_t value) { return value > kMax32 ? 0xFFFFFFFF : static_cast<uint32_t>(value); }

/// The fields that an entry has in both of its headers.
void put_common(std::string& text, const ZipEntry& entry, bool is_64, size_t extra_bytes) {
  put<uint16_t>(text, is_64 ? kVersion64 : kVersion);
  put<uint16_t>(text, kUtf8);
  put<uint16_t>(text, 0);  // stored
  put<uint16_t>(text, kMidnight);
  put<uint16_t>(text, kFirstDay);
  put<uint32_t>(text, entry.crc32);
  put<uint32_t>(text, in_32_bits(entry.size_bytes));
  put<uint32_t>(text, in_32_bits(entry.size_bytes));
  put<uint16_t>(text, static_cast<uint16_t>(entry.name.size()));
  put<uint16_t>(text, static_cast<uint16_t>(extra_bytes));
}

std::string extra_64(const ZipEntry& entry, int64_t header_offset) {
  std::string numbers;
  if (entry.size_bytes > kMax32) {
    put<int64_t>(numbers, entry.size_bytes);
    put<int64_t>(numbers, entry.size_bytes);
  }
  if (header_offset > kMax32) put<int64_t>(numbers, header_offset);
  if (numbers.empty()) return {};
  std::string extra;
  put<uint16_t>(extra, kExtra64);
  put<uint16_t>(extra, static_cast<uint16_t>(numbers.size()));
  return extra + numbers;
}

std::string directory_end(int64_t count, int64_t begin, int64_t end) {
  std::string text;
  if (count > kMax16 || end > kMax32) {
    put<uint32_t>(text, 0x06064b50);
    put<uint64_t>(text, 44);
    put<uint16_t>(text, kVersion64);
    put<uint16_t>(text, kVersion64);
    put<uint64_t>(text, 0);  // this part and the part of the directory: the only one
    put<int64_t>(text, count);
    put<int64_t>(text, count);
    put<int64_t>(text, end - begin);
    put<int64_t>(text, begin);
    put<uint32_t>(text, 0x07064b50);
    put<uint32_t>(text, 0);
    put<int64_t>(text, end);
    put<uint32_t>(text, 1);
  }
  const auto count_16 = static_cast<uint16_t>(count > kMax16 ? 0xFFFF : count);
  put<uint32_t>(text, 0x06054b50);
  put<uint32_t>(text, 0);  // this part and the part of the directory
  put<uint16_t>(text, count_16);
  put<uint16_t>(text, count_16);
  put<uint32_t>(text, in_32_bits(end - begin));
  put<uint32_t>(text, in_32_bits(begin));
  put<uint16_t>(text, 0);  // no comment
  return text;
}

}  // namespace

void ZipWriter::add(const std::string& name, std::span<const std::byte> bytes) {
  require(!name.empty() && name.size() <= kMaxNameBytes, [&] {
    return Complaint{.where = file_.path().native(), .expected = fmt::format("an entry name of 1 to {} bytes", kMaxNameBytes), .got = excerpt(name)};
  });
  Written written{.entry = {.name = name, .size_bytes = static_cast<int64_t>(bytes.size()), .crc32 = crc32_of(bytes)},
                  .header_offset = file_.written_bytes()};
  std::string extra = extra_64(written.entry, 0);
  const int64_t unpadded = written.header_offset + kLocalHeaderBytes + static_cast<int64_t>(name.size() + extra.size()) + 4;
  const int64_t padding = (kAlignment - unpadded % kAlignment) % kAlignment;
  put<uint16_t>(extra, kPadding);
  put<uint16_t>(extra, static_cast<uint16_t>(padding));
  extra.append(static_cast<size_t>(padding), 'Z');
  std::string header;
  put<uint32_t>(header, 0x04034b50);
  put_common(header, written.entry, written.entry.size_bytes > kMax32, extra.size());
  file_.write(header + name + extra);
  written.entry.offset = file_.written_bytes();
  file_.write(bytes);
  entries_.push_back(std::move(written));
}

void ZipWriter::add(const std::string& name, std::string_view text) { add(name, std::as_bytes(std::span(text))); }

void ZipWriter::commit() {
  const int64_t begin = file_.written_bytes();
  for (const Written& written : entries_) {
    const std::string extra = extra_64(written.entry, written.header_offset);
    std::string text;
    put<uint32_t>(text, 0x02014b50);
    put<uint16_t>(text, extra.empty() ? kVersion : kVersion64);
    put_common(text, written.entry, !extra.empty(), extra.size());
    put<uint16_t>(text, 0);  // no comment
    put<uint16_t>(text, 0);  // the only part
    put<uint16_t>(text, 0);  // attributes inside
    put<uint32_t>(text, 0);  // attributes outside
    put<uint32_t>(text, in_32_bits(written.header_offset));
    file_.write(text + written.entry.name + extra);
  }
  file_.write(directory_end(static_cast<int64_t>(entries_.size()), begin, file_.written_bytes()));
  file_.commit();
}

}  // namespace everlong::io
