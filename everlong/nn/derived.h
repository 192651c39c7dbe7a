#pragma once

#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "everlong/tensor/activation_checkpointing.h"

namespace everlong::nn {

/// A value that follows from parameters alone, kept between calls of inference: decoding asks for it at every token.
/// With gradients it is made anew, so that they reach the parameters; without, it is made again once a parameter has been written to or replaced.
/// Threads  may be used by several at once
template <class T>
class Derived {
 public:
  /// `key` tells apart values of the same parameters (a length).
  template <class F>
  T get(std::initializer_list<at::Tensor> parameters, int64_t key, const F& make) {
    if (!is_inference()) return make();
    std::vector<Mark> marks;
    for (const at::Tensor& parameter : parameters)
      if (parameter.defined()) marks.push_back({parameter.const_data_ptr(), parameter._version()});
    const std::lock_guard lock(mutex_);
    if (!value_ || key != key_ || marks != marks_) {
      value_ = make();
      marks_ = std::move(marks);
      key_ = key;
    }
    return *value_;
  }

 private:
  using Mark = std::pair<const void*, uint32_t>;

  std::mutex mutex_;
  std::optional<T> value_;
  std::vector<Mark> marks_;
  int64_t key_ = 0;
};

}  // namespace everlong::nn
