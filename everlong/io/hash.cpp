#include "everlong/io/hash.h"

#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fmt/format.h>

#include "everlong/io/file_descriptor.h"

namespace everlong::io {
namespace {

std::string hex_of(XXH128_hash_t hash) { return fmt::format("{:016x}{:016x}", hash.high64, hash.low64); }

}  // namespace

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh); }
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_128bits_update(&state_->xxh, bytes.data(), bytes.size());
}

void Hasher::update(std::string_view text) { update(std::as_bytes(std::span(text))); }

std::string Hasher::hex() const { return hex_of(XXH3_128bits_digest(&state_->xxh)); }

std::string hash_hex(std::span<const std::byte> bytes) { return hex_of(XXH3_128bits(bytes.data(), bytes.size())); }
std::string hash_hex(std::string_view text) { return hash_hex(std::as_bytes(std::span(text))); }

std::string hash_file_hex(const std::filesystem::path& path) {
  const FileDescriptor file = open_for_reading(path);
  Hasher hasher;
  std::vector<std::byte> buffer(size_t{1} << 20);
  while (const size_t count = read_some(file, buffer, path)) hasher.update(std::span(buffer).first(count));
  return hasher.hex();
}

}  // namespace everlong::io
