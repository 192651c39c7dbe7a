// The parts of a model that the release trained on several devices, joined.
// Source   specification 7.2: the residual stream is split over features, projections over their outputs or inputs.

#include <array>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

enum class Split { first_axis, second_axis, whole };

/// How the release splits its tensors, by the ends of their names.
constexpr std::array<std::pair<std::string_view, Split>, 33> kSplits{{{"embed.weight", Split::second_axis},
                                                                      {"output.output.weight", Split::second_axis},
                                                                      {"mega.wh2.weight", Split::second_axis},
                                                                      {"nffn.fc2.weight", Split::second_axis},
                                                                      {"mega.gamma", Split::second_axis},
                                                                      {"mega.beta", Split::second_axis},
                                                                      {"mega.rmsnorm.weight", Split::whole},
                                                                      {"nffn.norm.weight", Split::whole},
                                                                      {"nffn.norm.bias", Split::whole},
                                                                      {"nffn.alpha", Split::whole},
                                                                      {"rope.freqs", Split::whole},
                                                                      {"prior_count", Split::whole},
                                                                      {"timenorm.weight", Split::first_axis},
                                                                      {"timenorm.bias", Split::first_axis},
                                                                      {"final_norm.weight", Split::first_axis},
                                                                      {"final_norm.bias", Split::first_axis},
                                                                      {"prior_mean", Split::first_axis},
                                                                      {"prior_logv", Split::first_axis},
                                                                      {"cema.alpha", Split::first_axis},
                                                                      {"cema.delta", Split::first_axis},
                                                                      {"cema.theta", Split::first_axis},
                                                                      {"cema.gamma", Split::first_axis},
                                                                      {"cema.omega", Split::first_axis},
                                                                      {"mega.wz.weight", Split::first_axis},
                                                                      {"mega.wz.bias", Split::first_axis},
                                                                      {"mega.wv.weight", Split::first_axis},
                                                                      {"mega.wv.bias", Split::first_axis},
                                                                      {"mega.wr.weight", Split::first_axis},
                                                                      {"mega.wr.bias", Split::first_axis},
                                                                      {"mega.wh1.weight", Split::first_axis},
                                                                      {"mega.wh1.bias", Split::first_axis},
                                                                      {"nffn.fc1.weight", Split::first_axis},
                                                                      {"nffn.fc3.weight", Split::first_axis}}};

Split split_of(const std::string& name, const std::string& file) {
  for (const auto& [end, split] : kSplits)
    if (name.ends_with(end)) return split;
  throw FormatError({.file = file, .field = name}, "a tensor of the release, so that it is known how it was split", "another name");
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
    const Split split = split_of(name, shards.front().path.string());
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
