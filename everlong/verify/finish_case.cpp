#include "everlong/verify/finish_case.h"

#include <algorithm>

#include "everlong/tensor/torch.h"

namespace everlong::verify {
namespace {

std::string reason_not_covered(const std::string& name) {
  if (name.ends_with("_f32")) return "float32 twin of a tensor that is compared";
  if (name.find("hf_") != std::string::npos) return "what transformers returns where it is known to be wrong";
  return "nothing computes it in this dtype";
}

}  // namespace

double default_tolerance(at::ScalarType dtype) { return dtype == at::kDouble ? 1e-9 : dtype == at::kFloat ? 1e-5 : 3e-2; }

bool all_ok(const std::vector<Item>& items) {
  return !items.empty() && std::all_of(items.begin(), items.end(), [](const Item& item) { return item.ok; });
}

CaseResult finish_case(const std::string& name, Tensors computed, const Tensors& expected, const VerifyOptions& options,
                       const std::function<bool(const std::string&)>& is_input) {
  CaseResult result{.name = name};
  result.items = compare(computed, expected, options.tolerance.value_or(default_tolerance(options.dtype)));
  for (const auto& item : expected)
    if (!computed.contains(item.first) && !is_input(item.first)) result.not_covered.push_back({item.first, reason_not_covered(item.first)});
  result.ok = all_ok(result.items);
  result.computed = std::move(computed);
  return result;
}

}  // namespace everlong::verify
