#include "everlong/models/megalodon/config.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/model.h"

namespace everlong::models::megalodon {
namespace {

template <class E, size_t N>
using Names = std::array<std::pair<std::string_view, E>, N>;

constexpr Names<InitMode, 5> kInitModes{
    {{"none", InitMode::none}, {"bert", InitMode::bert}, {"he", InitMode::he}, {"gaussian", InitMode::gaussian}, {"xavier", InitMode::xavier}}};
constexpr Names<AttentionDropout, 2> kAttentionDropouts{{{"post_softmax", AttentionDropout::post_softmax}, {"dropkey", AttentionDropout::dropkey}}};
constexpr Names<RopeFrequencies, 2> kRopeFrequencies{{{"exact", RopeFrequencies::exact}, {"from_file", RopeFrequencies::from_file}}};
constexpr Names<TsnPolicy, 3> kTsnPolicies{
    {{"exact", TsnPolicy::exact}, {"capped", TsnPolicy::capped}, {"upstream_window", TsnPolicy::upstream_window}}};

template <class E, size_t N>
std::span<const std::pair<std::string_view, E>> all(const Names<E, N>& names) {
  return names;
}

/// The released key that is null or the name of a fused kernel.
Field efficient_attn_field(std::string& value) {
  const auto get = [&value] { return value.empty() ? ConfigValue() : ConfigValue(value); };
  const auto accept = [&value](const ConfigValue& given) {
    const auto* text = std::get_if<std::string>(&given);
    if (text == nullptr && !std::holds_alternative<std::monostate>(given)) return false;
    if (text != nullptr && *text != "swift" && *text != "fused") return false;
    value = text == nullptr ? std::string() : *text;
    return true;
  };
  return {.key = "efficient_attn",
          .type = "one of swift, fused or null",
          .doc = "the release's attention kernel; says only which dropout it trained with",
          .get = get,
          .accept = accept};
}

void add_sizes(Fields& fields, Config& c) {
  fields.add("num_layers", c.num_layers, "blocks", {.min = 1})
      .add("model_dim", c.model_dim, "model width (D)", {.min = 2})
      .add("z_dim", c.z_dim, "width of queries and keys over all heads (Z)", {.min = 2})
      .add("value_dim", c.value_dim, "width of the attention value path over all heads (E)", {.min = 1})
      .add("num_heads", c.num_heads, "attention heads (H)", {.min = 1})
      .add("ffn_hidden_dim", c.ffn_hidden_dim, "feed-forward width (F)", {.min = 1})
      .add("cema_ndim", c.cema_ndim, "complex moving averages a channel (N)", {.min = 1})
      .add("chunk_size", c.chunk_size, "tokens in an attention chunk (C)", {.min = 1})
      .append(efficient_attn_field(c.efficient_attn))
      .add("init_mode", c.init_mode, "initial matrices; embedding and output do not depend on it", all(kInitModes))
      .add("vocab_size", c.vocab_size, "tokens in the vocabulary (V); -1 = the tokenizer's", {.min = -1})
      .add("output_size", c.output_size, "rows of the output matrix; -1 = vocab_size", {.min = -1})
      .add("norm_num_groups", c.norm_num_groups, "groups of the timestep norms (G)", {.min = 1});
}

void add_functions(Fields& fields, Config& c) {
  const NumberRange probability{.min = 0, .max = 0.999};
  fields.add("norm_affine", c.norm_affine, "RMS norm and feed-forward norm have learned parameters; timestep norms always have")
      .add("norm_eps", c.norm_eps, "added to every variance or mean square before its root", {.min = 0})
      .add("rope_base", c.rope_base, "base of the rotary frequencies; null = 10000", {.min = 1})
      .add("dropout", c.dropout, "dropout on embeddings and on the output of each half of a block", probability)
      .add("hidden_dropout", c.hidden_dropout, "dropout on the moving averages, the gated attention and inside the feed-forward network", probability)
      .add("attention_dropout", c.attention_dropout, "dropout on attention weights", probability)
      .add("swiglu", c.swiglu, "the feed-forward network has a linear branch that its activation gates")
      .add("rescale_nffn", c.rescale_nffn, "the output of the feed-forward network is scaled by a learned vector")
      .add("scale_emb", c.scale_emb, "embeddings are multiplied by sqrt(model_dim)")
      .add("share_emb", c.share_emb, "output matrix = token embedding")
      .add("layerwise_ckpt", c.layerwise_ckpt, "activation checkpointing of each block, unless the training says otherwise");
}

void add_own(Fields& fields, Config& c) {
  fields
      .add("attention_window", c.attention_window, "attend to the last so many tokens at absolute positions instead of to a chunk (W); null = chunks",
           {.min = 1})
      .add("attention_dropout_mode", c.attention_dropout_mode, "what attention_dropout drops: weights after the softmax, or keys before it",
           all(kAttentionDropouts))
      .add("rope_freqs", c.rope_freqs, "rotary frequencies: computed, or those of the file, which a bf16 release would have rounded",
           all(kRopeFrequencies))
      .add("tsn_policy", c.tsn_policy, "timestep norms of long streams: exact, forgetting (capped), or as the released evaluation does it",
           all(kTsnPolicies))
      .add("norm_count_cap", c.norm_count_cap, "with tsn_policy = capped: tokens that statistics remember; the newest counts at least 1 / this",
           {.min = 0})
      .add("causal", c.causal, "false: norms over the whole sequence and attention to both sides of a chunk, for classification")
      .add("pad_token_id", c.pad_token_id, "padding; -1 = none", {.min = -1})
      .add("bos_token_id", c.bos_token_id, "begins a sequence; -1 = none", {.min = -1})
      .add("eos_token_id", c.eos_token_id, "ends a sequence; -1 = none", {.min = -1});
}

}  // namespace

Fields Config::fields() {
  Fields fields;
  add_sizes(fields, *this);
  add_functions(fields, *this);
  add_own(fields, *this);
  return fields;
}

void Config::validate() const {
  const auto demand = [](bool ok, std::string_view expected, std::string got, std::string hint = {}) {
    require(ok, [&] {
      return Complaint{.where = "megalodon config", .expected = std::string(expected), .got = std::move(got), .hint = std::move(hint)};
    });
  };
  demand(z_dim % num_heads == 0, "z_dim to be a multiple of num_heads", fmt::format("{} and {}", z_dim, num_heads));
  demand(head_width() % 2 == 0, "an even width of queries in a head, z_dim / num_heads (rotary positions)", fmt::format("{}", head_width()));
  demand(value_dim % num_heads == 0, "value_dim to be a multiple of num_heads", fmt::format("{} and {}", value_dim, num_heads));
  demand(model_dim % norm_num_groups == 0, "model_dim to be a multiple of norm_num_groups", fmt::format("{} and {}", model_dim, norm_num_groups));
  demand(norm_num_groups < model_dim, "norm_num_groups below model_dim", fmt::format("{} groups of one feature", norm_num_groups),
         "the first token of a feature by itself has no variance");
  demand(norm_eps > 0, "norm_eps above 0", fmt::format("{}", norm_eps));
  demand(vocab_size != 0 && output_size != 0, "vocab_size and output_size -1 or >= 1", "0");
  demand(!share_emb || output_size == -1 || output_size == vocab_size, "output_size = -1 or vocab_size with share_emb",
         fmt::format("output_size {}, vocab_size {}", output_size, vocab_size));
  demand(tsn_policy != TsnPolicy::capped || norm_count_cap >= 1, "norm_count_cap >= 1 with tsn_policy = capped", fmt::format("{}", norm_count_cap));
  demand(tsn_policy == TsnPolicy::capped || norm_count_cap == 0, "norm_count_cap = 0 without tsn_policy = capped", fmt::format("{}", norm_count_cap));
  demand(causal || tsn_policy == TsnPolicy::exact, "tsn_policy = exact with causal = false", "a policy for streams");
  demand(causal || !attention_window, "chunks with causal = false", "attention_window");
  demand(pad_token_id < std::max<int64_t>(vocab_size, 1) || vocab_size < 0, fmt::format("pad_token_id below vocab_size = {}", vocab_size),
         fmt::format("{}", pad_token_id));
}

void Config::adopt_public_defaults(const KeySet& given) {
  if (!given.contains("attention_dropout_mode") && !efficient_attn.empty()) attention_dropout_mode = AttentionDropout::dropkey;
  if (given.contains("max_positions")) adopt_port_defaults(given);
}

std::shared_ptr<Model> Config::build() const {
  validate();
  require(vocab_size >= 1, [&] {
    return Complaint{.where = "megalodon config",
                     .expected = "vocab_size >= 1 when the model is built",
                     .got = fmt::format("{}", vocab_size),
                     .hint = "-1 stands for that of a tokenizer"};
  });
  return std::make_shared<MegalodonModel>(*this);
}

LmHeadOptions Config::lm_head() const {
  return {.dense = false, .bias = false, .tied = share_emb, .output_size = share_emb || output_size < 0 ? 0 : output_size, .truncation = 3};
}

double Config::initializer_std() const { return 1 / std::sqrt(static_cast<double>(model_dim)); }

int64_t Config::parameter_count() const {
  const int64_t D = model_dim, Z = z_dim, E = value_dim, F = ffn_hidden_dim, N = cema_ndim;
  const int64_t norms = 2 * D + (norm_affine ? 3 * D : 0), cema = 4 * D * N + 2 * D;
  const int64_t attention = (D * Z + Z) + 2 * (D * E + E) + (D * D + D) + E * D + 4 * Z;
  const int64_t ffn = (swiglu ? 3 : 2) * D * F + (rescale_nffn ? D : 0);
  const int64_t output = share_emb ? 0 : (output_size < 0 ? vocab_size : output_size) * D;
  return num_layers * (norms + cema + attention + ffn) + 2 * D + vocab_size * D + output;
}

int64_t Config::state_bytes_per_row(int64_t /*position*/, int64_t element_bytes) const {
  const int64_t recurrent_bytes = element_bytes == 8 ? 8 : 4, norm = 8 + 2 * 8 * norm_num_groups;
  const int64_t layer = norm + 2 * model_dim * cema_ndim * recurrent_bytes + cache_len() * (z_dim + value_dim) * element_bytes;
  return num_layers * layer + norm + cache_len() + 8 * recent_len() + 8;
}

int64_t Config::activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const {
  const int64_t D = model_dim, E = value_dim, Z = z_dim, F = ffn_hidden_dim;
  const int64_t layer = (10 * D + 7 * E + 2 * Z + (swiglu ? 4 : 3) * F) * element_bytes + (2 * D + 4 * Z) * 4;
  return num_tokens * (checkpointed ? num_layers * D * element_bytes + layer : num_layers * layer);
}

}  // namespace everlong::models::megalodon
