#include <cmath>
#include <limits>

#include "everlong/tensor/torch.h"
#include "everlong/verify/golden_case.h"

namespace everlong::verify {
namespace {

double rms(const at::Tensor& x) { return x.numel() == 0 ? 0 : std::sqrt(x.to(at::kDouble).square().mean().item<double>()); }

/// Tensors of one kind share the scale of their rounding: all gradients, all logits, all states.
std::string kind_of(const std::string& name) {
  const auto starts = [&](const char* prefix) { return name.rfind(prefix, 0) == 0; };
  if (starts("grad")) return "gradient";
  if (starts("cache.") && name.find("logits") == std::string::npos) return name.substr(name.rfind('.'));
  if (starts("hidden_states")) return "hidden";
  if (starts("attentions")) return "attention";
  if (name.find("logits") != std::string::npos) return "logits";
  if (name.find("loss") != std::string::npos) return "loss";
  return name;
}

Item compare_one(const std::string& name, const at::Tensor& x, const at::Tensor& e, double scale, double tolerance) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const bool exact = !e.is_floating_point();
  Item item{.name = name, .max_abs = kInfinity, .rel_rms = kInfinity, .tolerance = exact ? 0 : tolerance};
  if (x.sizes() == e.sizes()) {
    const at::Tensor error = x.to(at::kDouble) - e.to(at::kDouble);
    item.max_abs = error.numel() == 0 ? 0 : error.abs().max().item<double>();
    const double size = rms(e) + 1e-3 * scale;
    item.rel_rms = rms(error) == 0 ? 0 : rms(error) / size;
  }
  item.ok = item.rel_rms <= item.tolerance;  // false for NaN
  return item;
}

}  // namespace

std::vector<Item> compare(const std::map<std::string, at::Tensor>& computed, const std::map<std::string, at::Tensor>& expected, double tolerance) {
  std::map<std::string, double> scales;
  for (const auto& [name, tensor] : expected) {
    double& scale = scales[kind_of(name)];
    scale = std::max(scale, rms(tensor));
  }
  std::vector<Item> items;
  for (const auto& [name, tensor] : computed) {
    const auto found = expected.find(name);
    if (found != expected.end()) items.push_back(compare_one(name, tensor, found->second, scales[kind_of(name)], tolerance));
  }
  return items;
}

}  // namespace everlong::verify
