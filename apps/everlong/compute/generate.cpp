#include <random>
#include <set>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/compute/generate_search.h"
#include "apps/everlong/compute/runs.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/interrupt.h"
#include "apps/everlong/output.h"
#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/generate/session.h"
#include "everlong/text/chat_format.h"

namespace everlong::app {
namespace {

const char* reason_text(generate::StopReason reason) {
  switch (reason) {
    case generate::StopReason::length: return "length";
    case generate::StopReason::stop_text: return "stop";
    case generate::StopReason::end_token: return "end_token";
    case generate::StopReason::callback: return "interrupted";
  }
  return "length";
}

/// "state 1.3 MiB, 336 KiB a layer"
std::string state_text(const models::Model& model, int64_t bytes) {
  std::set<std::string_view> layers;
  for (const nn::SlotSpec& slot : model.state_layout().slots())
    if (slot.name.starts_with("layers.")) layers.insert(std::string_view(slot.name).substr(0, slot.name.find('.', 7)));
  const std::string all = "state " + human_bytes(bytes);
  return layers.empty() ? all : fmt::format("{}, {} a layer", all, human_bytes(bytes / static_cast<int64_t>(layers.size())));
}

}  // namespace

int run_generate(const GenerateOptions& options) {
  if (wants_search(options)) return run_search(options);
  const LoadedLm lm = load_lm(options.model, options.compute, LmUse::decoding);
  generate::Session session(lm.model, lm.tokenizer);
  if (!options.state_in.empty()) session.load(options.state_in);
  const std::string prompt = given_text(options.prompt, options.prompt_file);
  if (options.chat) {
    const auto format = text::load_chat_format(lm.folder, *lm.tokenizer);
    session.read_tokens(lm.tokenizer->encode(text::chat_prompt(format, prompt, !options.state_in.empty()), {.add_special = false}));
  } else {
    session.read(prompt);
  }

  const uint64_t seed = options.seed ? static_cast<uint64_t>(*options.seed) : std::random_device{}();
  const InterruptScope interrupt;
  generate::GenerateOptions how{.max_tokens = options.max_tokens,
                                .sampling = {.temperature = options.temperature,
                                             .top_k = options.top_k,
                                             .top_p = options.top_p,
                                             .min_p = options.min_p,
                                             .repetition_penalty = options.repetition_penalty},
                                .seed = seed,
                                .stop = options.stop};
  how.on_text = [&](std::string_view text) {
    if (!options.json) {
      print(text);
      flush_output();
    }
    return !interrupt.requested();
  };
  const generate::Generated result = session.generate(how);
  if (!options.state_out.empty()) session.save(options.state_out);
  const double rate = result.seconds > 0 ? static_cast<double>(result.tokens.size()) / result.seconds : 0;
  if (options.json) {
    const nlohmann::ordered_json object = {{"text", result.text},         {"tokens", result.tokens},          {"stop_reason", reason_text(result.reason)},
                                           {"seed", seed},                {"position", session.position()},   {"state_bytes", session.state_bytes()},
                                           {"seconds", result.seconds},   {"tokens_per_s", rate}};
    print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    print("\n");
    log_info(fmt::format("{} tokens, {:.1f} tokens/s, seed {}, stopped by {}; {} after {} tokens", result.tokens.size(), rate, seed,
                         reason_text(result.reason), state_text(lm.model->model(), session.state_bytes()), session.position()));
  }
  if (result.reason == generate::StopReason::callback) throw Interrupted{};
  return kSuccess;
}

}  // namespace everlong::app
