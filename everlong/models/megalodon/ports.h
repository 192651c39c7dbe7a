#pragma once
// What the ports megalodon-hf and megalodon-jax name and store otherwise than the release.

#include <optional>
#include <string>
#include <string_view>

#include <ATen/core/Tensor.h>

namespace everlong::models::megalodon {

/// The ports' name of a tensor of the release, the same in both; none for buffers, which they do not store, and for cema.gamma.
[[nodiscard]] std::optional<std::string> port_name(std::string_view release_name);
/// The opposite way; "model." may be missing, as in files of megalodon-hf's bare model.
[[nodiscard]] std::optional<std::string> release_name(std::string_view port_name);

/// Features of queries and keys, head by head: a port that turns feature j with j + z / 2 into the release's order, which turns 2j with 2j + 1.
/// Shapes  the axis of features is the first of x [Z], [Z, D] and the last of x [2, Z] if `last`; z = Z / num_heads
[[nodiscard]] at::Tensor halves_to_pairs(const at::Tensor& x, int64_t num_heads, bool last = false);
[[nodiscard]] at::Tensor pairs_to_halves(const at::Tensor& x, int64_t num_heads, bool last = false);

/// True for the tensors of a layer, by the ends of their names in the release, whose features halves_to_pairs reorders; `last` says along which axis.
struct TurnedFeatures {
  bool turned = false;
  bool last = false;
};
[[nodiscard]] TurnedFeatures turned_features(std::string_view release_name);

/// Biases that megalodon-hf's projections have beside those of the release, by the ends of their names.
[[nodiscard]] bool is_extra_bias(std::string_view port_name);

/// The scale of a block's feed-forward network that megalodon-hf computes instead of storing it. Shapes  returns [D]
[[nodiscard]] at::Tensor fixed_ffn_scale(int64_t layer, int64_t model_dim);

inline constexpr std::string_view kJaxFormat = "megalodon-jax";
/// The storage conventions that files of megalodon-jax declare, with the only values that are known.
inline constexpr std::pair<std::string_view, std::string_view> kJaxConventions[] = {
    {"rope_layout", "adjacent_pair"}, {"normalization_storage", "plus_one"}, {"bias_schema", "upstream"}};

}  // namespace everlong::models::megalodon
