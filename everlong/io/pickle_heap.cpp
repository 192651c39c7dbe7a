#include "everlong/io/pickle_heap.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/base/checked_math.h"
#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/safetensors.h"

namespace everlong::io {
namespace {

constexpr std::array<std::string_view, 15> kKinds{"None",           "a bool",      "an integer",    "a float",   "text",
                                                  "bytes",          "a list",      "a tuple",       "a set",     "a dict",
                                                  "an OrderedDict", "a Namespace", "a global name", "a storage", "a tensor"};

}  // namespace

std::string_view to_string(NodeKind kind) { return kKinds[static_cast<size_t>(kind)]; }

void PickleHeap::refuse(std::string_view field, std::string_view expected, std::string_view got, std::string_view hint) const {
  throw FormatError({file_name_, offset_, std::string(field)}, expected, got, hint);
}

void PickleHeap::charge(size_t bytes) {
  used_bytes_ += static_cast<int64_t>(std::min<size_t>(bytes, kMaxPickleValueBytes + 1));
  if (used_bytes_ > kMaxPickleValueBytes) refuse("values", fmt::format("at most {} MiB of values", kMaxPickleValueBytes >> 20), "more");
}

NodeId PickleHeap::add(Node node) {
  charge(sizeof(Node) + node.text.size() + node.items.size() * sizeof(NodeId));
  nodes_.push_back(std::move(node));
  return static_cast<NodeId>(nodes_.size() - 1);
}

void PickleHeap::append(NodeId container, NodeId item) {
  charge(sizeof(NodeId));
  nodes_[container].items.push_back(item);
}

NodeId PickleHeap::add_tensor(TorchTensor tensor) {
  const StorageClaim& storage = storages_[tensor.storage];
  const std::string field = "tensor over storage " + excerpt(storage.key);
  const int64_t available = storage.dtype ? storage.num_elements : storage.num_elements / bytes_per_element(tensor.dtype);
  if (tensor.shape.size() != tensor.strides.size() || tensor.shape.size() > kMaxTensorRank)
    refuse(field, fmt::format("as many sizes as strides, at most {}", kMaxTensorRank),
           fmt::format("{} and {}", tensor.shape.size(), tensor.strides.size()));
  if (!tensor.lies_within(available))
    refuse(field, fmt::format("a view of its {} elements", available),
           fmt::format("shape [{}], strides [{}], offset {}", fmt::join(tensor.shape, ", "), fmt::join(tensor.strides, ", "), tensor.offset),
           "a tensor that was expanded must be saved as tensor.contiguous()");
  charge(sizeof(TorchTensor) + tensor.shape.size() * 2 * sizeof(int64_t));
  tensors_.push_back(std::move(tensor));
  return add({.kind = NodeKind::tensor, .integer = static_cast<int64_t>(tensors_.size() - 1)});
}

NodeId PickleHeap::add_storage(StorageClaim claim) {
  const std::string field = "storage " + excerpt(claim.key);
  if (claim.num_elements < 0 || !checked_mul(claim.num_elements, int64_t{8}))
    refuse(field, "a number of elements", fmt::format("{}", claim.num_elements));
  const auto known = storage_ids_.find(claim.key);
  if (known != storage_ids_.end()) {
    const StorageClaim& first = storage_of(nodes_[known->second]);
    if (first.dtype != claim.dtype || first.num_elements != claim.num_elements)
      refuse(field, fmt::format("the {} bytes and dtype it was first named with", first.size_bytes()), "others");
    return known->second;
  }
  charge(sizeof(StorageClaim) + 2 * claim.key.size() + claim.device.size() + 64);
  storages_.push_back(std::move(claim));
  const NodeId id = add({.kind = NodeKind::storage, .integer = static_cast<int64_t>(storages_.size() - 1)});
  storage_ids_.emplace(storages_.back().key, id);
  return id;
}

TorchValue PickleHeap::tree_of(NodeId root) {
  used_bytes_ = 0;  // the tree is counted anew: what is shared here is copied there
  return tree_below(root, 0);
}

TorchDict PickleHeap::dict_below(NodeId id, int depth) {
  TorchDict dict;
  std::set<std::string_view> keys;
  const std::vector<NodeId>& items = nodes_[id].items;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const Node& key = nodes_[items[i]];
    if (key.kind == NodeKind::text && !keys.insert(key.text).second) refuse(excerpt(key.text), "each key of a dictionary once", "it twice");
    dict.items.push_back({.key = tree_below(items[i], depth + 1), .value = tree_below(items[i + 1], depth + 1)});
  }
  return dict;
}

TorchValue PickleHeap::tree_below(NodeId id, int depth) {
  const Node& node = nodes_[id];
  if (depth > kMaxPickleDepth) refuse("values", fmt::format("at most {} levels, none inside itself", kMaxPickleDepth), "a deeper one");
  charge(sizeof(TorchItem) + node.text.size());
  switch (node.kind) {
    case NodeKind::none:
      return {};
    case NodeKind::boolean:
      return {node.integer != 0};
    case NodeKind::integer:
      return {node.integer};
    case NodeKind::real:
      return {node.real};
    case NodeKind::text:
      return {node.text};
    case NodeKind::bytes:
      return {TorchBytes{node.text}};
    case NodeKind::list:
    case NodeKind::tuple:
    case NodeKind::set: {
      TorchSequence sequence{.kind = node.kind == NodeKind::list    ? TorchSequence::Kind::list
                                     : node.kind == NodeKind::tuple ? TorchSequence::Kind::tuple
                                                                    : TorchSequence::Kind::set,
                             .items = {}};
      for (const NodeId item : node.items) sequence.items.push_back(tree_below(item, depth + 1));
      return {std::move(sequence)};
    }
    case NodeKind::dict:
    case NodeKind::ordered_dict:
    case NodeKind::name_space:
      return {dict_below(id, depth)};
    case NodeKind::tensor: {
      const TorchTensor& tensor = tensors_[static_cast<size_t>(node.integer)];
      charge(tensor.shape.size() * 2 * sizeof(int64_t));
      return {tensor};
    }
    case NodeKind::name:
    case NodeKind::storage:
      break;
  }
  if (node.kind == NodeKind::name) {
    const PickleName& name = pickle_names()[static_cast<size_t>(node.integer)];
    if (name.role == NameRole::dtype) return {fmt::format("{}.{}", name.module, name.name)};
    refuse(fmt::format("{}.{}", name.module, name.name), "a plain value or a tensor", "this name as a value");
  }
  refuse("storage " + excerpt(storage_of(node).key), "a plain value or a tensor", "a storage without a tensor");
}

}  // namespace everlong::io
