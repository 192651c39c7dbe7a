#include "apps/everlong/compute/eval_context.h"

#include <charconv>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/base/environment.h"
#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/lines.h"
#include "everlong/report/svg.h"
#include "everlong/train/context_evaluation.h"

namespace everlong::app {
namespace {

using Losses = std::vector<train::ContextLoss>;

int64_t parse_length(std::string_view text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  const int shift = unit.empty() ? 0 : unit == "k" || unit == "K" ? 10 : unit == "m" || unit == "M" ? 20 : -1;
  require(error == std::errc() && number >= 0 && number <= (int64_t{1} << 40) && shift >= 0,
          [&] { return Complaint{.where = "--context-lengths", .expected = "lengths like 0,1k,16k,1m", .got = fmt::format("'{}'", text)}; });
  return number << shift;
}

std::vector<int64_t> parse_lengths(std::string_view text) {
  std::vector<int64_t> lengths;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    lengths.push_back(parse_length(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return lengths;
}

/// "16k" where it is a round number of 1024.
std::string length_text(int64_t length) {
  if (length > 0 && length % (1 << 20) == 0) return fmt::format("{}m", length >> 20);
  return length > 0 && length % 1024 == 0 ? fmt::format("{}k", length >> 10) : fmt::format("{}", length);
}

void append_file(const std::string& file, const text::Tokenizer& tokenizer, std::vector<int32_t>& ids) {
  tokenizer.encode_into(io::read_document(file), ids, {.add_special = false, .parse_special = false});
}

nlohmann::ordered_json as_json(const std::string& file, const Losses& losses) {
  nlohmann::ordered_json lengths = nlohmann::ordered_json::array();
  for (const train::ContextLoss& loss : losses)
    lengths.push_back({{"history", loss.history},
                       {"nats_per_token", loss.nats_per_token()},
                       {"perplexity", loss.perplexity()},
                       {"bits_per_byte", loss.bits_per_byte()},
                       {"gain", loss.gain},
                       {"gain_error", loss.gain_error},
                       {"repeated", loss.repeated},
                       {"seconds", loss.seconds}});
  return {{"file", file}, {"tokens", losses.front().tokens}, {"bytes", losses.front().bytes}, {"lengths", lengths}};
}

void print_losses(const std::string& file, const Losses& losses) {
  Table table({{.title = "history"},
               {.title = "nats/token", .align = Align::right},
               {.title = "ppl", .align = Align::right},
               {.title = "bits/byte", .align = Align::right},
               {.title = fmt::format("nats less than after {}", length_text(losses.front().history)), .align = Align::right}});
  for (const train::ContextLoss& loss : losses)
    table.add_row({length_text(loss.history) + (loss.repeated > 0 ? fmt::format(" (texts repeated {}x)", loss.repeated) : ""),
                   fmt::format("{:.4f}", loss.nats_per_token()), fmt::format("{:.3f}", loss.perplexity()),
                   fmt::format("{:.4f}", loss.bits_per_byte()),
                   loss.history == losses.front().history ? "-" : fmt::format("{:+.4f} +- {:.4f}", loss.gain, loss.gain_error)});
  print(fmt::format("{}: the same {} tokens ({} bytes)\n{}", printable(file), losses.front().tokens, losses.front().bytes, table.text()));
}

void draw(const EvalOptions& options, const std::vector<Losses>& all) {
  std::vector<report::SvgSeries> series;
  for (size_t i = 0; i < all.size(); ++i) {
    report::SvgSeries one{.name = std::filesystem::path(options.files[i]).filename().string()};
    for (const train::ContextLoss& loss : all[i])
      one.points.emplace_back(static_cast<double>(loss.history) + static_cast<double>(options.window_len) / 2, loss.nats_per_token());
    series.push_back(std::move(one));
  }
  const report::SvgOptions how{.title = "The same tokens after histories of several lengths",
                               .x_label = "tokens of context (mean over the scored window)",
                               .y_label = "nats per token",
                               .log_x = true};
  io::atomic_write_text(options.plot, report::line_chart_svg(series, how));
  log_info("wrote " + options.plot);
}

}  // namespace

int run_eval_context(const EvalOptions& options) {
  train::ContextOptions context{.lengths = parse_lengths(options.context_lengths), .windows = options.windows, .window_len = options.window_len};
  context.segment = options.segment.value_or(std::max<int64_t>(1, 8192 / options.windows));
  const LoadedLm lm = load_lm(options.model, options.compute);
  std::vector<int32_t> before;
  for (const std::string& file : options.history) append_file(file, *lm.tokenizer, before);
  Progress progress;
  context.progress = [&](int64_t tokens) { progress.update({.step = tokens, .memory_bytes = process_memory().resident_bytes}); };
  std::vector<Losses> all;
  for (const std::string& file : options.files) {
    std::vector<int32_t> text;
    append_file(file, *lm.tokenizer, text);
    all.push_back(train::evaluate_context(*lm.model, *lm.tokenizer, before, text, context));
  }
  progress.clear();
  if (!options.plot.empty()) draw(options, all);
  if (!options.json) {
    for (size_t i = 0; i < all.size(); ++i) print_losses(options.files[i], all[i]);
    return kSuccess;
  }
  nlohmann::ordered_json object = {{"model", lm.folder.string()}, {"windows", options.windows}, {"window", options.window_len}};
  object["files"] = nlohmann::ordered_json::array();
  for (size_t i = 0; i < all.size(); ++i) object["files"].push_back(as_json(options.files[i], all[i]));
  object["peak_resident_bytes"] = process_memory().peak_resident_bytes;
  print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  return kSuccess;
}

}  // namespace everlong::app
