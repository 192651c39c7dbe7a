// The parts of a model that the release trained on several devices, joined.
// Source   specification 7.2: the residual stream is split over features, projections over their outputs or inputs.

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

constexpr std::array<std::string_view, 6> kSecondAxis = {"embed.weight",    "output.output.weight", "mega.wh2.weight",
                                                         "nffn.fc2.weight", "mega.gamma",           "mega.beta"};
constexpr std::array<std::string_view, 6> kWhole = {"mega.rmsnorm.weight", "nffn.norm.weight", "nffn.norm.bias",
                                                    "nffn.alpha",          "rope.freqs",       "prior_count"};

enum class Split { first_axis, second_axis, whole };

Split split_of(std::string_view name) {
  const auto ends = [&](std::string_view end) { return name.ends_with(end); };
  if (std::any_of(kSecondAxis.begin(), kSecondAxis.end(), ends)) return Split::second_axis;
  return std::any_of(kWhole.begin(), kWhole.end(), ends) ? Split::whole : Split::first_axis;
}

bool fits(const at::Tensor& part, const at::Tensor& first, Split split) {
  if (part.scalar_type() != first.scalar_type() || part.dim() != first.dim()) return false;
  if (split == Split::whole) return at::equal(part, first);
  const int64_t axis = split == Split::second_axis ? 1 : 0;
  if (first.dim() <= axis) return false;
  for (int64_t i = 0; i < first.dim(); ++i)
    if (part.size(i) != first.size(i)) return false;
  return true;
}

}  // namespace

checkpoint::TensorMap Config::join_shards(const std::vector<checkpoint::TensorFile>& shards) const {
  checkpoint::TensorMap joined;
  for (const auto& [name, first] : shards.front().tensors) {
    const Split split = split_of(name);
    std::vector<at::Tensor> parts;
    for (const checkpoint::TensorFile& shard : shards) {
      const auto found = shard.tensors.find(name);
      if (found == shard.tensors.end()) throw FormatError({.file = shard.path.string(), .field = name}, "a part of this tensor", "nothing");
      if (!fits(found->second, first, split))
        throw FormatError({.file = shard.path.string(), .field = name},
                          split == Split::whole ? "the same values as in the first part" : fmt::format("{} as in the first part", describe(first)),
                          split == Split::whole ? "others" : describe(found->second));
      parts.push_back(found->second);
    }
    joined[name] = split == Split::whole ? first : at::cat(parts, split == Split::second_axis ? 1 : 0);
  }
  for (const checkpoint::TensorFile& shard : shards)
    for (const auto& entry : shard.tensors)
      if (!joined.contains(entry.first))
        throw FormatError({.file = shard.path.string(), .field = entry.first}, "a tensor that every part has", "one of this part alone");
  return joined;
}

}  // namespace everlong::models::megalodon
