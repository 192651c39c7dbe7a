#include "everlong/checkpoint/tensor_file.h"

#include <array>
#include <cstring>
#include <utility>

#include "everlong/base/error.h"
#include "everlong/io/safetensors.h"
#include "everlong/io/safetensors_set.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

constexpr std::array<std::pair<io::Dtype, at::ScalarType>, 13> kDtypes{{{io::Dtype::F64, at::kDouble},
                                                                        {io::Dtype::F32, at::kFloat},
                                                                        {io::Dtype::F16, at::kHalf},
                                                                        {io::Dtype::BF16, at::kBFloat16},
                                                                        {io::Dtype::I64, at::kLong},
                                                                        {io::Dtype::I32, at::kInt},
                                                                        {io::Dtype::I16, at::kShort},
                                                                        {io::Dtype::I8, at::kChar},
                                                                        {io::Dtype::U8, at::kByte},
                                                                        {io::Dtype::U16, at::kUInt16},
                                                                        {io::Dtype::U32, at::kUInt32},
                                                                        {io::Dtype::U64, at::kUInt64},
                                                                        {io::Dtype::BOOL, at::kBool}}};

at::ScalarType torch_dtype(const io::TensorEntry& entry, const std::filesystem::path& path) {
  for (const auto& pair : kDtypes)
    if (pair.first == entry.dtype) return pair.second;
  throw Unsupported({.where = path.string(),
                     .expected = "tensors of F64, F32, F16, BF16, integers or BOOL",
                     .got = entry.name + " of dtype " + std::string(io::to_string(entry.dtype)),
                     .hint = "convert it to BF16 with the tool that wrote it"});
}

io::Dtype file_dtype(const std::string& name, at::ScalarType dtype) {
  for (const auto& pair : kDtypes)
    if (pair.second == dtype) return pair.first;
  throw InvalidArgument({.where = name, .expected = "a dtype that safetensors can name", .got = c10::toString(dtype)});
}

at::Tensor copy_out(const io::SafetensorsFile& file, const io::TensorEntry& entry) {
  at::Tensor tensor = at::empty(entry.shape, torch_dtype(entry, file.path()));
  const auto bytes = file.bytes(entry);
  if (!bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

}  // namespace

TensorFile load_tensors(const std::filesystem::path& path) {
  const auto file = io::SafetensorsFile::open(path);
  TensorFile loaded{.tensors = {}, .metadata = file.metadata()};
  for (const io::TensorEntry& entry : file.tensors()) loaded.tensors.emplace(entry.name, copy_out(file, entry));
  return loaded;
}

TensorFile load_weights(const std::filesystem::path& folder) {
  const auto set = io::SafetensorsSet::open(folder);
  TensorFile loaded;
  for (const auto& [name, place] : set.tensors()) loaded.tensors.emplace(name, copy_out(*place.file, *place.tensor));
  return loaded;
}

void save_tensors(const std::filesystem::path& path, const TensorMap& tensors, const Metadata& metadata) {
  std::vector<at::Tensor> alive;  // the spans below point into these
  std::vector<io::TensorToWrite> entries;
  for (const auto& [name, tensor] : tensors) {
    alive.push_back(tensor.detach().to(at::kCPU).contiguous());
    const auto* data = static_cast<const std::byte*>(alive.back().const_data_ptr());
    entries.push_back({.name = name, .dtype = file_dtype(name, tensor.scalar_type()), .shape = tensor.sizes().vec(), .bytes = {data, tensor.nbytes()}});
  }
  io::write_safetensors(path, std::move(entries), metadata);
}

}  // namespace everlong::checkpoint
