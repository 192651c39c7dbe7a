#include "apps/everlong/compute/generate_search.h"

#include <algorithm>
#include <chrono>
#include <random>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/common.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/interrupt.h"
#include "apps/everlong/output.h"
#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/generate/search.h"
#include "everlong/io/lines.h"
#include "everlong/models/encoder_decoder_directory.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/run_directory.h"

namespace everlong::app {
namespace {

struct LoadedPair {
  std::shared_ptr<models::EncoderDecoder> model;
  std::shared_ptr<const text::Tokenizer> tokenizer;
};

LoadedPair load_pair(const std::filesystem::path& folder, const ComputeOptions& options) {
  const at::ScalarType dtype = torch_dtype(options.dtype.value_or(Dtype::f32));
  auto from_disk = models::load_encoder_decoder(folder, dtype == at::kDouble ? at::kDouble : at::kFloat);
  for (const std::string& note : from_disk.notes) log_warning(note);
  LoadedPair loaded{.model = std::move(from_disk.model), .tokenizer = text::load_tokenizer(folder)};
  const int64_t vocab_size = std::min(loaded.model->encoder().model().vocab_size(), loaded.model->decoder().model().vocab_size());
  const std::string where = folder.string();
  require(loaded.tokenizer->vocab_size() <= vocab_size, [&] {
    return Complaint{.where = where,
                     .expected = fmt::format("a tokenizer of at most {} tokens, the smaller vocabulary of encoder and decoder", vocab_size),
                     .got = fmt::format("{} tokens", loaded.tokenizer->vocab_size()),
                     .hint = "one tokenizer serves both halves"};
  });
  loaded.model->to(torch_device(options.device));
  loaded.model->set_compute_dtype(dtype);
  return loaded;
}

void refuse(bool given, const char* option, const char* expected) {
  require(!given, [&] { return Complaint{.where = option, .expected = expected, .got = option}; });
}

at::Tensor as_row(const std::vector<int32_t>& ids, at::Device device) {
  return at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong).unsqueeze(0).to(device);
}

/// What a run of the search found, and what it read.
struct Found {
  generate::SearchResult result;
  std::shared_ptr<const text::Tokenizer> tokenizer;
  size_t tokens_read = 0;
};

Found search_target(const std::filesystem::path& folder, const GenerateOptions& options, const generate::SearchOptions& how) {
  refuse(options.prompt || options.prompt_file, "--prompt", "--source: this model reads one text and writes another");
  require(options.source || options.source_file,
          [] { return Complaint{.where = "generate", .expected = "--source or --source-file", .got = "neither"}; });
  const LoadedPair pair = load_pair(folder, options.compute);
  const auto ids = pair.tokenizer->encode(given_text(options.source, options.source_file));
  require(!ids.empty(), [] { return Complaint{.where = "--source", .expected = "a text", .got = "nothing"}; });
  generate::SearchOptions search = how;
  if (pair.tokenizer->special_ids().eos) search.end_token = *pair.tokenizer->special_ids().eos;
  if (pair.model->config().eos_token_id >= 0) search.end_token = pair.model->config().eos_token_id;
  const at::Device device = pair.model->encoder().model().embedding_weight().device();
  return {.result = generate::search(*pair.model, {.tokens = as_row(ids, device)}, search), .tokenizer = pair.tokenizer, .tokens_read = ids.size()};
}

Found search_continuation(const GenerateOptions& options, const generate::SearchOptions& how) {
  refuse(options.source || options.source_file, "--source", "--prompt: this model continues a text");
  const LoadedLm lm = load_lm(options.model, options.compute, LmUse::decoding);
  const auto ids = lm.tokenizer->encode(given_text(options.prompt, options.prompt_file));
  require(!ids.empty(), [] { return Complaint{.where = "generate", .expected = "--prompt or --prompt-file with a text", .got = "nothing"}; });
  generate::SearchOptions search = how;
  if (lm.tokenizer->special_ids().eos) search.end_token = *lm.tokenizer->special_ids().eos;
  const at::Device device = lm.model->model().embedding_weight().device();
  return {.result = generate::search(*lm.model, {.tokens = as_row(ids, device)}, search), .tokenizer = lm.tokenizer, .tokens_read = ids.size()};
}

/// Cuts at the first stop text. Returns  whether there was one
bool cut_at_stop(std::string& text, const std::vector<std::string>& stops) {
  size_t first = std::string::npos;
  for (const std::string& stop : stops)
    if (!stop.empty()) first = std::min(first, text.find(stop));
  if (first == std::string::npos) return false;
  text.resize(first);
  return true;
}

generate::SearchOptions search_options(const GenerateOptions& options, uint64_t seed) {
  generate::SearchOptions how{.num_beams = options.num_beams,
                              .max_new_tokens = options.max_tokens,
                              .length_penalty = options.length_penalty,
                              .no_repeat_ngram_size = options.no_repeat_ngram,
                              .repetition_penalty = options.repetition_penalty,
                              .seed = seed};
  if (options.num_beams == 1)
    how.sampling =
        generate::SamplingOptions{.temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p, .min_p = options.min_p};
  return how;
}

}  // namespace

std::string given_text(const std::optional<std::string>& text, const std::optional<std::string>& file) {
  if (text) return *text;
  if (!file) return {};
  return io::read_document(*file == "-" ? std::filesystem::path("/dev/stdin") : std::filesystem::path(*file));
}

bool wants_search(const GenerateOptions& options) {
  return options.num_beams > 1 || options.source || options.source_file || models::holds_encoder_decoder(train::resolve_model_path(options.model));
}

int run_search(const GenerateOptions& options) {
  refuse(!options.state_in.empty(), "--state-in", "one beam and a model that continues a text");
  refuse(!options.state_out.empty(), "--state-out", "one beam and a model that continues a text");
  const uint64_t seed = options.seed ? static_cast<uint64_t>(*options.seed) : std::random_device{}();
  const InterruptScope interrupt;
  generate::SearchOptions how = search_options(options, seed);
  how.on_step = [&](int64_t) { return !interrupt.requested(); };
  const auto start = std::chrono::steady_clock::now();
  const std::filesystem::path folder = train::resolve_model_path(options.model);
  const Found found = models::holds_encoder_decoder(folder) ? search_target(folder, options, how) : search_continuation(options, how);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  const generate::Continuation& best = found.result.rows.at(0).at(0);
  const std::vector<int32_t> ids(best.tokens.begin(), best.tokens.end());
  std::string text = found.tokenizer->decode(ids);
  const char* reason = best.ended ? "end_token" : found.result.interrupted ? "interrupted" : "length";
  if (cut_at_stop(text, options.stop)) reason = "stop";
  if (options.json) {
    const nlohmann::ordered_json object = {{"text", text},
                                           {"tokens", ids},
                                           {"stop_reason", reason},
                                           {"score", best.score},
                                           {"seed", seed},
                                           {"num_beams", options.num_beams},
                                           {"tokens_read", found.tokens_read},
                                           {"seconds", seconds}};
    print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    print(text + "\n");
    log_info(fmt::format("{} tokens in {:.1f} s with loading, score {:.4f}, stopped by {}", ids.size(), seconds, best.score, reason));
  }
  if (found.result.interrupted) throw Interrupted{};
  return kSuccess;
}

}  // namespace everlong::app
