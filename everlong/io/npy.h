#pragma once
// One array in a .npy file (format version 1.0), for exchange with NumPy.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "everlong/io/dtype.h"

namespace everlong::io {

/// An array in C order.
struct NpyArray {
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// Reads an array from a whole .npy file in memory; `file_name` is for messages.
/// Dtypes   <f4, <f8, <i8
/// Errors   FormatError naming file and offset if anything contradicts the format; Unsupported for other versions, dtypes and Fortran order
[[nodiscard]] NpyArray parse_npy(std::span<const std::byte> file, std::string_view file_name);

/// Errors   as parse_npy; IoError if the file cannot be read
[[nodiscard]] NpyArray read_npy(const std::filesystem::path& path);

/// Writes an array in C order, atomically.
/// Dtypes   F32, F64, I64
/// Errors   InvalidArgument for other dtypes and if `bytes` has not the size of dtype and shape; IoError
void write_npy(const std::filesystem::path& path, Dtype dtype, std::span<const int64_t> shape, std::span<const std::byte> bytes);

}  // namespace everlong::io
