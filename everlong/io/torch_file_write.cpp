#include <bit>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/pickle_names.h"
#include "everlong/io/torch_file.h"
#include "everlong/io/unpickler.h"
#include "everlong/io/zip.h"

namespace everlong::io {
namespace {

constexpr const char* kRoot = "archive/";

/// The name that stands for this role and dtype; null if there is none.
const PickleName* name_for(NameRole role, Dtype dtype) {
  for (const PickleName& name : pickle_names())
    if (name.role == role && name.dtype == dtype) return &name;
  return nullptr;
}

/// Puts values together as a pickle of protocol 2. Nothing is remembered for reuse: the format allows that, and names are short.
class Pickler {
 public:
  Pickler(std::string_view file_name, const std::vector<TorchStorageToWrite>& storages) : file_name_(file_name), storages_(storages) {}

  std::string pickle(const TorchValue& value) {
    text_ = "\x80\x02";
    put(value, 0);
    return std::move(text_ += '.');
  }

 private:
  template <class T>
  void number(T value) {
    for (size_t i = 0; i < sizeof(T); ++i) text_ += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xFF);
  }

  void global(std::string_view module, std::string_view name) { text_ += fmt::format("c{}\n{}\n", module, name); }

  void put(const TorchValue& value, int depth) {
    require(depth <= kMaxPickleDepth,
            [&] { return Complaint{.where = file_name_, .expected = fmt::format("values of at most {} levels", kMaxPickleDepth), .got = "more"}; });
    std::visit([&](const auto& one) { put_one(one, depth); }, value.value);
  }

  void put_one(std::monostate, int) { text_ += 'N'; }
  void put_one(bool value, int) { text_ += value ? '\x88' : '\x89'; }
  void put_one(int64_t value, int) { integer(value); }

  void put_one(double value, int) {
    const auto bits = std::bit_cast<uint64_t>(value);
    text_ += 'G';
    for (int shift = 56; shift >= 0; shift -= 8) text_ += static_cast<char>(bits >> shift & 0xFF);
  }

  void put_one(const std::string& value, int) { text(value); }

  /// Bytes as text of the same code points, which _codecs.encode turns back: protocol 2 has no other way.
  void put_one(const TorchBytes& value, int) {
    std::string points;
    for (const char byte : value.data) {
      const auto code = static_cast<unsigned char>(byte);
      if (code >= 0x80) points += static_cast<char>(0xC0 | code >> 6);
      points += static_cast<char>(code < 0x80 ? code : 0x80 | (code & 0x3F));
    }
    global("_codecs", "encode");
    text(points);
    text("latin1");
    text_ += "\x86R";
  }

  void put_one(const TorchSequence& value, int depth) {
    const bool is_tuple = value.kind == TorchSequence::Kind::tuple, is_set = value.kind == TorchSequence::Kind::set;
    if (is_set) global("__builtin__", "set");
    text_ += is_tuple ? "(" : "](";
    for (const TorchValue& item : value.items) put(item, depth + 1);
    text_ += is_tuple ? "t" : "e";
    if (is_set) text_ += "\x85R";
  }

  void put_one(const TorchDict& value, int depth) {
    text_ += "}(";
    for (const TorchItem& item : value.items) {
      put(item.key, depth + 1);
      put(item.value, depth + 1);
    }
    text_ += 'u';
  }

  void put_one(const TorchTensor& tensor, int) {
    check(tensor);
    const TorchStorageToWrite& storage = storages_[tensor.storage];
    const PickleName* type = name_for(NameRole::storage_type, tensor.dtype);
    const int64_t bytes = static_cast<int64_t>(storage.bytes.size());
    global("torch._utils", type != nullptr ? "_rebuild_tensor_v2" : "_rebuild_tensor_v3");
    text_ += "((";
    text("storage");
    type != nullptr ? global(type->module, type->name) : global("torch.storage", "UntypedStorage");
    text(std::to_string(tensor.storage));
    text("cpu");
    integer(type != nullptr ? bytes / bytes_per_element(tensor.dtype) : bytes);
    text_ += "tQ";
    integer(tensor.offset);
    integers(tensor.shape);
    integers(tensor.strides);
    text_ += '\x89';  // no gradient, no hooks
    global("collections", "OrderedDict");
    text_ += ")R";
    if (type == nullptr) {
      const PickleName* dtype = name_for(NameRole::dtype, tensor.dtype);
      global(dtype->module, dtype->name);
    }
    text_ += "tR";
  }

  void integer(int64_t value) {
    if (value >= 0 && value <= 0xFF) {
      text_ += 'K';
      number(static_cast<uint8_t>(value));
    } else if (value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max()) {
      text_ += 'J';
      number(static_cast<int32_t>(value));
    } else {
      text_ += "\x8a\x08";
      number(value);
    }
  }

  void integers(const std::vector<int64_t>& values) {
    text_ += '(';
    for (const int64_t value : values) integer(value);
    text_ += 't';
  }

  void text(std::string_view value) {
    const auto size = checked_cast<uint32_t>(value.size());
    require(is_valid_utf8(value) && size.has_value(),
            [&] { return Complaint{.where = file_name_, .expected = "text in UTF-8 of less than 4 GiB", .got = excerpt(value)}; });
    text_ += 'X';
    number(*size);
    text_ += value;
  }

  void check(const TorchTensor& tensor) const;

  std::string_view file_name_;
  const std::vector<TorchStorageToWrite>& storages_;
  std::string text_;
};

void Pickler::check(const TorchTensor& tensor) const {
  const auto what = [&] {
    return fmt::format("{} [{}], strides [{}], offset {}, storage {}", to_string(tensor.dtype), fmt::join(tensor.shape, ", "),
                       fmt::join(tensor.strides, ", "), tensor.offset, tensor.storage);
  };
  const bool fits = tensor.storage < storages_.size() && storages_[tensor.storage].dtype == tensor.dtype &&
                    tensor.lies_within(static_cast<int64_t>(storages_[tensor.storage].bytes.size()) / bytes_per_element(tensor.dtype));
  require(fits, [&] { return Complaint{.where = file_name_, .expected = "a view of a storage of its dtype", .got = what()}; });
}

}  // namespace

void write_torch_file(const std::filesystem::path& path, const TorchValue& value, const std::vector<TorchStorageToWrite>& storages) {
  const std::string file_name = path.string();
  for (const TorchStorageToWrite& storage : storages)
    require(storage.bytes.size() % static_cast<size_t>(bytes_per_element(storage.dtype)) == 0, [&] {
      return Complaint{.where = file_name, .expected = "storages of whole elements", .got = fmt::format("{} bytes", storage.bytes.size())};
    });
  const std::string pickle = Pickler(file_name, storages).pickle(value);
  ZipWriter archive(path);
  archive.add(std::string(kRoot) + "data.pkl", pickle);
  archive.add(std::string(kRoot) + "byteorder", "little");
  for (size_t i = 0; i < storages.size(); ++i) archive.add(fmt::format("{}data/{}", kRoot, i), storages[i].bytes);
  archive.add(std::string(kRoot) + "version", "3\n");
  archive.commit();
}

}  // namespace everlong::io
