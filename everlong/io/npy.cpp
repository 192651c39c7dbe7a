#include "everlong/io/npy.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/error.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/mapped_file.h"

namespace everlong::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kPrefixBytes = 10;  ///< magic, version, length of the header
constexpr size_t kMaxRank = 64;
constexpr std::array<std::pair<Dtype, std::string_view>, 3> kDescrs{{{Dtype::F32, "<f4"}, {Dtype::F64, "<f8"}, {Dtype::I64, "<i8"}}};

/// Reads the Python dictionary of the header: exactly the keys descr, fortran_order and shape, in any order.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  NpyArray read() {
    expect('{');
    while (!take('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr")
        once(has_descr_), read_descr();
      else if (key == "fortran_order")
        once(has_order_), read_order();
      else if (key == "shape")
        once(has_shape_), read_shape();
      else
        refuse("descr, fortran_order or shape", key);
      if (take(',')) continue;
      expect('}');
      break;
    }
    skip_spaces();
    if (at_ != text_.size()) refuse("the end of the header", rest());
    if (!has_descr_ || !has_order_ || !has_shape_) refuse("descr, fortran_order and shape", "less");
    return std::move(array_);
  }

 private:
  [[noreturn]] void refuse(std::string_view expected, std::string_view got) const {
    throw FormatError({file_, static_cast<int64_t>(kPrefixBytes + at_), "header"}, expected, excerpt(got, 20));
  }
  std::string_view rest() const { return text_.substr(at_); }
  void skip_spaces() { at_ = std::min(text_.find_first_not_of(" \n", at_), text_.size()); }

  bool take(std::string_view word) {
    skip_spaces();
    const bool is_here = rest().starts_with(word);
    if (is_here) at_ += word.size();
    return is_here;
  }
  bool take(char letter) { return take(std::string_view(&letter, 1)); }

  void expect(char letter) {
    if (!take(letter)) refuse(std::string{'\'', letter, '\''}, rest());
  }

  void once(bool& seen) {
    if (std::exchange(seen, true)) refuse("each key once", "a duplicate");
  }

  std::string_view quoted() {
    expect('\'');
    const size_t end = text_.find('\'', at_);
    if (end == std::string_view::npos) refuse("text in quotes", rest());
    const auto inside = text_.substr(at_, end - at_);
    at_ = end + 1;
    return inside;
  }

  void read_descr() {
    const std::string_view descr = quoted();
    for (const auto& [dtype, name] : kDescrs) {
      if (name != descr) continue;
      array_.dtype = dtype;
      return;
    }
    throw Unsupported({.where = file_, .expected = "numbers of type <f4, <f8 or <i8", .got = excerpt(descr), .hint = "convert with array.astype"});
  }

  void read_order() {
    if (take("False")) return;
    if (!take("True")) refuse("True or False", rest());
    throw Unsupported({.where = file_, .expected = "C order", .got = "Fortran order", .hint = "convert with numpy.ascontiguousarray"});
  }

  void read_shape() {
    expect('(');
    while (!take(')')) {
      skip_spaces();
      int64_t size = 0;
      const auto [end, error] = std::from_chars(rest().data(), rest().data() + rest().size(), size);
      if (error != std::errc{} || size < 0 || array_.shape.size() == kMaxRank) refuse("at most 64 integers >= 0", rest());
      at_ = static_cast<size_t>(end - text_.data());
      array_.shape.push_back(size);
      if (take(',')) continue;
      if (array_.shape.size() == 1) refuse("','", rest());
      expect(')');
      break;
    }
  }

  std::string_view text_;
  std::string file_;
  size_t at_ = 0;
  bool has_descr_ = false, has_order_ = false, has_shape_ = false;
  NpyArray array_;
};

}  // namespace

NpyArray parse_npy(std::span<const std::byte> file, std::string_view file_name) {
  const std::string name(file_name);
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  if (!text.starts_with(kMagic)) throw FormatError({name, 0, "magic"}, "\\x93NUMPY", excerpt(text.substr(0, kMagic.size())));
  if (text.size() < kPrefixBytes) throw FormatError({name, static_cast<int64_t>(kMagic.size()), "version"}, "4 bytes", "the end of the file");
  const auto byte = [&](size_t i) { return std::to_integer<size_t>(file[i]); };
  if (byte(6) != 1 || byte(7) != 0) throw Unsupported({.where = name, .expected = "version 1.0", .got = fmt::format("{}.{}", byte(6), byte(7))});
  const size_t header_bytes = byte(8) | byte(9) << 8, data_offset = kPrefixBytes + header_bytes;
  if (data_offset > file.size()) {
    throw FormatError({name, 8, "header length"}, fmt::format("at most the {} bytes that follow", file.size() - kPrefixBytes),
                      fmt::format("{}", header_bytes));
  }
  NpyArray array = HeaderReader(text.substr(kPrefixBytes, header_bytes), name).read();
  const auto expected = tensor_bytes(array.dtype, array.shape);
  const std::string what = fmt::format("{} [{}]", to_string(array.dtype), fmt::join(array.shape, ", "));
  if (!expected) throw FormatError({name, kPrefixBytes, "shape"}, "a size in bytes below 2^63", what);
  const auto data = file.subspan(data_offset);
  if (std::cmp_not_equal(data.size(), *expected)) {
    throw FormatError({name, static_cast<int64_t>(data_offset), "data"}, fmt::format("{} bytes for {}", *expected, what),
                      fmt::format("{}", data.size()));
  }
  array.bytes.assign(data.begin(), data.end());
  return array;
}

NpyArray read_npy(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_npy(file.bytes(), path.string());
}

void write_npy(const std::filesystem::path& path, Dtype dtype, std::span<const int64_t> shape, std::span<const std::byte> bytes) {
  std::string_view descr;
  for (const auto& [known, name] : kDescrs)
    if (known == dtype) descr = name;
  require(!descr.empty(), [&] { return Complaint{.where = path.native(), .expected = "F32, F64 or I64", .got = std::string(to_string(dtype))}; });
  const auto expected = tensor_bytes(dtype, shape);
  require(expected && std::cmp_equal(*expected, bytes.size()) && shape.size() <= kMaxRank, [&] {
    return Complaint{
        .where = path.native(), .expected = fmt::format("the bytes of [{}]", fmt::join(shape, ", ")), .got = fmt::format("{}", bytes.size())};
  });
  const std::string sizes = fmt::format("({}{})", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr, sizes);
  // The data starts at a multiple of 64; the header ends in a line feed.
  header.resize((kPrefixBytes + header.size() + 1 + 63) / 64 * 64 - kPrefixBytes - 1, ' ');
  header += '\n';
  AtomicFile file(path);
  file.write(kMagic);
  file.write(std::string{'\1', '\0', static_cast<char>(header.size() & 0xFF), static_cast<char>(header.size() >> 8)});
  file.write(header);
  file.write(bytes);
  file.commit();
}

}  // namespace everlong::io
