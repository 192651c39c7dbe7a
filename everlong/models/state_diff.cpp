#include "everlong/models/state_diff.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {
namespace {

constexpr const char* kPosition = "position";
constexpr double kInfinity = std::numeric_limits<double>::infinity();

checkpoint::TensorFile read_state(const std::filesystem::path& path) {
  checkpoint::TensorFile file = checkpoint::load_tensors(path);
  const auto schema = file.metadata.find("schema");
  if (schema == file.metadata.end() || !schema->second.starts_with("everlong-state-"))
    throw StateError({.where = path.string(), .expected = "a state file", .got = "a safetensors file of something else"});
  const auto position = file.tensors.find(kPosition);
  if (position == file.tensors.end() || position->second.scalar_type() != at::kLong || position->second.dim() != 1)
    throw FormatError({.file = path.string(), .field = kPosition}, "[B] I64", position == file.tensors.end() ? "nothing" : "another shape or dtype");
  return file;
}

std::vector<int64_t> positions_of(const checkpoint::TensorFile& file) {
  const at::Tensor position = file.tensors.at(kPosition).contiguous();
  const auto* begin = position.const_data_ptr<int64_t>();
  return {begin, begin + position.numel()};
}

/// The metadata with the configuration taken apart: "config hidden_size" -> "24".
std::map<std::string, std::string> metadata_lines(const checkpoint::Metadata& metadata) {
  std::map<std::string, std::string> lines;
  for (const auto& [key, value] : metadata) {
    if (key != "config") {
      lines[key] = value;
      continue;
    }
    std::istringstream text(value);
    for (std::string line; std::getline(text, line);) {
      const auto equals = std::min(line.find('='), line.size());
      lines["config " + line.substr(0, equals)] = line.substr(std::min(equals + 1, line.size()));
    }
  }
  return lines;
}

std::string describe(const at::Tensor* tensor) {
  return tensor == nullptr ? "none" : fmt::format("{} {}", c10::toString(tensor->scalar_type()), shape_text(tensor->sizes()));
}

double max_difference(const at::Tensor& left, const at::Tensor& right) {
  if (left.numel() == 0) return 0;
  const at::Tensor a = left.to(at::kDouble), b = right.to(at::kDouble);
  const at::Tensor same = a.eq(b).logical_or(a.isnan().logical_and(b.isnan()));
  const at::Tensor apart = (a - b).abs().masked_fill(same, 0);
  return apart.masked_fill(apart.isnan(), kInfinity).max().item<double>();
}

template <class Map>
std::set<std::string> names_of(const Map& left, const Map& right) {
  std::set<std::string> names;
  for (const auto& item : left) names.insert(item.first);
  for (const auto& item : right) names.insert(item.first);
  return names;
}

template <class Map>
const typename Map::mapped_type* find(const Map& map, const std::string& name) {
  const auto found = map.find(name);
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

double StateDifference::max_abs() const {
  double largest = 0;
  for (const SlotDifference& slot : slots) largest = std::max(largest, slot.max_abs);
  return largest;
}

bool StateDifference::same(double tolerance) const { return metadata.empty() && left_positions == right_positions && max_abs() <= tolerance; }

StateDifference compare_states(const std::filesystem::path& left, const std::filesystem::path& right) {
  const checkpoint::TensorFile a = read_state(left), b = read_state(right);
  StateDifference difference{.slots = {}, .left_positions = positions_of(a), .right_positions = positions_of(b), .metadata = {}};
  for (const std::string& name : names_of(a.tensors, b.tensors)) {
    if (name == kPosition) continue;
    const at::Tensor *x = find(a.tensors, name), *y = find(b.tensors, name);
    const bool comparable = x != nullptr && y != nullptr && x->scalar_type() == y->scalar_type() && x->sizes() == y->sizes();
    difference.slots.push_back({.name = name, .left = describe(x), .right = describe(y), .max_abs = comparable ? max_difference(*x, *y) : kInfinity});
  }
  const auto ours = metadata_lines(a.metadata), theirs = metadata_lines(b.metadata);
  for (const std::string& key : names_of(ours, theirs)) {
    const std::string *x = find(ours, key), *y = find(theirs, key);
    if (x != nullptr && y != nullptr && *x == *y) continue;
    difference.metadata.push_back({.key = key, .left = x == nullptr ? "none" : *x, .right = y == nullptr ? "none" : *y});
  }
  return difference;
}

}  // namespace everlong::models
