#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/runs.h"
#include "apps/everlong/compute/tasks.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "everlong/models/heads/masked_lm.h"
#include "everlong/train/predict.h"

namespace everlong::app {
namespace {

using Fills = std::vector<std::vector<train::MaskFill>>;

nlohmann::ordered_json as_json(const std::string& text, const Fills& fills, const text::Tokenizer& tokenizer) {
  nlohmann::ordered_json masks = nlohmann::ordered_json::array();
  for (const auto& mask : fills) {
    nlohmann::ordered_json tokens = nlohmann::ordered_json::array();
    for (const train::MaskFill& fill : mask)
      tokens.push_back({{"id", fill.token}, {"token", tokenizer.token_bytes(fill.token)}, {"score", fill.score}});
    masks.push_back(std::move(tokens));
  }
  return {{"text", text}, {"masks", masks}};
}

void add_rows(Table& table, const std::string& text, const Fills& fills, const text::Tokenizer& tokenizer) {
  for (size_t i = 0; i < fills.size(); ++i)
    for (const train::MaskFill& fill : fills[i])
      table.add_row({printable(text), fmt::format("{}", i + 1), fmt::format("{:.4f}", fill.score), fmt::format("{}", fill.token),
                     fmt::format("'{}'", printable(tokenizer.token_bytes(fill.token)))});
}

}  // namespace

int run_fill_mask(const FillMaskOptions& options) {
  const LoadedTask loaded = load_task(options.model, models::Task::masked_lm, options.compute);
  auto& model = static_cast<models::MaskedLm&>(*loaded.model);
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  Table table({{.title = "text"}, {.title = "mask", .align = Align::right}, {.title = "score", .align = Align::right},
               {.title = "id", .align = Align::right}, {.title = "token"}});
  for (const std::string& text : options.texts) {
    const Fills fills = train::fill_masks(model, *loaded.tokenizer, text, options.top_k);
    if (options.json) {
      all.push_back(as_json(text, fills, *loaded.tokenizer));
    } else {
      add_rows(table, text, fills, *loaded.tokenizer);
    }
  }
  print(options.json ? all.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n" : table.text());
  return kSuccess;
}

}  // namespace everlong::app
