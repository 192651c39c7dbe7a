#pragma once
// The global names that a pickle may use, and what they stand for. Nothing is imported or called: each is one case of the reader.

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "everlong/io/dtype.h"

namespace everlong::io {

enum class NameRole {
  storage_type,      ///< torch.FloatStorage ...: the dtype of a storage
  untyped_storage,   ///< torch.storage.UntypedStorage: a storage counted in bytes
  dtype,             ///< torch.float32 ...
  rebuild_tensor,    ///< torch._utils._rebuild_tensor: storage, offset, shape, strides
  rebuild_tensor_2,  ///< ... and three more that say nothing about the data
  rebuild_tensor_3,  ///< ... and the dtype, over an untyped storage
  rebuild_parameter,
  ordered_dict,
  name_space,
  set,
  encode,  ///< _codecs.encode(text, "latin1"): bytes in protocol 2
  bytes,   ///< bytes() and bytearray(bytes)
  size,
  device,
};

struct PickleName {
  std::string_view module, name;
  NameRole role;
  std::optional<Dtype> dtype = {};
};

/// Null if the name is not admitted.
[[nodiscard]] const PickleName* find_pickle_name(std::string_view module, std::string_view name);
[[nodiscard]] std::span<const PickleName> pickle_names();

}  // namespace everlong::io
