#include "everlong/io/unpickler.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/pickle_calls.h"
#include "everlong/io/pickle_heap.h"

namespace everlong::io {
namespace {

constexpr size_t kMaxPickleNameBytes = 1000;

/// The stack machine that a pickle is a program for, without the opcodes that no plain value needs.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> file, int64_t offset, std::string_view file_name)
      : heap_(file, file_name), begin_(static_cast<size_t>(offset)), at_(begin_) {
    end_ = begin_ + std::min(file.size() - begin_, static_cast<size_t>(kMaxPickleBytes));
  }

  Unpickled run() {
    check_protocol();
    while (true) {
      heap_.set_offset(static_cast<int64_t>(at_));
      const auto opcode = static_cast<char>(number(1));
      if (opcode == '.') break;
      if (!step_constant(opcode) && !step_text(opcode) && !step_container(opcode) && !step_memo(opcode) && !step_call(opcode)) refuse_opcode(opcode);
    }
    const NodeId root = pop();
    if (!stack_.empty() || !marks_.empty()) heap_.refuse("stack", "one value at the end of the pickle", "more");
    Unpickled result{.value = heap_.tree_of(root), .storages = {}, .end = static_cast<int64_t>(at_)};
    result.storages = heap_.take_storages();
    return result;
  }

 private:
  void check_protocol() {
    heap_.set_offset(static_cast<int64_t>(at_));
    if (number(1) != 0x80) heap_.refuse("pickle", "protocol 2 or newer, which begins with 0x80", "another byte");
    const uint64_t protocol = number(1);
    if (protocol < 2 || protocol > 5) heap_.refuse("pickle", "protocol 2 to 5", fmt::format("{}", protocol));
  }

  [[noreturn]] void refuse_opcode(char opcode) const {
    heap_.refuse("pickle", "an opcode for plain values and tensors", fmt::format("0x{:02x}", static_cast<unsigned char>(opcode)));
  }

  std::span<const std::byte> take(uint64_t count) {
    if (count > end_ - at_) heap_.refuse("pickle", fmt::format("{} more bytes", count), fmt::format("{}", end_ - at_));
    const auto bytes = heap_.file().subspan(at_, static_cast<size_t>(count));
    at_ += static_cast<size_t>(count);
    return bytes;
  }

  /// A little-endian number of up to 8 bytes.
  uint64_t number(size_t count) {
    const auto bytes = take(count);
    uint64_t value = 0;
    for (size_t i = count; i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[i]);
    return value;
  }

  std::string text(uint64_t count) {
    const auto bytes = take(count);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  std::string line() {
    const size_t first = at_;
    while (at_ - first <= kMaxPickleNameBytes)
      if (number(1) == '\n') return {reinterpret_cast<const char*>(heap_.file().data()) + first, at_ - first - 1};
    heap_.refuse("pickle", fmt::format("a name of at most {} bytes", kMaxPickleNameBytes), "a longer one");
  }

  void push(NodeId id) {
    heap_.charge(sizeof(NodeId));
    stack_.push_back(id);
  }
  void push(Node node) { push(heap_.add(std::move(node))); }
  void push_integer(int64_t value) { push({.kind = NodeKind::integer, .integer = value}); }

  NodeId pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) heap_.refuse("stack", "a value", "none");
    const NodeId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  [[nodiscard]] NodeId top() {
    const NodeId id = pop();
    stack_.push_back(id);
    return id;
  }

  std::vector<NodeId> pop_to_mark() {
    if (marks_.empty()) heap_.refuse("stack", "a mark", "none");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<NodeId> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }

  bool step_constant(char opcode) {
    switch (opcode) {
      case 'N':
        push(Node{});
        return true;
      case '\x88':
      case '\x89':
        push({.kind = NodeKind::boolean, .integer = opcode == '\x88'});
        return true;
      case 'K':
        push_integer(static_cast<int64_t>(number(1)));
        return true;
      case 'M':
        push_integer(static_cast<int64_t>(number(2)));
        return true;
      case 'J':
        push_integer(static_cast<int32_t>(number(4)));
        return true;
      case '\x8a':
        push_integer(long_integer());
        return true;
      case 'G': {
        uint64_t bits = 0;
        for (const std::byte byte : take(8)) bits = bits << 8 | std::to_integer<uint64_t>(byte);
        push({.kind = NodeKind::real, .real = std::bit_cast<double>(bits)});
        return true;
      }
      case '\x95':  // a frame: where the writer flushed
        (void)number(8);
        return true;
      default:
        return false;
    }
  }

  /// Two's complement in as many bytes as it takes.
  int64_t long_integer() {
    const auto count = static_cast<size_t>(number(1));
    if (count > 8) heap_.refuse("integer", "one of at most 64 bits", fmt::format("{} bytes", count));
    if (count == 0) return 0;
    const auto shift = static_cast<int>(64 - 8 * count);
    return static_cast<int64_t>(number(count) << shift) >> shift;
  }

  void push_text(uint64_t count) {
    Node node{.kind = NodeKind::text, .text = text(count)};
    if (!is_valid_utf8(node.text)) heap_.refuse("text", "UTF-8", excerpt(node.text));
    push(std::move(node));
  }
  void push_bytes(uint64_t count) { push({.kind = NodeKind::bytes, .text = text(count)}); }
  /// Python 2's str: text if it can be.
  void push_string(uint64_t count) {
    Node node{.kind = NodeKind::text, .text = text(count)};
    if (!is_valid_utf8(node.text)) node.kind = NodeKind::bytes;
    push(std::move(node));
  }

