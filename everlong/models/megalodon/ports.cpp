#include "everlong/models/megalodon/ports.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "everlong/checkpoint/name_table.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

constexpr std::string_view kBase = "model.";
constexpr std::array<std::string_view, 2> kTurnedFirst = {"mega.wz.weight", "mega.wz.bias"};
constexpr std::array<std::string_view, 2> kTurnedLast = {"mega.gamma", "mega.beta"};
constexpr std::array<std::string_view, 4> kExtraBiases = {".attn.wh2.bias", ".ffn.fc1.bias", ".ffn.fc2.bias", ".ffn.fc3.bias"};

/// Ours = the release's names, theirs = the ports'.
std::vector<checkpoint::NameRule> make_rules() {
  std::vector<checkpoint::NameRule> rules = {{"embed.weight", "model.embed.weight"},
                                             {"output.final_norm.weight", "model.norm.weight"},
                                             {"output.final_norm.bias", "model.norm.bias"},
                                             {"output.output.weight", "lm_head.weight"},
                                             {"layers.*.mega.rmsnorm.weight", "model.layers.*.attn.rmsnorm.gamma"}};
  for (const char* name : {"timenorm.weight", "timenorm.bias", "cema.alpha", "cema.delta", "cema.theta", "cema.omega", "wz.weight", "wz.bias",
                           "wv.weight", "wv.bias", "wr.weight", "wr.bias", "wh1.weight", "wh1.bias", "wh2.weight", "gamma", "beta"})
    rules.push_back({fmt::format("layers.*.mega.{}", name), fmt::format("model.layers.*.attn.{}", name)});
  for (const char* name : {"norm.weight", "norm.bias", "fc1.weight", "fc2.weight", "fc3.weight", "alpha"})
    rules.push_back({fmt::format("layers.*.nffn.{}", name), fmt::format("model.layers.*.ffn.{}", name)});
  return rules;
}

const std::vector<checkpoint::NameRule>& rules() {
  static const std::vector<checkpoint::NameRule> made = make_rules();
  return made;
}

template <size_t N>
bool ends_with_any(std::string_view name, const std::array<std::string_view, N>& ends) {
  return std::any_of(ends.begin(), ends.end(), [&](std::string_view end) { return name.ends_with(end); });
}

/// The axis of features as heads, `rows` and columns, rows and columns exchanged.
at::Tensor exchange(const at::Tensor& x, int64_t num_heads, bool last, bool halves) {
  const int64_t axis = last ? x.dim() - 1 : 0, pairs = x.size(axis) / num_heads / 2;
  const int64_t rows = halves ? 2 : pairs, columns = halves ? pairs : 2;
  return x.unflatten(axis, {num_heads, rows, columns}).transpose(axis + 1, axis + 2).flatten(axis, axis + 2).contiguous();
}

}  // namespace

std::optional<std::string> port_name(std::string_view release_name) { return checkpoint::to_public_name(rules(), release_name); }

std::optional<std::string> release_name(std::string_view port_name) {
  auto name = checkpoint::to_own_name(rules(), port_name);
  return name ? name : checkpoint::to_own_name(rules(), fmt::format("{}{}", kBase, port_name));
}

at::Tensor halves_to_pairs(const at::Tensor& x, int64_t num_heads, bool last) { return exchange(x, num_heads, last, true); }
at::Tensor pairs_to_halves(const at::Tensor& x, int64_t num_heads, bool last) { return exchange(x, num_heads, last, false); }

TurnedFeatures turned_features(std::string_view release_name) {
  const bool first = ends_with_any(release_name, kTurnedFirst), last = ends_with_any(release_name, kTurnedLast);
  return {.turned = first || last, .last = last};
}

bool is_extra_bias(std::string_view port_name) { return ends_with_any(port_name, kExtraBiases); }

at::Tensor fixed_ffn_scale(int64_t layer, int64_t model_dim) {
  return at::full({model_dim}, 0.1 * std::pow(0.5, static_cast<double>(layer)), at::kFloat);
}

}  // namespace everlong::models::megalodon
