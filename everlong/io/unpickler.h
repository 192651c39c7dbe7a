#pragma once
// Python's pickle format as torch.save uses it, read without running anything: plain values and tensors, every other name refused.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/io/torch_value.h"

namespace everlong::io {

inline constexpr int64_t kMaxPickleBytes = int64_t{64} << 20;
inline constexpr int64_t kMaxPickleValueBytes = int64_t{256} << 20;  ///< memory that the values of one pickle may take, shared ones counted each time
inline constexpr int kMaxPickleDepth = 100;

/// A storage as a pickle names it; where its bytes lie is the file's affair.
struct StorageClaim {
  std::string key;
  std::optional<Dtype> dtype;  ///< absent for an untyped storage, counted in bytes
  int64_t num_elements = 0;
  std::string device;
  int64_t pickle_offset = 0;  ///< where the pickle names it, for messages

  /// Never overflows: num_elements has been checked.
  [[nodiscard]] int64_t size_bytes() const { return num_elements * (dtype ? bytes_per_element(*dtype) : 1); }
};

struct Unpickled {
  TorchValue value;
  std::vector<StorageClaim> storages;  ///< each key once, in the order in which they are named
  int64_t end = 0;                     ///< offset of the byte after the pickle
};

/// Reads the pickle (protocols 2 to 5) that begins at `offset` of `file`; `file_name` is for messages.
/// Admits None, bool, int (64 bits), float, str, bytes, bytearray, list, tuple, set, frozenset, dict, OrderedDict (without its attributes),
/// argparse.Namespace (as a dictionary), torch.Size (a tuple), torch.device and torch dtypes (text), and dense tensors and parameters.
/// Cost     at most kMaxPickleBytes are read and kMaxPickleValueBytes used, twice while the values are put together
/// Errors   FormatError naming file, offset and what is there: for every other global name, every opcode that these values do not need, a stack or
/// memo
///          that is misused, a value that contains itself, more than kMaxPickleDepth levels, a tensor that reaches outside its storage
[[nodiscard]] Unpickled unpickle(std::span<const std::byte> file, int64_t offset, std::string_view file_name);

}  // namespace everlong::io
