#pragma once
// The values of a pickle while it is being read: nodes that name each other by number, so that shared ones are stored once.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/io/pickle_names.h"
#include "everlong/io/torch_value.h"
#include "everlong/io/unpickler.h"

namespace everlong::io {

using NodeId = uint32_t;

enum class NodeKind : uint8_t {
  none,
  boolean,
  integer,
  real,
  text,
  bytes,
  list,
  tuple,
  set,
  dict,          ///< items: key, value, key, value, ...
  ordered_dict,  ///< as dict
  name_space,    ///< as dict
  name,          ///< an admitted global; `integer` is its place in the table of names
  storage,       ///< `integer` is its place in the list of storages
  tensor,        ///< `integer` is its place in the list of tensors
};

[[nodiscard]] std::string_view to_string(NodeKind kind);
[[nodiscard]] inline bool is_dict(NodeKind kind) { return kind == NodeKind::dict || kind == NodeKind::ordered_dict || kind == NodeKind::name_space; }

struct Node {
  NodeKind kind = NodeKind::none;
  int64_t integer = 0;
  double real = 0;
  std::string text = {};
  std::vector<NodeId> items = {};
};

/// Nodes, tensors and storages of one pickle, with a bound on the memory they take.
class PickleHeap {
 public:
  PickleHeap(std::span<const std::byte> file, std::string_view file_name) : file_(file), file_name_(file_name) {}

  /// The opcode at work, for messages.
  void set_offset(int64_t offset) { offset_ = offset; }
  [[nodiscard]] int64_t offset() const { return offset_; }
  [[nodiscard]] std::span<const std::byte> file() const { return file_; }

  [[noreturn]] void refuse(std::string_view field, std::string_view expected, std::string_view got, std::string_view hint = {}) const;

  /// Errors   FormatError once more than kMaxPickleValueBytes are in use
  NodeId add(Node node);
  void charge(size_t bytes);

  [[nodiscard]] Node& at(NodeId id) { return nodes_[id]; }
  [[nodiscard]] const Node& at(NodeId id) const { return nodes_[id]; }
  [[nodiscard]] size_t size() const { return nodes_.size(); }

  /// Appends to a list, set or dictionary.
  void append(NodeId container, NodeId item);

  /// Adds a tensor; checks that it stays inside its storage.
  NodeId add_tensor(TorchTensor tensor);
  /// Adds a storage, or finds the one of that key, which must be the same.
  NodeId add_storage(StorageClaim claim);
  [[nodiscard]] const StorageClaim& storage_of(const Node& node) const { return storages_[static_cast<size_t>(node.integer)]; }

  /// The node with all below it as a tree. Errors  FormatError for cycles, depth, size, repeated keys, and names and storages as values
  [[nodiscard]] TorchValue tree_of(NodeId root);
  [[nodiscard]] std::vector<StorageClaim> take_storages() { return std::move(storages_); }

 private:
  [[nodiscard]] TorchValue tree_below(NodeId id, int depth);
  [[nodiscard]] TorchDict dict_below(NodeId id, int depth);

  std::span<const std::byte> file_;
  std::string file_name_;
  int64_t offset_ = 0;
  int64_t used_bytes_ = 0;
  std::vector<Node> nodes_;
  std::vector<TorchTensor> tensors_;
  std::vector<StorageClaim> storages_;
  std::map<std::string, NodeId, std::less<>> storage_ids_;
};

}  // namespace everlong::io
