#include "everlong/checkpoint/torch_tensors.h"

#include <cstring>
#include <map>
#include <utility>

#include "everlong/base/error.h"
#include "everlong/checkpoint/dtypes.h"
#include "everlong/io/excerpt.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

bool holds_tensors(const io::TorchValue* value) {
  const auto* dict = value == nullptr ? nullptr : value->get_if<io::TorchDict>();
  if (dict == nullptr) return false;
  for (const io::TorchItem& item : dict->items)
    if (item.key.get_if<std::string>() != nullptr && item.value.get_if<io::TorchTensor>() != nullptr) return true;
  return false;
}

/// Copies storages out of the file, each once.
class Storages {
 public:
  explicit Storages(const io::TorchFile& file) : file_(file) {}

  at::Tensor view(const io::TorchTensor& tensor, const std::string& name) {
    const at::ScalarType dtype = torch_dtype(tensor.dtype, io::excerpt(name), file_.path().string());
    at::Tensor& numbers = numbers_[{tensor.storage, tensor.dtype}];
    if (!numbers.defined()) {
      const auto bytes = file_.checked_bytes(file_.storages()[tensor.storage]);
      numbers = at::empty({static_cast<int64_t>(bytes.size()) / io::bytes_per_element(tensor.dtype)}, dtype);
      if (numbers.nbytes() > 0) std::memcpy(numbers.mutable_data_ptr(), bytes.data(), numbers.nbytes());
    }
    return numbers.as_strided(tensor.shape, tensor.strides, tensor.offset);
  }

 private:
  const io::TorchFile& file_;
  std::map<std::pair<size_t, io::Dtype>, at::Tensor> numbers_;
};

/// The storages of a file to write; equal memory becomes one.
struct Pool {
  std::vector<at::Tensor> alive;  ///< what the spans point into
  std::vector<io::TorchStorageToWrite> storages;
  std::map<std::tuple<const void*, size_t, io::Dtype>, size_t> places;

  size_t place_of(const at::Tensor& tensor, io::Dtype dtype) {
    alive.push_back(tensor.detach().to(at::kCPU).contiguous());
    const at::Tensor& held = alive.back();
    const auto [found, is_new] = places.try_emplace({held.const_data_ptr(), held.nbytes(), dtype}, storages.size());
    if (is_new) storages.push_back({.dtype = dtype, .bytes = {static_cast<const std::byte*>(held.const_data_ptr()), held.nbytes()}});
    return found->second;
  }
};

}  // namespace

StateDict find_state_dict(const io::TorchFile& file) {
  for (const char* key : {"model", "state_dict"}) {
    const io::TorchValue* value = file.value().find(key);
    if (holds_tensors(value)) return {.tensors = value->get_if<io::TorchDict>(), .key = key};
  }
  if (holds_tensors(&file.value())) return {.tensors = file.value().get_if<io::TorchDict>(), .key = ""};
  throw FormatError({.file = file.path().string()}, "tensors under their names: at the top, under model or under state_dict", "none");
}

TensorFile read_state_dict(const io::TorchFile& file) {
  TensorFile loaded;
  loaded.path = file.path();
  Storages storages(file);
  for (const io::TorchItem& item : find_state_dict(file).tensors->items) {
    const auto* name = item.key.get_if<std::string>();
    if (name == nullptr) continue;
    if (const auto* tensor = item.value.get_if<io::TorchTensor>())
      loaded.tensors.emplace(*name, storages.view(*tensor, *name));
    else
      loaded.skipped.push_back(*name);
  }
  return loaded;
}

void save_torch_tensors(const std::filesystem::path& path, const TensorMap& tensors, const TorchFileOptions& options) {
  Pool pool;
  io::TorchDict state;
  for (const auto& [name, tensor] : tensors) {
    io::TorchTensor entry{.dtype = file_dtype(tensor.scalar_type(), name), .shape = tensor.sizes().vec()};
    entry.strides = io::contiguous_strides(entry.shape);
    entry.storage = pool.place_of(tensor, entry.dtype);
    state.items.push_back({.key = {name}, .value = {std::move(entry)}});
  }
  io::TorchDict top = options.beside;
  for (const io::TorchItem& item : top.items) {
    const auto* key = item.key.get_if<std::string>();
    require(key == nullptr || (*key != options.key && (!options.key.empty() || !tensors.contains(*key))),
            [&] { return Complaint{.where = path.native(), .expected = "each key once", .got = io::excerpt(*key) + " twice"}; });
  }
  if (options.key.empty())
    for (io::TorchItem& item : state.items) top.items.push_back(std::move(item));
  else
    top.items.push_back({.key = {options.key}, .value = {std::move(state)}});
  io::write_torch_file(path, {std::move(top)}, pool.storages);
}

}  // namespace everlong::checkpoint
