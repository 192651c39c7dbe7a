#pragma once
// What `everlong inspect` finds in a file of torch.save.

#include <filesystem>

#include "apps/everlong/inspection.h"

namespace everlong::app {

/// True if the file begins as those of torch.save do.
[[nodiscard]] bool is_torch_file(const std::filesystem::path& path);

/// Adds counts, the list of tensors and the plain values beside them, under names joined by dots. Data of tensors are not read.
/// Errors   IoError; FormatError and Unsupported as io::TorchFile
void describe_torch(const std::filesystem::path& path, Json& finding);

}  // namespace everlong::app
