#include "everlong/data/corpus.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::data {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

template <class T>
void copy_as(const TokenPiece& piece, int64_t begin, std::span<int64_t> tokens) {
  const std::byte* source = piece.bytes.data() + begin * static_cast<int64_t>(sizeof(T));
  bool inside = true;
  for (size_t i = 0; i < tokens.size(); ++i) {
    T id;
    std::memcpy(&id, source + i * sizeof(T), sizeof(T));
    tokens[i] = static_cast<int64_t>(id);
    inside &= static_cast<uint64_t>(tokens[i]) < static_cast<uint64_t>(piece.vocab_size);
  }
  if (inside) return;
  const auto wrong = std::find_if(tokens.begin(), tokens.end(), [&](int64_t id) { return id < 0 || id >= piece.vocab_size; });
  throw FormatError({piece.name, piece.file_offset + (begin + (wrong - tokens.begin())) * static_cast<int64_t>(sizeof(T)), "token"},
                    fmt::format("an id in [0, {})", piece.vocab_size), fmt::format("{}", *wrong), "the file may come from another tokenizer");
}

void copy_from(const TokenPiece& piece, int64_t begin, std::span<int64_t> tokens) {
  switch (piece.type) {
    case TokenType::u8:
      return copy_as<uint8_t>(piece, begin, tokens);
    case TokenType::i8:
      return copy_as<int8_t>(piece, begin, tokens);
    case TokenType::i16:
      return copy_as<int16_t>(piece, begin, tokens);
    case TokenType::u16:
      return copy_as<uint16_t>(piece, begin, tokens);
    case TokenType::i32:
      return copy_as<int32_t>(piece, begin, tokens);
    case TokenType::i64:
      return copy_as<int64_t>(piece, begin, tokens);
  }
}

}  // namespace

Corpus Corpus::from_documents(std::span<const std::vector<int32_t>> documents, int64_t vocab_size, std::span<const int64_t> document_bytes) {
  auto tokens = std::make_shared<std::vector<int32_t>>();
  std::vector<int64_t> lens;
  for (const auto& document : documents) {
    tokens->insert(tokens->end(), document.begin(), document.end());
    lens.push_back(static_cast<int64_t>(document.size()));
  }
  const auto wrong = std::find_if(tokens->begin(), tokens->end(), [&](int32_t id) { return id < 0 || id >= vocab_size; });
  require(wrong == tokens->end(), [&] {
    return Complaint{.where = "corpus", .expected = fmt::format("token ids in [0, {})", vocab_size), .got = fmt::format("{}", *wrong)};
  });
  const std::span<const std::byte> bytes = std::as_bytes(std::span(*tokens));
  Corpus corpus;
  corpus.append({.name = "corpus", .type = TokenType::i32, .bytes = bytes, .vocab_size = vocab_size, .owner = std::move(tokens)}, lens,
                document_bytes);
  return corpus;
}

std::optional<int64_t> Corpus::document_bytes(int64_t document) const {
  const int64_t bytes = document_bytes_.at(static_cast<size_t>(document));
  return bytes < 0 ? std::nullopt : std::optional(bytes);
}

std::optional<int64_t> Corpus::total_bytes() const {
  if (std::any_of(document_bytes_.begin(), document_bytes_.end(), [](int64_t bytes) { return bytes < 0; })) return std::nullopt;
  return std::accumulate(document_bytes_.begin(), document_bytes_.end(), int64_t{0});
}

void Corpus::check_range(int64_t begin, size_t size) const {
  const auto count = static_cast<int64_t>(size);
  require(begin >= 0 && begin <= num_tokens() && count <= num_tokens() - begin, [&] {
    return Complaint{
        .where = "corpus", .expected = fmt::format("a range of tokens inside [0, {})", num_tokens()), .got = fmt::format("{} from {}", count, begin)};
  });
}

size_t Corpus::piece_at(int64_t token) const {
  return static_cast<size_t>(std::upper_bound(piece_begin_.begin(), piece_begin_.end(), token) - piece_begin_.begin()) - 1;
}

void Corpus::copy_tokens(int64_t begin, std::span<int64_t> tokens) const {
  check_range(begin, tokens.size());
  for (size_t piece = tokens.empty() ? 0 : piece_at(begin); !tokens.empty(); ++piece) {
    const int64_t inside = begin - piece_begin_[piece];
    const auto take = static_cast<size_t>(std::min(static_cast<int64_t>(tokens.size()), pieces_[piece].num_tokens() - inside));
    copy_from(pieces_[piece], inside, tokens.first(take));
    tokens = tokens.subspan(take);
    begin += static_cast<int64_t>(take);
  }
}

void Corpus::copy_learned(int64_t begin, std::span<uint8_t> learned) const {
  check_range(begin, learned.size());
  for (size_t piece = learned.empty() ? 0 : piece_at(begin); !learned.empty(); ++piece) {
    const auto inside = static_cast<size_t>(begin - piece_begin_[piece]);
    const size_t take = std::min(learned.size(), static_cast<size_t>(pieces_[piece].num_tokens()) - inside);
    if (pieces_[piece].learned.empty()) {
      std::fill_n(learned.begin(), take, uint8_t{1});
    } else {
      std::copy_n(pieces_[piece].learned.begin() + static_cast<std::ptrdiff_t>(inside), take, learned.begin());
    }
    learned = learned.subspan(take);
    begin += static_cast<int64_t>(take);
  }
}

void Corpus::append(TokenPiece piece, std::span<const int64_t> lens, std::span<const int64_t> document_bytes) {
  const int64_t sum = std::accumulate(lens.begin(), lens.end(), int64_t{0});
  require(sum == piece.num_tokens() && std::all_of(lens.begin(), lens.end(), [](int64_t len) { return len >= 0; }), [&] {
    return Complaint{.where = "corpus", .expected = fmt::format("documents of {} tokens in all", piece.num_tokens()), .got = fmt::format("{}", sum)};
  });
  require(piece.learned.empty() || std::cmp_equal(piece.learned.size(), piece.num_tokens()), [&] {
    return Complaint{
        .where = "corpus", .expected = fmt::format("marks of {} tokens", piece.num_tokens()), .got = fmt::format("{}", piece.learned.size())};
  });
  has_unlearned_ |= std::find(piece.learned.begin(), piece.learned.end(), uint8_t{0}) != piece.learned.end();
  require(document_bytes.empty() || document_bytes.size() == lens.size(), [&] {
    return Complaint{
        .where = "corpus", .expected = fmt::format("byte counts of {} documents", lens.size()), .got = fmt::format("{}", document_bytes.size())};
  });
  if (!piece.bytes.empty()) {
    piece_begin_.push_back(num_tokens());
    pieces_.push_back(std::move(piece));
  }
  for (const int64_t len : lens) document_begin_.push_back(document_begin_.back() + len);
  if (document_bytes.empty()) {
    document_bytes_.resize(document_bytes_.size() + lens.size(), -1);
  } else {
    document_bytes_.insert(document_bytes_.end(), document_bytes.begin(), document_bytes.end());
  }
}

}  // namespace everlong::data
