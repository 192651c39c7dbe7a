#include "everlong/data/megatron_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"

namespace everlong::data {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};
constexpr uint64_t kVersion = 1;
constexpr int64_t kVersionOffset = 9, kTypeOffset = 17, kSequencesOffset = 18, kDocumentsOffset = 26, kHeaderBytes = 34;
constexpr int64_t kMaxSequenceLen = int64_t{1} << 30;

/// The types by code, from 1.
constexpr std::array<std::string_view, 8> kTypeNames = {"uint8", "int8", "int16", "int32", "int64", "float64", "float32", "uint16"};

template <class T>
T read(std::span<const std::byte> bytes, int64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <class T>
void write(std::vector<std::byte>& bytes, T value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}

class IndexReader {
 public:
  IndexReader(std::span<const std::byte> bytes, std::string_view file_name) : bytes_(bytes), file_(file_name) {}

  MegatronIndex read_index() {
    read_type();
    read_counts();
    check_sequences();
    read_documents();
    return std::move(index_);
  }

 private:
  [[noreturn]] void refuse(int64_t offset, std::string field, std::string_view expected, std::string_view got, std::string_view hint = {}) const {
    throw FormatError({file_, offset, std::move(field)}, expected, got, hint);
  }

  void read_type() {
    const auto size = static_cast<int64_t>(bytes_.size());
    const std::string_view magic(reinterpret_cast<const char*>(bytes_.data()), std::min(bytes_.size(), kMagic.size()));
    if (magic != kMagic.substr(0, magic.size())) refuse(0, "magic", "MMIDIDX", io::excerpt(magic), "PREFIX.idx is the index, PREFIX.bin the tokens");
    if (size < kHeaderBytes) refuse(size, "header", fmt::format("{} bytes", kHeaderBytes), fmt::format("{}", size));
    const auto version = read<uint64_t>(bytes_, kVersionOffset);
    if (version != kVersion) refuse(kVersionOffset, "version", fmt::format("{}", kVersion), fmt::format("{}", version));
    const auto code = read<uint8_t>(bytes_, kTypeOffset);
    if (code < 1 || code > kTypeNames.size()) refuse(kTypeOffset, "dtype", "a code in [1, 8]", fmt::format("{}", code));
    const std::string_view name = kTypeNames[code - 1u];
    if (name.starts_with("float")) {
      throw Unsupported(
          {.where = file_, .expected = "tokens of an integer type", .got = std::string(name), .hint = "this dataset holds no token ids"});
    }
    index_.type = static_cast<TokenType>(code);
  }

  void read_counts() {
    const auto rest = static_cast<uint64_t>(bytes_.size()) - kHeaderBytes;
    const auto sequences = read<uint64_t>(bytes_, kSequencesOffset), documents = read<uint64_t>(bytes_, kDocumentsOffset);
    if (sequences > rest / kSequenceBytes) {
      refuse(kSequencesOffset, "sequence count", fmt::format("at most {} in {} bytes", rest / kSequenceBytes, bytes_.size()),
             fmt::format("{}", sequences));
    }
    const uint64_t room = rest - sequences * kSequenceBytes;
    if (documents < 1 || documents > room / sizeof(int64_t)) {
      refuse(kDocumentsOffset, "document count", fmt::format("from 1 to {} in {} bytes", room / sizeof(int64_t), bytes_.size()),
             fmt::format("{}", documents));
    }
    const uint64_t left = room - documents * sizeof(int64_t);
    if (left != 0 && left == sequences) {
      throw Unsupported({.where = file_, .expected = "sequences of text", .got = "a multimodal index", .hint = "pack the text alone"});
    }
    const auto end = static_cast<int64_t>(bytes_.size() - left);
    if (left != 0) refuse(end, "size", fmt::format("{} bytes", end), fmt::format("{}", bytes_.size()));
    num_sequences_ = static_cast<int64_t>(sequences);
    num_boundaries_ = static_cast<int64_t>(documents);
  }

  void check_sequences() const {
    int64_t end = 0;  // in bytes
    for (int64_t i = 0; i < num_sequences_; ++i) {
      const int64_t len_offset = kHeaderBytes + i * static_cast<int64_t>(sizeof(int32_t));
      const int64_t pointer_offset = pointers_offset() + i * static_cast<int64_t>(sizeof(int64_t));
      const auto len = read<int32_t>(bytes_, len_offset);
      if (len < 0) refuse(len_offset, fmt::format("length of sequence {}", i), "at least 0", fmt::format("{}", len));
      const auto pointer = read<int64_t>(bytes_, pointer_offset);
      if (pointer != end) refuse(pointer_offset, fmt::format("pointer of sequence {}", i), fmt::format("{}", end), fmt::format("{}", pointer));
      const auto next = checked_add(end, len * bytes_per_token(index_.type));
      if (!next) refuse(len_offset, fmt::format("length of sequence {}", i), "fewer than 2^63 bytes in all", fmt::format("{}", len));
      end = *next;
    }
  }

  void read_documents() {
    const int64_t offset = pointers_offset() + num_sequences_ * static_cast<int64_t>(sizeof(int64_t));
    index_.document_lens.reserve(static_cast<size_t>(num_boundaries_ - 1));
    int64_t sequence = 0;
    for (int64_t i = 0; i < num_boundaries_; ++i) {
      const int64_t at = offset + i * static_cast<int64_t>(sizeof(int64_t));
      const auto boundary = read<int64_t>(bytes_, at);
      const bool is_first = i == 0, is_last = i + 1 == num_boundaries_;
      const int64_t least = is_last ? num_sequences_ : sequence, most = is_first ? 0 : num_sequences_;
      if (boundary < least || boundary > most) {
        refuse(at, fmt::format("document boundary {}", i), least >= most ? fmt::format("{}", least) : fmt::format("from {} to {}", least, most),
               fmt::format("{}", boundary));
      }
      if (is_first) continue;
      int64_t len = 0;
      for (; sequence < boundary; ++sequence) len += read<int32_t>(bytes_, kHeaderBytes + sequence * static_cast<int64_t>(sizeof(int32_t)));
      index_.document_lens.push_back(len);
    }
  }

  [[nodiscard]] int64_t pointers_offset() const { return kHeaderBytes + num_sequences_ * static_cast<int64_t>(sizeof(int32_t)); }

  static constexpr uint64_t kSequenceBytes = sizeof(int32_t) + sizeof(int64_t);

  std::span<const std::byte> bytes_;
  std::string file_;
  int64_t num_sequences_ = 0;
  int64_t num_boundaries_ = 0;  ///< one more than documents
  MegatronIndex index_;
};

}  // namespace

