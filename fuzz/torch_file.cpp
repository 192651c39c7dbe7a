// Any bytes are a file of torch.save whose tensors lie in storages that lie in the file, or one of our errors. The bytes are also read as a bare
// pickle, because the checksum of an archive would stop most mutations before the unpickler.

#include <cstdint>
#include <cstdlib>

#include "everlong/base/error.h"
#include "everlong/io/torch_file.h"
#include "everlong/io/unpickler.h"

namespace {

using namespace everlong::io;

/// Aborts unless every tensor below is a view of its storage; `elements_of(storage, dtype)` says how many that has.
void check(const TorchValue& value, const auto& elements_of) {
  if (const auto* tensor = value.get_if<TorchTensor>())
    if (!tensor->lies_within(elements_of(tensor->storage, tensor->dtype)) || tensor->num_elements() < 0) std::abort();
  if (const auto* sequence = value.get_if<TorchSequence>())
    for (const TorchValue& item : sequence->items) check(item, elements_of);
  if (const auto* dict = value.get_if<TorchDict>())
    for (const TorchItem& item : dict->items) {
      check(item.key, elements_of);
      check(item.value, elements_of);
    }
}

void read_file(std::span<const std::byte> bytes) {
  const TorchContents contents = parse_torch_file(bytes, "input");
  for (const TorchStorage& storage : contents.storages) {
    const auto size = static_cast<int64_t>(bytes.size());
    if (storage.offset < 0 || storage.size_bytes < 0 || storage.offset > size || storage.size_bytes > size - storage.offset) std::abort();
  }
  check(contents.value, [&](size_t storage, Dtype dtype) { return contents.storages.at(storage).size_bytes / bytes_per_element(dtype); });
}

void read_pickle(std::span<const std::byte> bytes) {
  const Unpickled pickle = unpickle(bytes, 0, "input");
  if (pickle.end < 0 || pickle.end > static_cast<int64_t>(bytes.size())) std::abort();
  check(pickle.value, [&](size_t storage, Dtype dtype) { return pickle.storages.at(storage).size_bytes() / bytes_per_element(dtype); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const auto& read : {read_file, read_pickle}) {
    try {
      read(bytes);
    } catch (const everlong::FormatError&) {
    } catch (const everlong::Unsupported&) {
    }
  }
  return 0;
}