  bool step_text(char opcode) {
    switch (opcode) {
      case 'X':
        push_text(number(4));
        return true;
      case '\x8c':
        push_text(number(1));
        return true;
      case '\x8d':
        push_text(number(8));
        return true;
      case 'B':
        push_bytes(number(4));
        return true;
      case 'C':
        push_bytes(number(1));
        return true;
      case '\x8e':
      case '\x96':
        push_bytes(number(8));
        return true;
      case 'T':
        push_string(number(4));
        return true;
      case 'U':
        push_string(number(1));
        return true;
      default:
        return false;
    }
  }

  void push_tuple(size_t count) {
    std::vector<NodeId> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push({.kind = NodeKind::tuple, .items = std::move(items)});
  }

  bool step_container(char opcode) {
    switch (opcode) {
      case '(':
        heap_.charge(sizeof(size_t));
        marks_.push_back(stack_.size());
        return true;
      case ')':
      case '\x85':
      case '\x86':
      case '\x87':
        push_tuple(opcode == ')' ? 0 : static_cast<size_t>(opcode - '\x84'));
        return true;
      case 't':
        push({.kind = NodeKind::tuple, .items = pop_to_mark()});
        return true;
      case '\x91':
        push({.kind = NodeKind::set, .items = pop_to_mark()});
        return true;
      case ']':
        push({.kind = NodeKind::list});
        return true;
      case '}':
        push({.kind = NodeKind::dict});
        return true;
      case '\x8f':
        push({.kind = NodeKind::set});
        return true;
      default:
        return step_fill(opcode);
    }
  }

  bool step_fill(char opcode) {
    switch (opcode) {
      case 'a':
        add_items(NodeKind::list, {pop()});
        return true;
      case 'e':
        add_items(NodeKind::list, pop_to_mark());
        return true;
      case '\x90':
        add_items(NodeKind::set, pop_to_mark());
        return true;
      case 's': {
        const NodeId value = pop(), key = pop();
        set_items({key, value});
        return true;
      }
      case 'u':
        set_items(pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  void add_items(NodeKind kind, const std::vector<NodeId>& items) {
    const NodeId container = top();
    if (heap_.at(container).kind != kind) heap_.refuse("stack", to_string(kind), to_string(heap_.at(container).kind));
    for (const NodeId item : items) heap_.append(container, item);
  }

  void set_items(const std::vector<NodeId>& items) {
    const NodeId container = top();
    if (!is_dict(heap_.at(container).kind)) heap_.refuse("stack", "a dict", to_string(heap_.at(container).kind));
    add_dict_items(heap_, container, items);
  }

  bool step_memo(char opcode) {
    switch (opcode) {
      case 'q':
        memorize(number(1));
        return true;
      case 'r':
        memorize(number(4));
        return true;
      case '\x94':
        memorize(memo_.size());
        return true;
      case 'h':
        recall(number(1));
        return true;
      case 'j':
        recall(number(4));
        return true;
      default:
        return false;
    }
  }

  void memorize(uint64_t key) {
    heap_.charge(64);
    memo_[key] = top();
  }

  void recall(uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) heap_.refuse("memo", "a place that was filled", fmt::format("{}", key));
    push(found->second);
  }

  bool step_call(char opcode) {
    switch (opcode) {
      case 'c': {
        const std::string module = line(), name = line();
        push_name(module, name);
        return true;
      }
      case '\x93': {
        const NodeId name = pop(), module = pop();
        if (heap_.at(name).kind != NodeKind::text || heap_.at(module).kind != NodeKind::text) heap_.refuse("stack", "two texts", "others");
        push_name(heap_.at(module).text, heap_.at(name).text);
        return true;
      }
      case 'Q':
        push(claim_storage(heap_, pop()));
        return true;
      case 'R': {
        const NodeId arguments = pop(), callable = pop();
        push(call(heap_, callable, arguments));
        return true;
      }
      case '\x81': {
        const NodeId arguments = pop(), type = pop();
        push(make_new(heap_, type, arguments));
        return true;
      }
      case 'b': {
        const NodeId state = pop();
        set_attributes(heap_, top(), state);
        return true;
      }
      default:
        return false;
    }
  }

  void push_name(std::string_view module, std::string_view name) {
    const PickleName* known = find_pickle_name(module, name);
    if (known == nullptr)
      heap_.refuse("global " + excerpt(fmt::format("{}.{}", module, name), 120), "only names that plain values and tensors need",
                   "another, and nothing in a file is run", "load it in PyTorch, if you trust it, and torch.save its state_dict()");
    push({.kind = NodeKind::name, .integer = known - pickle_names().data()});
  }

  PickleHeap heap_;
  size_t begin_, at_, end_ = 0;
  std::vector<NodeId> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, NodeId> memo_;
};

}  // namespace

Unpickled unpickle(std::span<const std::byte> file, int64_t offset, std::string_view file_name) {
  require(offset >= 0 && static_cast<size_t>(offset) <= file.size(),
          [&] { return Complaint{.where = file_name, .expected = "an offset inside the file", .got = fmt::format("{}", offset)}; });
  return PickleMachine(file, offset, file_name).run();
}

}  // namespace everlong::io
