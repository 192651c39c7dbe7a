#pragma once
// What a PyTorch file holds: plain values, with tensors as their leaves.

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "everlong/io/dtype.h"

namespace everlong::io {

/// A view of a storage: element (i, j, ...) is element `offset` + i * strides[0] + j * strides[1] + ... of it.
/// Read from a file, every element lies in the storage, strides are >= 0, and there are no more elements than the storage has.
struct TorchTensor {
  Dtype dtype = Dtype::F32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  ///< in elements
  int64_t offset = 0;            ///< in elements
  size_t storage = 0;            ///< place in the file's list of storages; tied tensors share one

  [[nodiscard]] int64_t num_elements() const;
  /// True if the elements follow one another in row-major order.
  [[nodiscard]] bool is_contiguous() const;
  /// True if sizes, strides and offset are >= 0, every element lies in a storage of that many, and there are no more of them than it has.
  [[nodiscard]] bool lies_within(int64_t storage_elements) const;
};

/// Strides of a tensor of this shape whose elements follow one another.
[[nodiscard]] std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape);

struct TorchValue;
struct TorchItem;

struct TorchBytes {
  std::string data;
};

struct TorchSequence {
  enum class Kind { list, tuple, set };
  Kind kind = Kind::list;
  std::vector<TorchValue> items;
};

/// A dictionary in the order of the file; also an OrderedDict or an argparse.Namespace. Keys are never lists, sets, dictionaries or tensors.
struct TorchDict {
  std::vector<TorchItem> items;
};

/// One value of Python: None, bool, int, float, str, bytes, a sequence, a dictionary or a tensor.
struct TorchValue {
  std::variant<std::monostate, bool, int64_t, double, std::string, TorchBytes, TorchSequence, TorchDict, TorchTensor> value;

  /// Null unless the value is of that type.
  template <class T>
  [[nodiscard]] const T* get_if() const {
    return std::get_if<T>(&value);
  }

  /// The value under a text key; null if this is no dictionary or has no such key.
  [[nodiscard]] const TorchValue* find(std::string_view key) const;
};

struct TorchItem {
  TorchValue key, value;
};

}  // namespace everlong::io
