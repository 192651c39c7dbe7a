#pragma once
// Number types on disk and in torch.

#include <string>

#include <c10/core/ScalarType.h>

#include "everlong/io/dtype.h"

namespace everlong::checkpoint {

/// The torch dtype of a tensor `name` of `file`.
/// Errors   Unsupported for dtypes that are not computed with (F8)
[[nodiscard]] at::ScalarType torch_dtype(io::Dtype dtype, const std::string& name, const std::string& file);

/// The dtype on disk for a tensor `name`. Errors  InvalidArgument if files have no name for it
[[nodiscard]] io::Dtype file_dtype(at::ScalarType dtype, const std::string& name);

}  // namespace everlong::checkpoint
