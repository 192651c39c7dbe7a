#include "everlong/io/torch_value.h"

#include <algorithm>

#include "everlong/base/checked_math.h"

namespace everlong::io {

int64_t TorchTensor::num_elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size == 0) return 0;
    count *= size;
  }
  return count;
}

bool TorchTensor::is_contiguous() const {
  if (num_elements() == 0) return true;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

bool TorchTensor::lies_within(int64_t storage_elements) const {
  if (shape.size() != strides.size() || offset < 0 || offset > storage_elements) return false;
  int64_t elements = 1, last = offset;
  bool is_empty = false;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0 || strides[i] < 0) return false;
    is_empty = is_empty || shape[i] == 0;
    const int64_t size = std::max<int64_t>(shape[i], 1);
    const auto product = checked_mul(elements, size), reach = checked_mul(size - 1, strides[i]);
    const auto sum = reach ? checked_add(last, *reach) : reach;
    if (!product || !sum) return false;
    elements = *product;
    last = *sum;
  }
  return is_empty || (elements <= storage_elements && last < storage_elements);
}

std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * std::max<int64_t>(shape[i], 1);
  return strides;
}

const TorchValue* TorchValue::find(std::string_view key) const {
  const auto* dict = get_if<TorchDict>();
  if (dict == nullptr) return nullptr;
  for (const TorchItem& item : dict->items) {
    const auto* text = item.key.get_if<std::string>();
    if (text != nullptr && *text == key) return &item.value;
  }
  return nullptr;
}

}  // namespace everlong::io
