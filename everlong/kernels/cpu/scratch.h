#pragma once
// Scratch memory that a caller hands in, cut into arrays.

#include <cstdint>

namespace everlong::kernels {

/// Scratch arrays, one after the other, each aligned to 64 bytes. Without memory it only counts.
class Scratch {
 public:
  explicit Scratch(void* memory) : memory_(static_cast<char*>(memory)) {}
  template <class T>
  T* take(int64_t count) {
    constexpr int64_t kLine = 64;
    T* taken = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
    used_ += (count * static_cast<int64_t>(sizeof(T)) + kLine - 1) / kLine * kLine;
    return taken;
  }
  [[nodiscard]] int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

/// Bytes that the arrays of a call take: those that Arrays<T>(shape, scratch) cuts, for fp32 or for bfloat16 by the size of an element.
template <template <class> class Arrays, class Shape>
int64_t scratch_bytes(const Shape& shape, int64_t element_bytes) {
  Scratch scratch(nullptr);
  if (element_bytes == static_cast<int64_t>(sizeof(float))) {
    static_cast<void>(Arrays<float>(shape, scratch));
  } else {
    static_cast<void>(Arrays<uint16_t>(shape, scratch));
  }
  return scratch.used();
}

}  // namespace everlong::kernels
