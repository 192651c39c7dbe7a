#include "everlong/io/pickle_calls.h"

#include <fmt/format.h>

#include "everlong/io/excerpt.h"

namespace everlong::io {
namespace {

/// The arguments of a call, each asked for by kind.
class Arguments {
 public:
  Arguments(const PickleHeap& heap, NodeId id, std::string_view callee) : heap_(heap), id_(id), callee_(callee) {
    if (heap.at(id).kind != NodeKind::tuple) heap.refuse(callee, "a tuple of arguments", to_string(heap.at(id).kind));
  }

  [[nodiscard]] size_t size() const { return heap_.at(id_).items.size(); }

  void expect_count(size_t least, size_t most) const {
    if (size() < least || size() > most) heap_.refuse(callee_, fmt::format("{} to {} arguments", least, most), fmt::format("{}", size()));
  }

  [[nodiscard]] NodeId id(size_t i) const { return heap_.at(id_).items[i]; }

  [[nodiscard]] const Node& get(size_t i, NodeKind kind) const {
    const Node& node = heap_.at(id(i));
    if (node.kind != kind) heap_.refuse(callee_, fmt::format("{} as argument {}", to_string(kind), i + 1), to_string(node.kind));
    return node;
  }

  [[nodiscard]] std::vector<int64_t> integers(size_t i) const {
    std::vector<int64_t> values;
    const Node& tuple = get(i, NodeKind::tuple);
    if (tuple.items.size() > kMaxPickleNumbers) heap_.refuse(callee_, fmt::format("at most {} sizes", kMaxPickleNumbers), "more");
    for (const NodeId item : tuple.items) {
      if (heap_.at(item).kind != NodeKind::integer) heap_.refuse(callee_, "a tuple of integers", to_string(heap_.at(item).kind));
      values.push_back(heap_.at(item).integer);
    }
    return values;
  }

  [[nodiscard]] const PickleName& name(size_t i) const { return pickle_names()[static_cast<size_t>(get(i, NodeKind::name).integer)]; }

 private:
  static constexpr size_t kMaxPickleNumbers = 1000;

  const PickleHeap& heap_;
  NodeId id_;
  std::string_view callee_;
};

NodeId rebuild_tensor(PickleHeap& heap, const Arguments& arguments, const PickleName& callee) {
  const bool is_third = callee.role == NameRole::rebuild_tensor_3;
  if (callee.role == NameRole::rebuild_tensor) arguments.expect_count(4, 4);
  if (callee.role == NameRole::rebuild_tensor_2) arguments.expect_count(6, 7);
  if (is_third) arguments.expect_count(7, 8);
  const Node& storage = arguments.get(0, NodeKind::storage);
  const auto& claim = heap.storage_of(storage);
  auto dtype = claim.dtype;
  if (is_third) {
    const PickleName& name = arguments.name(6);
    if (name.role != NameRole::dtype || dtype) heap.refuse(callee.name, "a dtype over an untyped storage", name.name);
    dtype = name.dtype;
  }
  if (!dtype) heap.refuse(callee.name, "a typed storage", "an untyped one");
  return heap.add_tensor({.dtype = *dtype,
                          .shape = arguments.integers(2),
                          .strides = arguments.integers(3),
                          .offset = arguments.get(1, NodeKind::integer).integer,
                          .storage = static_cast<size_t>(storage.integer)});
}

/// Code points up to U+00FF as one byte each.
std::string latin1_of(const PickleHeap& heap, const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto first = static_cast<unsigned char>(text[i]);
    if (first < 0x80) {
      bytes += text[i];
    } else if ((first == 0xC2 || first == 0xC3) && i + 1 < text.size()) {
      bytes += static_cast<char>((first & 3) << 6 | (static_cast<unsigned char>(text[++i]) & 0x3F));
    } else {
      heap.refuse("_codecs.encode", "characters up to U+00FF", excerpt(text.substr(i)));
    }
  }
  return bytes;
}

NodeId encode(PickleHeap& heap, const Arguments& arguments) {
  arguments.expect_count(2, 2);
  if (arguments.get(1, NodeKind::text).text != "latin1") heap.refuse("_codecs.encode", "latin1", excerpt(arguments.get(1, NodeKind::text).text));
  return heap.add({.kind = NodeKind::bytes, .text = latin1_of(heap, arguments.get(0, NodeKind::text).text)});
}

NodeId make_set(PickleHeap& heap, const Arguments& arguments) {
  arguments.expect_count(0, 1);
  Node made{.kind = NodeKind::set};
  if (arguments.size() == 1) made.items = arguments.get(0, NodeKind::list).items;
  return heap.add(std::move(made));
}

NodeId make_bytes(PickleHeap& heap, const Arguments& arguments) {
  arguments.expect_count(0, 1);
  Node made{.kind = NodeKind::bytes};
  if (arguments.size() == 1) made.text = arguments.get(0, NodeKind::bytes).text;
  return heap.add(std::move(made));
}

/// OrderedDict(), or Python 2's OrderedDict([[key, value], ...]).
NodeId make_ordered_dict(PickleHeap& heap, const Arguments& arguments) {
  arguments.expect_count(0, 1);
  const NodeId dict = heap.add({.kind = NodeKind::ordered_dict});
  if (arguments.size() == 0) return dict;
  const std::vector<NodeId> pairs = arguments.get(0, NodeKind::list).items;
  for (const NodeId pair : pairs) {
    const Node& node = heap.at(pair);
    if ((node.kind != NodeKind::list && node.kind != NodeKind::tuple) || node.items.size() != 2)
      heap.refuse("collections.OrderedDict", "pairs of key and value", to_string(node.kind));
    add_dict_items(heap, dict, std::vector<NodeId>(node.items));
  }
  return dict;
}

NodeId make_device(PickleHeap& heap, const Arguments& arguments) {
  arguments.expect_count(1, 2);
  std::string text = arguments.get(0, NodeKind::text).text;
  if (arguments.size() == 2) text += fmt::format(":{}", arguments.get(1, NodeKind::integer).integer);
  return heap.add({.kind = NodeKind::text, .text = std::move(text)});
}

NodeId make_size(const Arguments& arguments) {
  arguments.expect_count(1, 1);
  (void)arguments.integers(0);
  return arguments.id(0);
}

NodeId rebuild_parameter(const Arguments& arguments) {
  arguments.expect_count(3, 4);
  (void)arguments.get(0, NodeKind::tensor);
  return arguments.id(0);
}

const PickleName& name_at(const PickleHeap& heap, NodeId id, std::string_view opcode) {
  const Node& node = heap.at(id);
  if (node.kind != NodeKind::name) heap.refuse(opcode, "an admitted name to call", to_string(node.kind));
  return pickle_names()[static_cast<size_t>(node.integer)];
}

}  // namespace