int64_t MegatronIndex::num_tokens() const { return std::accumulate(document_lens.begin(), document_lens.end(), int64_t{0}); }

MegatronIndex parse_megatron_index(std::span<const std::byte> bytes, std::string_view file_name) {
  return IndexReader(bytes, file_name).read_index();
}

std::vector<std::byte> write_megatron_index(const MegatronIndex& index) {
  std::vector<int32_t> lens;
  std::vector<int64_t> boundaries = {0};
  for (int64_t left : index.document_lens) {
    require(left >= 0, [&] { return Complaint{.where = "megatron", .expected = "document lengths >= 0", .got = fmt::format("{}", left)}; });
    for (; left > kMaxSequenceLen; left -= kMaxSequenceLen) lens.push_back(static_cast<int32_t>(kMaxSequenceLen));
    lens.push_back(static_cast<int32_t>(left));
    boundaries.push_back(static_cast<int64_t>(lens.size()));
  }
  const std::span<const std::byte> magic = std::as_bytes(std::span(kMagic));
  std::vector<std::byte> bytes(magic.begin(), magic.end());
  bytes.reserve(kHeaderBytes + lens.size() * (sizeof(int32_t) + sizeof(int64_t)) + boundaries.size() * sizeof(int64_t));
  write<uint64_t>(bytes, kVersion);
  write<uint8_t>(bytes, static_cast<uint8_t>(index.type));
  write<uint64_t>(bytes, lens.size());
  write<uint64_t>(bytes, boundaries.size());
  for (const int32_t len : lens) write<int32_t>(bytes, len);
  int64_t pointer = 0;
  for (const int32_t len : lens) {
    write<int64_t>(bytes, pointer);
    pointer += len * bytes_per_token(index.type);
  }
  for (const int64_t boundary : boundaries) write<int64_t>(bytes, boundary);
  return bytes;
}

}  // namespace everlong::data
