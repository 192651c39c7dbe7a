#include "everlong/io/npy.h"

#include <gtest/gtest.h>

#include "tests/io/support.h"
#include "tests/support/files.h"

namespace everlong::io {
namespace {

std::string npy(std::string_view header, std::string_view data) {
  std::string file("\x93NUMPY\x01\x00", 8);
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  return file.append(header).append(data);
}

std::string npy_of(std::string_view descr, std::string_view order, std::string_view shape, size_t data_bytes = 8) {
  return npy("{'descr': " + std::string(descr) + ", 'fortran_order': " + std::string(order) + ", 'shape': " + std::string(shape) + ", }\n",
             std::string(data_bytes, 'd'));
}

template <class E = FormatError>
std::string refusal(const std::string& file) {
  return message_of<E>([&] { (void)parse_npy(as_bytes(file), "f"); });
}

TEST(Npy, WhatIsWrittenIsReadBackAndItsDataIsAligned) {
  const testing::TemporaryFolder folder;
  const std::vector<double> values{1, -2.5, 3, 4, 5, 6};
  const std::vector<std::pair<Dtype, std::vector<int64_t>>> cases{{Dtype::F64, {2, 3}},    {Dtype::F64, {6}}, {Dtype::F32, {3, 4}},
                                                                  {Dtype::I64, {1, 2, 3}}, {Dtype::I64, {}},  {Dtype::F32, {0, 5}}};
  for (const auto& [dtype, shape] : cases) {
    const auto bytes = std::as_bytes(std::span(values)).first(static_cast<size_t>(*tensor_bytes(dtype, shape)));
    write_npy(folder / "a.npy", dtype, shape, bytes);
    const auto array = read_npy(folder / "a.npy");
    EXPECT_EQ(array.dtype, dtype);
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(as_text(array.bytes), as_text(bytes));
    EXPECT_EQ((testing::read_text(folder / "a.npy").size() - bytes.size()) % 64, 0U);
  }
}

TEST(Npy, TheHeaderMayBeWrittenInOtherWays) {
  const auto array = parse_npy(as_bytes(npy("{'shape':(1,2),'fortran_order':False,'descr':'<f4'}", "12345678")), "f");
  EXPECT_EQ(array.shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(array.dtype, Dtype::F32);
}

TEST(Npy, EveryLieIsRefusedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> lies{
      {"", "[f at 0, magic] expected \\x93NUMPY."},
      {"\x93NUMPX\x01", "[f at 0, magic] expected \\x93NUMPY, got \\x93NUMPX."},
      {std::string("\x93NUMPY\x01\x00", 8), "[f at 6, version] expected 4 bytes, got the end of the file."},
      {std::string("\x93NUMPY\x01\x00\xff\xff{}", 12), "[f at 8, header length] expected at most the 2 bytes that follow, got 65535."},
      {npy("", ""), "[f at 10, header] expected '{'."},
      {npy("{}", ""), "[f at 12, header] expected descr, fortran_order and shape, got less."},
      {npy("{'descr': '<f4', 'descr': '<f4'}", ""), "[f at 35, header] expected each key once, got a duplicate."},
      {npy("{'strides': 1}", ""), "[f at 21, header] expected descr, fortran_order or shape, got strides."},
      {npy("{'descr: 1}", ""), "[f at 12, header] expected text in quotes, got descr: 1}."},
      {npy_of("'<f4'", "No", "(2,)"), "[f at 44, header] expected True or False, got No, 'shape': (2,), }...."},
      {npy_of("'<f4'", "False", "(-2,)"), "[f at 61, header] expected at most 64 integers >= 0, got -2,), }\\x0A."},
      {npy_of("'<f4'", "False", "(99999999999999999999,)"), "[f at 61, header] expected at most 64 integers >= 0, got 99999999999999999999...."},
      {npy_of("'<f4'", "False", "(2)"), "[f at 62, header] expected ',', got ), }\\x0A."},
      {npy_of("'<f4'", "False", "2"), "[f at 60, header] expected '(', got 2, }\\x0A."},
      {npy_of("'<f4'", "False", "(2,)}"), "[f at 65, header] expected the end of the header, got , }\\x0A."},
      {npy_of("'<f4'", "False", "(4294967296, 4294967296)"),
       "[f at 10, shape] expected a size in bytes below 2^63, got F32 [4294967296, 4294967296]."},
      {npy_of("'<f4'", "False", "(3,)"), "[f at 68, data] expected 12 bytes for F32 [3], got 8."},
      {npy_of("'<f4'", "False", "(2,)", 9), "[f at 68, data] expected 8 bytes for F32 [2], got 9."},
  };
  for (const auto& [file, message] : lies) EXPECT_EQ(refusal(file), message) << file;
}

TEST(Npy, WhatIsNotOfferedSaysWhatToDoInstead) {
  EXPECT_EQ(refusal<Unsupported>(npy_of("'<f2'", "False", "(2,)")),
            "[f] expected numbers of type <f4, <f8 or <i8, got <f2. Hint: convert with array.astype.");
  EXPECT_EQ(refusal<Unsupported>(npy_of("'<f4'", "True", "(2,)")),
            "[f] expected C order, got Fortran order. Hint: convert with numpy.ascontiguousarray.");
  EXPECT_EQ(refusal<Unsupported>(std::string("\x93NUMPY\x02\x00\x00\x00\x00\x00", 12)), "[f] expected version 1.0, got 2.0.");
}

TEST(Npy, EveryTruncationIsRefused) {
  const std::string whole = npy_of("'<f8'", "False", "(2, 1)", 16);
  EXPECT_EQ(refusal(whole), "nothing was thrown");
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_TRUE(refusal(std::string(cut.begin(), cut.end())).starts_with("[f at ")) << size;
  }
}

TEST(Npy, AWriterRefusesWhatItCannotWrite) {
  const testing::TemporaryFolder folder;
  const std::vector<int64_t> shape{2};
  const auto writes = [&](Dtype dtype) {
    return message_of<InvalidArgument>([&] { write_npy(folder / "a", dtype, shape, as_bytes("123")); }, folder.path());
  };
  EXPECT_EQ(writes(Dtype::BF16), "[/a] expected F32, F64 or I64, got BF16.");
  EXPECT_EQ(writes(Dtype::F32), "[/a] expected the bytes of [2], got 3.");
}

}  // namespace
}  // namespace everlong::io