void add_dict_items(PickleHeap& heap, NodeId dict, const std::vector<NodeId>& items) {
  if (items.size() % 2 != 0) heap.refuse("dict", "a value for each key", "none for the last");
  for (size_t i = 0; i < items.size(); i += 2) {
    const NodeKind key = heap.at(items[i]).kind;
    const bool hashable = key <= NodeKind::bytes || key == NodeKind::tuple;
    if (!hashable) heap.refuse("dict", "a key that is text, a number, bytes or a tuple", to_string(key));
    heap.append(dict, items[i]);
    heap.append(dict, items[i + 1]);
  }
}

NodeId claim_storage(PickleHeap& heap, NodeId id) {
  const Arguments arguments(heap, id, "persistent id");
  arguments.expect_count(5, 6);
  if (arguments.get(0, NodeKind::text).text != "storage") heap.refuse("persistent id", "storage", excerpt(arguments.get(0, NodeKind::text).text));
  const PickleName& type = arguments.name(1);
  if (type.role != NameRole::storage_type && type.role != NameRole::untyped_storage)
    heap.refuse("persistent id", "the type of a storage", fmt::format("{}.{}", type.module, type.name));
  if (arguments.size() == 6 && heap.at(arguments.id(5)).kind != NodeKind::none)
    heap.refuse("persistent id", "a storage of its own", "a view of another, as PyTorch 0.3 wrote");
  return heap.add_storage({.key = arguments.get(2, NodeKind::text).text,
                           .dtype = type.dtype,
                           .num_elements = arguments.get(4, NodeKind::integer).integer,
                           .device = arguments.get(3, NodeKind::text).text,
                           .pickle_offset = heap.offset()});
}

NodeId call(PickleHeap& heap, NodeId callable, NodeId arguments_id) {
  const PickleName& callee = name_at(heap, callable, "REDUCE");
  const Arguments arguments(heap, arguments_id, callee.name);
  switch (callee.role) {
    case NameRole::rebuild_tensor:
    case NameRole::rebuild_tensor_2:
    case NameRole::rebuild_tensor_3:
      return rebuild_tensor(heap, arguments, callee);
    case NameRole::rebuild_parameter:
      return rebuild_parameter(arguments);
    case NameRole::ordered_dict:
      return make_ordered_dict(heap, arguments);
    case NameRole::name_space:
      return make_new(heap, callable, arguments_id);
    case NameRole::set:
      return make_set(heap, arguments);
    case NameRole::encode:
      return encode(heap, arguments);
    case NameRole::bytes:
      return make_bytes(heap, arguments);
    case NameRole::size:
      return make_size(arguments);
    case NameRole::device:
      return make_device(heap, arguments);
    case NameRole::storage_type:
    case NameRole::untyped_storage:
    case NameRole::dtype:
      break;
  }
  heap.refuse(callee.name, "a name that makes a value", "a type of numbers");
}

NodeId make_new(PickleHeap& heap, NodeId type, NodeId arguments_id) {
  const PickleName& name = name_at(heap, type, "NEWOBJ");
  const Arguments arguments(heap, arguments_id, name.name);
  if (name.role != NameRole::name_space) heap.refuse("NEWOBJ", "argparse.Namespace", fmt::format("{}.{}", name.module, name.name));
  arguments.expect_count(0, 0);
  return heap.add({.kind = NodeKind::name_space});
}

void set_attributes(PickleHeap& heap, NodeId object, NodeId state) {
  const NodeKind kind = heap.at(object).kind;
  if (kind != NodeKind::name_space && kind != NodeKind::ordered_dict) heap.refuse("BUILD", "a Namespace or an OrderedDict", to_string(kind));
  if (heap.at(state).kind != NodeKind::dict) heap.refuse("BUILD", "a dict of attributes", to_string(heap.at(state).kind));
  if (kind == NodeKind::name_space) add_dict_items(heap, object, std::vector<NodeId>(heap.at(state).items));
}

}  // namespace everlong::io
