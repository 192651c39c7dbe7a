#pragma once
// Fingerprints of bytes: XXH3 with 128 bits, as 32 hexadecimal digits. Not a defence against someone who wants a collision.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace everlong::io {

/// A hash over bytes that come in pieces; how they are cut does not matter.
class Hasher {
 public:
  Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();

  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);

  /// The digest of all so far; more may follow.
  [[nodiscard]] std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

[[nodiscard]] std::string hash_hex(std::span<const std::byte> bytes);
[[nodiscard]] std::string hash_hex(std::string_view text);

/// Hash of a file's content. Errors  IoError
[[nodiscard]] std::string hash_file_hex(const std::filesystem::path& path);

}  // namespace everlong::io
