#include "everlong/models/state_diff.h"

#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"

namespace everlong::app {
namespace {

using Json = nlohmann::ordered_json;

/// JSON has no infinity: null is "cannot be compared".
Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

void print_json(const models::StateDifference& difference, bool same) {
  Json slots = Json::array(), metadata = Json::array();
  for (const models::SlotDifference& slot : difference.slots)
    slots.push_back({{"name", slot.name}, {"left", slot.left}, {"right", slot.right}, {"max_abs", number_or_null(slot.max_abs)}});
  for (const models::MetadataDifference& line : difference.metadata)
    metadata.push_back({{"key", line.key}, {"left", line.left}, {"right", line.right}});
  const Json object = {{"same", same},
                       {"max_abs", number_or_null(difference.max_abs())},
                       {"positions", {{"left", difference.left_positions}, {"right", difference.right_positions}}},
                       {"metadata", metadata},
                       {"slots", slots}};
  print(object.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

void print_text(const models::StateDifference& difference, bool same, double tolerance) {
  Table slots({{.title = "slot"}, {.title = "left"}, {.title = "right"}, {.title = "max abs difference", .align = Align::right}, {.title = "same"}});
  for (const models::SlotDifference& slot : difference.slots)
    slots.add_row({printable(slot.name), slot.left, slot.right, fmt::format("{:.3g}", slot.max_abs), slot.max_abs <= tolerance ? "yes" : "NO"});
  print(slots.text());
  if (difference.left_positions != difference.right_positions)
    print(fmt::format("positions: [{}] and [{}]\n", fmt::join(difference.left_positions, ", "), fmt::join(difference.right_positions, ", ")));
  for (const models::MetadataDifference& line : difference.metadata)
    print(fmt::format("{}: {} and {}\n", printable(line.key), printable(line.left), printable(line.right)));
  print(same ? "the same\n" : "different\n");
}

}  // namespace

int run_state_diff(const StateOptions& options) {
  const models::StateDifference difference = models::compare_states(options.file, options.other);
  const bool same = difference.same(options.tolerance);
  if (options.json) {
    print_json(difference, same);
  } else {
    print_text(difference, same, options.tolerance);
  }
  return same ? kSuccess : kFailure;
}

}  // namespace everlong::app
