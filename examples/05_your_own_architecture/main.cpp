// Holds the architecture in ema_lm/ to the promises of the conformance suite, in small. Prints one line a promise; exit status 1 if one is broken.

#include <cstdio>
#include <exception>
#include <filesystem>

#include <fmt/format.h>

#include "ema_lm/config.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/models/state_file.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::ema_lm {
std::unique_ptr<ArchitectureConfig> tiny_config();
}

namespace {

using everlong::models::ArchitectureConfig;
using everlong::models::CausalLm;

bool all_kept = true;

void promise(const char* what, bool kept) {
  fmt::print("{:<7} {}\n", kept ? "kept" : "BROKEN", what);
  all_kept = all_kept && kept;
}

double difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

void pieces_equal_the_whole(CausalLm& model, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  const auto whole = model.forward({.tokens = tokens}, model.model().initial_state(2));
  everlong::nn::State state = model.model().initial_state(2);
  std::vector<at::Tensor> logits;
  int64_t begin = 0;
  for (const int64_t len : {1, 7, 1, 13, 8}) {
    auto part = model.forward({.tokens = tokens.narrow(1, begin, len)}, std::move(state));
    logits.push_back(part.logits);
    state = std::move(part.state);
    begin += len;
  }
  promise("a sequence in pieces gives the logits of one call", difference(at::cat(logits, 1), whole.logits) < 1e-11);
  promise("and its final state", difference(state.tensors()[1], whole.state.tensors()[1]) < 1e-11);
  promise("the bytes of a state are known beforehand", state.bytes() == 2 * model.config().state_bytes_per_row(30, 8));
}

void state_survives_the_disk(CausalLm& model, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  const auto file = std::filesystem::temp_directory_path() / "example_own_architecture.state";
  const auto& layout = model.model().state_layout();
  auto first = model.forward({.tokens = tokens.narrow(1, 0, 11)}, model.model().initial_state(2));
  everlong::models::save_state(file, first.state, layout, model.config(), "no tokenizer");
  auto loaded = everlong::models::load_state(file, layout, model.config(), "no tokenizer").state;
  std::filesystem::remove(file);
  const auto direct = model.forward({.tokens = tokens.narrow(1, 11, 19)}, std::move(first.state));
  const auto resumed = model.forward({.tokens = tokens.narrow(1, 11, 19)}, std::move(loaded));
  promise("a state saved and loaded continues bit for bit", at::equal(direct.logits, resumed.logits));
}

void documents_do_not_meet(CausalLm& model, const at::Tensor& tokens) {
  const at::NoGradGuard no_grad;
  const auto documents = at::zeros({2, 30}, at::kLong);
  documents.narrow(1, 12, 18).fill_(1);
  const auto packed = model.forward({.tokens = tokens, .document_ids = documents});
  const auto alone = model.forward({.tokens = tokens.narrow(1, 12, 18)});
  promise("packed documents equal separate ones", difference(packed.logits.narrow(1, 12, 18), alone.logits) < 1e-11);
  const auto valid = at::ones({2, 30}, at::kBool);
  valid[1].narrow(0, 20, 10).fill_(false);
  const auto padded = model.forward({.tokens = tokens, .valid = valid});
  const auto shorter = model.forward({.tokens = tokens.narrow(1, 0, 20)});
  promise("padding on the right changes nothing", difference(padded.logits[1].narrow(0, 0, 20), shorter.logits[1]) < 1e-11 &&
                                                      difference(padded.state.tensors()[0][1], shorter.state.tensors()[0][1]) < 1e-11);
}

void gradients_reach_everything(CausalLm& model, const at::Tensor& tokens) {
  const auto loss = model.loss({.tokens = tokens.narrow(1, 0, 29)}, tokens.narrow(1, 1, 29));
  loss.mean.backward();
  bool all = true;
  for (const auto& item : model.named_parameters()) {
    const at::Tensor gradient = item.value().grad();
    const bool flows = gradient.defined() && gradient.isfinite().all().item<bool>() && gradient.abs().max().item<double>() > 0;
    if (!flows) fmt::print("        no gradient: {}\n", item.key());
    all = all && flows;
  }
  promise("every parameter receives a gradient", all);
  promise("the parameter count is the closed form", everlong::models::count_parameters(model) == model.config().parameter_count());
}

}  // namespace

int main() {
  try {
    at::manual_seed(1);
    const auto config = everlong::models::ema_lm::tiny_config();
    CausalLm model(*config);
    model.to(at::kDouble);
    model.model().set_compute_dtype(at::kDouble);
    model.eval();
    const at::Tensor tokens = at::randint(config->vocabulary(), {2, 30}, at::kLong);
    pieces_equal_the_whole(model, tokens);
    state_survives_the_disk(model, tokens);
    documents_do_not_meet(model, tokens);
    gradients_reach_everything(model, tokens);
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
  return all_kept ? 0 : 1;
}
