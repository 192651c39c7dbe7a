#include "everlong/io/torch_file_legacy.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/unpickler.h"

namespace everlong::io {
namespace {

constexpr int64_t kLegacyVersion = 1001;
/// The pickle of 0x1950a86a20f9469cfc6c in protocol 2; the number alone is the same in later ones.
constexpr std::string_view kMagicPickle = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
constexpr size_t kProtocolByte = 1;

[[noreturn]] void refuse(std::string_view file, int64_t at, std::string_view field, std::string_view expected, std::string_view got) {
  throw FormatError({std::string(file), at, std::string(field)}, expected, got);
}

void check_machine(const TorchValue& machine, int64_t at, std::string_view file_name) {
  const TorchValue* value = machine.find("little_endian");
  const bool* is_little = value == nullptr ? nullptr : value->get_if<bool>();
  if (is_little == nullptr) refuse(file_name, at, "little_endian", "true or false", "neither");
  if (!*is_little) throw Unsupported({.where = file_name, .expected = "numbers in little-endian order", .got = "a file of a big-endian machine"});
}

int64_t read_count(std::span<const std::byte> file, int64_t at, std::string_view field, std::string_view file_name) {
  const auto rest = file.subspan(static_cast<size_t>(at));
  if (rest.size() < 8) refuse(file_name, at, field, "8 bytes with its number of elements", fmt::format("{}", rest.size()));
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(rest[i]);
  return static_cast<int64_t>(value);
}

/// Finds the data of each storage, in the order of the list of keys, up to the end of the file.
std::vector<TorchStorage> place_storages(std::span<const std::byte> file, const Unpickled& keys, std::vector<StorageClaim> claims,
                                         std::string_view file_name) {
  const auto* list = keys.value.get_if<TorchSequence>();
  if (list == nullptr || list->items.size() != claims.size())
    refuse(file_name, keys.end, "storage keys", fmt::format("a list of {}", claims.size()), "another number or no list");
  std::map<std::string_view, size_t> places;
  for (size_t i = 0; i < claims.size(); ++i) places.emplace(claims[i].key, i);
  std::vector<TorchStorage> storages(claims.size());
  int64_t at = keys.end;
  for (const TorchValue& item : list->items) {
    const auto* key = item.get_if<std::string>();
    const auto found = key == nullptr ? places.end() : places.find(*key);
    if (found == places.end())
      refuse(file_name, at, "storage keys", "each key that the values name, once", key == nullptr ? "no text" : excerpt(*key));
    const size_t place = found->second;
    places.erase(found);
    const StorageClaim& claim = claims[place];
    const std::string field = "storage " + excerpt(claim.key);
    const int64_t count = read_count(file, at, field, file_name);
    if (count != claim.num_elements) refuse(file_name, at, field, fmt::format("{} elements", claim.num_elements), fmt::format("{}", count));
    at += 8;
    const int64_t rest = static_cast<int64_t>(file.size()) - at;
    if (claim.size_bytes() > rest) refuse(file_name, at, field, fmt::format("{} bytes", claim.size_bytes()), fmt::format("{}", rest));
    storages[place] = {.key = claim.key, .offset = at, .size_bytes = claim.size_bytes(), .crc32 = 0, .device = claim.device};
    at += claim.size_bytes();
  }
  if (std::cmp_not_equal(at, file.size()))
    refuse(file_name, at, "storages", "the end of the file", fmt::format("{} more bytes", static_cast<int64_t>(file.size()) - at));
  return storages;
}

}  // namespace

bool looks_like_legacy_torch_file(std::span<const std::byte> file) {
  if (file.size() < kMagicPickle.size()) return false;
  const std::string_view start(reinterpret_cast<const char*>(file.data()), kMagicPickle.size());
  return start[0] == kMagicPickle[0] && start.substr(kProtocolByte + 1) == kMagicPickle.substr(kProtocolByte + 1);
}

TorchContents parse_legacy_torch_file(std::span<const std::byte> file, std::string_view file_name) {
  if (!looks_like_legacy_torch_file(file)) refuse(file_name, 0, "magic number", "that of torch.save", "another");
  const Unpickled version = unpickle(file, static_cast<int64_t>(kMagicPickle.size()), file_name);
  const auto* number = version.value.get_if<int64_t>();
  if (number == nullptr || *number != kLegacyVersion)
    refuse(file_name, static_cast<int64_t>(kMagicPickle.size()), "version", fmt::format("{}", kLegacyVersion), "another");
  const Unpickled machine = unpickle(file, version.end, file_name);
  check_machine(machine.value, version.end, file_name);
  Unpickled content = unpickle(file, machine.end, file_name);
  const Unpickled keys = unpickle(file, content.end, file_name);
  return {.value = std::move(content.value), .storages = place_storages(file, keys, std::move(content.storages), file_name)};
}

}  // namespace everlong::io
