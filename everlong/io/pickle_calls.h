#pragma once
// What the admitted names of a pickle do to values: each function here stands for one opcode that would run code in Python.

#include <vector>

#include "everlong/io/pickle_heap.h"

namespace everlong::io {

/// Appends keys and values in turn. Errors  FormatError if a key has no value or is a container or a tensor
void add_dict_items(PickleHeap& heap, NodeId dict, const std::vector<NodeId>& items);

/// BINPERSID: the storage that the tuple ("storage", type, key, device, number of elements) names.
[[nodiscard]] NodeId claim_storage(PickleHeap& heap, NodeId id);

/// REDUCE: the value that an admitted name makes of its arguments. Errors  FormatError if they do not fit it
[[nodiscard]] NodeId call(PickleHeap& heap, NodeId callable, NodeId arguments);

/// NEWOBJ: an empty argparse.Namespace.
[[nodiscard]] NodeId make_new(PickleHeap& heap, NodeId type, NodeId arguments);

/// BUILD: the members of a Namespace; attributes of an OrderedDict (_metadata of a state dict) are checked and left out.
void set_attributes(PickleHeap& heap, NodeId object, NodeId state);

}  // namespace everlong::io
