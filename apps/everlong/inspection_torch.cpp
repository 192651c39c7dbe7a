#include "apps/everlong/inspection_torch.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/checked_math.h"
#include "everlong/io/torch_file.h"

namespace everlong::app {
namespace {

Json plain(const io::TorchValue& value);

/// What one entry is called: its key as text, or as JSON.
std::string name_of(const io::TorchValue& key) {
  const auto* text = key.get_if<std::string>();
  return text != nullptr ? *text : plain(key).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// A value as JSON; tensors by their shape.
Json plain(const io::TorchValue& value) {
  if (const auto* flag = value.get_if<bool>()) return *flag;
  if (const auto* integer = value.get_if<int64_t>()) return *integer;
  if (const auto* real = value.get_if<double>()) return std::isfinite(*real) ? Json(*real) : Json(fmt::format("{}", *real));
  if (const auto* text = value.get_if<std::string>()) return *text;
  if (const auto* bytes = value.get_if<io::TorchBytes>()) return fmt::format("{} bytes", bytes->data.size());
  if (const auto* tensor = value.get_if<io::TorchTensor>()) return Json{{"dtype", io::to_string(tensor->dtype)}, {"shape", tensor->shape}};
  if (const auto* sequence = value.get_if<io::TorchSequence>()) {
    Json items = Json::array();
    for (const io::TorchValue& item : sequence->items) items.push_back(plain(item));
    return items;
  }
  if (const auto* dict = value.get_if<io::TorchDict>()) {
    Json::object_t members;
    for (const io::TorchItem& item : dict->items) members.emplace_back(name_of(item.key), plain(item.value));
    return members;
  }
  return nullptr;
}

/// Sorts what lies below `value` into tensors and plain values.
class Listing {
 public:
  explicit Listing(Json& finding) : finding_(finding) {}

  void add(const io::TorchValue& value, const std::string& name) {
    if (const auto* tensor = value.get_if<io::TorchTensor>()) {
      add_tensor(*tensor, name);
    } else if (const auto* dict = value.get_if<io::TorchDict>(); dict != nullptr && !dict->items.empty()) {
      for (const io::TorchItem& item : dict->items) add(item.value, name.empty() ? name_of(item.key) : name + "." + name_of(item.key));
    } else {
      values_.emplace_back(name.empty() ? "value" : name, plain(value));
    }
  }

  void finish() {
    finding_["num_tensors"] = tensors_.size();
    finding_["num_elements"] = elements_;
    finding_["tensors"] = std::move(tensors_);
    finding_["values"] = std::move(values_);
  }

 private:
  void add_tensor(const io::TorchTensor& tensor, const std::string& name) {
    const int64_t count = tensor.num_elements();
    elements_ = checked_add(elements_, count).value_or(std::numeric_limits<int64_t>::max());
    tensors_.push_back(
        {{"name", name}, {"dtype", io::to_string(tensor.dtype)}, {"shape", tensor.shape}, {"bytes", count * io::bytes_per_element(tensor.dtype)}});
  }

  Json& finding_;
  int64_t elements_ = 0;
  Json tensors_ = Json::array();
  Json::object_t values_;
};

}  // namespace

bool is_torch_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(16, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(file.gcount()));
  return io::looks_like_torch_file(std::as_bytes(std::span(start)));
}

void describe_torch(const std::filesystem::path& path, Json& finding) {
  const auto file = io::TorchFile::open(path);
  int64_t bytes = 0;
  for (const io::TorchStorage& storage : file.storages()) bytes += storage.size_bytes;
  Listing listing(finding);
  listing.add(file.value(), "");
  finding["tensor_bytes"] = bytes;
  listing.finish();
}

}  // namespace everlong::app
