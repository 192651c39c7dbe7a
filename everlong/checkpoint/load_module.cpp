#include "everlong/checkpoint/load_module.h"

#include <algorithm>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::checkpoint {
namespace {

bool shapes_agree(at::IntArrayRef theirs, at::IntArrayRef ours, bool trailing_one) {
  std::vector<int64_t> expected = ours.vec();
  if (trailing_one) expected.push_back(1);
  return theirs.vec() == expected || theirs == ours;
}

}  // namespace

TensorMap own_tensors(const torch::nn::Module& module) {
  TensorMap all;
  for (const auto& item : module.named_parameters()) all.emplace(item.key(), item.value());
  for (const auto& item : module.named_buffers()) all.emplace(item.key(), item.value());
  return all;
}

LoadReport load_into(torch::nn::Module& module, const TensorMap& tensors, const std::vector<NameRule>& rules, const std::string& base_prefix,
                     const std::string& file_name) {
  TensorMap targets = own_tensors(module);
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;
  LoadReport report;
  for (const auto& [theirs, value] : tensors) {
    auto ours = to_own_name(rules, theirs);
    if (!ours) ours = to_own_name(rules, base_prefix + theirs);
    if (ours && ours->empty()) {
      report.ignored.push_back(theirs);
      continue;
    }
    const auto target = ours ? targets.find(*ours) : targets.end();
    if (target == targets.end()) {
      report.unexpected.push_back(theirs);
      continue;
    }
    if (!shapes_agree(value.sizes(), target->second.sizes(), rule_for(rules, *ours)->trailing_one))
      throw FormatError({.file = file_name, .field = theirs}, shape_text(target->second.sizes()), shape_text(value.sizes()),
                        "config.json describes another model than the weights");
    copies.emplace_back(target->second, value.view(target->second.sizes()));
    report.loaded.push_back(theirs);
    targets.erase(target);
  }
  for (const auto& left : targets) report.missing.push_back(left.first);
  const at::NoGradGuard no_grad;
  for (auto& [target, value] : copies) target.copy_(value);
  return report;
}

TensorMap public_tensors(const torch::nn::Module& module, const std::vector<NameRule>& rules) {
  TensorMap named;
  for (const auto& [ours, tensor] : own_tensors(module)) {
    const NameRule* rule = rule_for(rules, ours);
    require(rule != nullptr, [&, name = ours] { return Complaint{.where = "name table", .expected = "a rule for every tensor", .got = name}; });
    named.emplace(*to_public_name(rules, ours), rule->trailing_one ? tensor.unsqueeze(-1) : tensor);
  }
  return named;
}

}  // namespace everlong::checkpoint
