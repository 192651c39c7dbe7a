#include "ema_lm/config.h"

#include "ema_lm/model.h"

namespace everlong::models::ema_lm {

Fields Config::fields() {
  Fields fields;
  fields.add("vocab_size", vocab_size, "tokens in the vocabulary (V)", {.min = 1})
      .add("hidden_size", hidden_size, "model width (D)", {.min = 1})
      .add("num_hidden_layers", num_hidden_layers, "blocks", {.min = 1})
      .add("ema_ndim", ema_ndim, "moving averages a channel (N)", {.min = 1})
      .add("initializer_range", initializer_range, "standard deviation of initial matrices", {.min = 0})
      .add("pad_token_id", pad_token_id, "padding; -1 = none", {.min = -1})
      .add("bos_token_id", bos_token_id, "begins a sequence; -1 = none", {.min = -1})
      .add("eos_token_id", eos_token_id, "ends a sequence; -1 = none", {.min = -1});
  return fields;
}

std::shared_ptr<Model> Config::build() const {
  validate();
  return std::make_shared<EmaModel>(*this);
}

std::vector<checkpoint::NameRule> Config::name_rules(Task /*task*/) const {
  return {{"model.embedding.weight", "embedding.weight"},
          {"head.output.weight", "lm_head.weight"},  // named although it is tied: a file may hold it
          {"model.norm", "norm.weight"},
          {"model.layers.*.norm", "layers.*.norm.weight"},
          {"model.layers.*.decay", "layers.*.ema.decay"},
          {"model.layers.*.coefficients", "layers.*.ema.coefficients"},
          {"model.layers.*.gate.weight", "layers.*.gate.weight"},
          {"model.layers.*.gate.bias", "layers.*.gate.bias"},
          {"model.layers.*.output.weight", "layers.*.output.weight"},
          {"model.layers.*.output.bias", "layers.*.output.bias"}};
}

int64_t Config::parameter_count() const {
  const int64_t D = hidden_size, N = ema_ndim;
  return vocab_size * D + num_hidden_layers * (2 * D * N + 2 * (D * D + D) + D) + D;
}

int64_t Config::state_bytes_per_row(int64_t /*position*/, int64_t element_bytes) const {
  return num_hidden_layers * hidden_size * ema_ndim * (element_bytes == 8 ? 8 : 4) + 8;  // 8: the row's position
}

int64_t Config::activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const {
  const int64_t D = hidden_size, layer = 7 * D * element_bytes + D * 4;
  return num_tokens * (checkpointed ? num_hidden_layers * D * element_bytes + layer : num_hidden_layers * layer);
}

}  // namespace everlong::models::ema_lm
