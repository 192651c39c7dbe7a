#include <array>

#include "everlong/text/internal_io.h"
#include "everlong/text/string_table.h"
#include "everlong/text/tokenizer.h"

namespace everlong::text {
namespace {

constexpr std::array<char, 256> kBytes = [] {
  std::array<char, 256> bytes{};
  for (int byte = 0; byte < 256; ++byte) bytes[static_cast<size_t>(byte)] = static_cast<char>(byte);
  return bytes;
}();

class BytesTokenizer final : public Tokenizer {
 public:
  [[nodiscard]] int32_t vocab_size() const override { return 256; }
  [[nodiscard]] std::string_view token_bytes(int32_t id) const override {
    check_id(id);
    return {&kBytes[static_cast<size_t>(id)], 1};
  }
  [[nodiscard]] std::optional<int32_t> token_id(std::string_view spelling) const override {
    return spelling.size() == 1 ? std::optional(int32_t{static_cast<uint8_t>(spelling[0])}) : std::nullopt;
  }
  [[nodiscard]] SpecialIds special_ids() const override { return {}; }
  [[nodiscard]] std::string_view kind() const override { return "bytes"; }
  [[nodiscard]] std::string fingerprint() const override { return hash_hex("bytes 1"); }
  void save(const std::filesystem::path& folder) const override {
    internal::atomic_write_text(folder / "everlong_tokenizer.json", "{\n  \"kind\": \"bytes\"\n}\n");
  }

 protected:
  void append_encoding(std::string_view text, const EncodeOptions&, std::vector<int32_t>& ids) const override {
    ids.reserve(ids.size() + text.size());
    for (const char byte : text) ids.push_back(static_cast<uint8_t>(byte));
  }
};

}  // namespace

std::unique_ptr<Tokenizer> make_bytes_tokenizer() { return std::make_unique<BytesTokenizer>(); }

}  // namespace everlong::text
