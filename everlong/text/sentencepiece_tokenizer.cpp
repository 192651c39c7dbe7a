#include "everlong/text/sentencepiece_tokenizer.h"

#include <cstdlib>
#include <exception>
#include <new>

#include <sentencepiece_processor.h>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/excerpt.h"
#include "everlong/text/sentencepiece_model.h"
#include "everlong/text/string_table.h"

namespace everlong::text {
namespace {

constexpr std::string_view kMarker = "\u2581";

std::string with_spaces(std::string_view piece) {
  std::string text;
  for (size_t at = piece.find(kMarker); at != std::string_view::npos; at = piece.find(kMarker)) {
    text += piece.substr(0, at);
    text += ' ';
    piece.remove_prefix(at + kMarker.size());
  }
  text += piece;
  return text;
}

std::optional<int32_t> id_or_none(int id) { return id < 0 ? std::nullopt : std::optional<int32_t>(id); }

class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::string model, std::string_view file_name) : model_(std::move(model)) {
    settings_ = check_sentencepiece_model(model_, file_name);
    load(file_name);
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      tokens_.push_back(read_token(id, file_name));
      pieces_.add(processor_.IdToPiece(id), id);
    }
  }

  [[nodiscard]] int32_t vocab_size() const override { return static_cast<int32_t>(tokens_.size()); }
  [[nodiscard]] std::string_view kind() const override { return "sentencepiece"; }
  [[nodiscard]] std::string fingerprint() const override { return hash_hex("sentencepiece 1\n" + model_); }
  void save(const std::filesystem::path& folder) const override { io::atomic_write_text(folder / "tokenizer.model", model_); }

  [[nodiscard]] SpecialIds special_ids() const override {
    return {.bos = id_or_none(processor_.bos_id()),
            .eos = id_or_none(processor_.eos_id()),
            .pad = id_or_none(processor_.pad_id()),
            .unk = id_or_none(processor_.unk_id())};
  }

  [[nodiscard]] std::string_view token_bytes(int32_t id) const override {
    check_id(id);
    return tokens_[static_cast<size_t>(id)].bytes;
  }

  [[nodiscard]] std::optional<int32_t> token_id(std::string_view spelling) const override { return pieces_.find(spelling); }

  void decode_next(int32_t id, DecodePosition& position, std::string& bytes) const override {
    check_id(id);
    const Token& token = tokens_[static_cast<size_t>(id)];
    std::string_view text = token.bytes;
    const bool strips = settings_.add_dummy_prefix || settings_.remove_extra_whitespaces;
    if (position.at_start && strips && token.begins_with_marker && (position.stripped_spaces == 0 || settings_.remove_extra_whitespaces)) {
      text.remove_prefix(1);
      ++position.stripped_spaces;
    }
    if (!text.empty()) position.at_start = false;
    bytes += text;
  }

 protected:
  void append_encoding(std::string_view text, const EncodeOptions&, std::vector<int32_t>& ids) const override {
    std::vector<int> encoded;
    const auto status = processor_.Encode(text, &encoded);
    if (!status.ok())
      throw InvalidArgument({.where = "tokenizer", .expected = "a text that SentencePiece can encode", .got = status.error_message()});
    ids.insert(ids.end(), encoded.begin(), encoded.end());
  }

 private:
  struct Token {
    std::string bytes;
    bool begins_with_marker = false;
  };

  /// The library reports some faults as a status and some, from the trie it builds, as exceptions of its own.
  void load(std::string_view file_name) {
    std::string fault;
    try {
      const auto status = processor_.LoadFromSerializedProto(model_);
      if (status.ok()) return;
      fault = status.error_message();
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& exception) {
      fault = exception.what();
    }
    throw FormatError({.file = std::string(file_name)}, "a SentencePiece model", io::excerpt(fault, 200));
  }

  Token read_token(int id, std::string_view file_name) const {
    if (processor_.IsControl(id)) return {};
    if (processor_.IsUnknown(id)) return {settings_.unk_surface};
    const std::string& piece = processor_.IdToPiece(id);
    if (!processor_.IsByte(id)) return {with_spaces(piece), std::string_view(piece).starts_with(kMarker)};
    unsigned byte = 256;
    if (piece.size() == 6 && piece.starts_with("<0x") && piece.back() == '>')
      byte = static_cast<unsigned>(std::strtoul(piece.substr(3, 2).c_str(), nullptr, 16));
    if (byte > 255) throw FormatError({.file = std::string(file_name), .field = "pieces"}, "byte pieces spelled <0xAB>", io::excerpt(piece));
    return {std::string(1, static_cast<char>(byte))};
  }

  std::string model_;
  SentencePieceSettings settings_;
  sentencepiece::SentencePieceProcessor processor_;
  std::vector<Token> tokens_;
  SpellingIds pieces_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string model, std::string_view file_name) {
  return std::make_unique<SentencePieceTokenizer>(std::move(model), file_name);
}

}  // namespace everlong::text
