#pragma once
// The form of torch.save before PyTorch 1.6: pickles one after another, then the data of the storages.
// Layout: pickles of the magic number, the version 1001, the machine, the value, and the list of storage keys; then for each key an int64 number of
// elements and the elements.

#include <cstddef>
#include <span>
#include <string_view>

#include "everlong/io/torch_file.h"

namespace everlong::io {

[[nodiscard]] bool looks_like_legacy_torch_file(std::span<const std::byte> file);

/// Errors   FormatError naming file, offset and storage if anything contradicts the layout; Unsupported for big-endian files
[[nodiscard]] TorchContents parse_legacy_torch_file(std::span<const std::byte> file, std::string_view file_name);

}  // namespace everlong::io
