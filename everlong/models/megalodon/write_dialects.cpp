// Megalodon's models for the release, megalodon-hf and megalodon-jax.
// Source   specification 3.2 and 9; reloading.py of the release, modeling_megalodon.py of megalodon-hf, checkpoint.py of megalodon-jax 0.2.2.

#include <set>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/sha256.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/models/megalodon/ports.h"
#include "everlong/models/megalodon/rotary.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

using checkpoint::Settings;
using checkpoint::TensorMap;

constexpr const char* kOutput = "output.output.weight";
constexpr const char* kFrequencies = "rope.freqs";

/// Keys of ours that the release's ModelConf does not have: it takes no others.
const std::set<std::string_view> kOwnKeys = {"attention_window", "attention_dropout_mode", "rope_freqs",   "tsn_policy",  "norm_count_cap",
                                             "causal",           "pad_token_id",           "bos_token_id", "eos_token_id"};

/// Says no where the code that is to read the file would compute another model.
class Refusal {
 public:
  explicit Refusal(std::string_view dialect) : dialect_(dialect) {}

  void when(bool wrong, std::string got, std::string_view expected, std::string hint = {}) const {
    if (wrong)
      throw Unsupported(
          {.where = fmt::format("convert to {}", dialect_), .expected = std::string(expected), .got = std::move(got), .hint = std::move(hint)});
  }

 private:
  std::string_view dialect_;
};

void refuse_extensions(const Config& config, Task task, const Refusal& refuse, bool has_window) {
  refuse.when(task != Task::causal_lm, fmt::format("a model for {}", task_name(task)), "a causal language model, which is all that it has");
  refuse.when(!config.causal, "causal = false", "a causal model");
  refuse.when(config.attention_window && !has_window, "attention_window", "attention inside chunks");
  refuse.when(config.tsn_policy != TsnPolicy::exact, config.count_cap() > 0 ? "tsn_policy = capped" : "tsn_policy = upstream_window",
              "tsn_policy = exact");
}

/// The fields under their keys, without those of ours.
Settings public_settings(const Config& config) {
  Settings settings;
  Config copy = config;
  const Fields fields = copy.fields();
  for (const Field& field : fields.all())
    if (!kOwnKeys.contains(field.key)) settings[field.key] = field.get();
  return settings;
}

ConfigValue token_id(int64_t id) { return id < 0 ? ConfigValue() : ConfigValue(id); }

void add_token_ids(Settings& settings, const Config& config) {
  settings["pad_token_id"] = token_id(config.pad_token_id);
  settings["bos_token_id"] = token_id(config.bos_token_id);
  settings["eos_token_id"] = token_id(config.eos_token_id);
}

at::Tensor exact_frequencies(const Config& config) { return rotary_frequencies(config.head_width(), config.rotary_base()); }

/// Ports compute the frequencies.
void refuse_other_frequencies(const Config& config, const TensorMap& tensors, const Refusal& refuse) {
  const auto found = tensors.find(kFrequencies);
  const bool own = config.rope_freqs == RopeFrequencies::from_file && found != tensors.end();
  refuse.when(own && !at::allclose(found->second.to(at::kFloat), exact_frequencies(config), 2e-6, 2e-6),
              "rope_freqs = from_file with rounded frequencies", "frequencies that follow from rope_base");
}

OriginalCheckpoint for_release(const Config& config, const TensorMap& tensors) {
  OriginalCheckpoint made{.tensors = tensors, .settings = public_settings(config)};
  made.tensors.try_emplace(kOutput, tensors.at("embed.weight"));  // a tied matrix stands under both names
  if (config.rope_freqs == RopeFrequencies::exact) made.tensors[kFrequencies] = exact_frequencies(config);
  return made;
}

/// Tensors under the names of the ports, in the release's storage but for the two halves of gamma and the shape of omega.
void add_port_tensors(OriginalCheckpoint& made, const TensorMap& tensors) {
  const auto add = [&](const std::string& from, const std::string& to, const at::Tensor& tensor) {
    made.tensors[to] = tensor;
    made.renamed.emplace_back(from, to);
  };
  for (const auto& [name, tensor] : tensors) {
    if (const auto port = port_name(name)) {
      add(name, *port, name.ends_with(".cema.omega") ? tensor.squeeze(-1) : tensor);
    } else if (name.ends_with(".cema.gamma")) {
      const std::string stem = *port_name(name.substr(0, name.size() - std::string_view("gamma").size()) + "alpha");
      const std::string cema = stem.substr(0, stem.size() - std::string_view("alpha").size());
      add(name, cema + "gamma_real", tensor.to(at::kFloat).select(-1, 0).contiguous());
      add(name, cema + "gamma_imag", tensor.to(at::kFloat).select(-1, 1).contiguous());
    }
  }
}

std::string shape_list(const at::Tensor& tensor) { return fmt::format("[{}]", fmt::join(tensor.sizes(), ",")); }

/// What files of megalodon-jax say about themselves. Source  save_checkpoint of version 0.2.2, format version 3
checkpoint::Metadata jax_metadata(const Config& config, const OriginalCheckpoint& made) {
  const std::string settings = checkpoint::settings_text(made.settings);
  std::string manifest;
  for (const auto& [name, tensor] : made.tensors)
    manifest += fmt::format("{}[\"{}\",{},\"float32\"]", manifest.empty() ? "" : ",", name, shape_list(tensor));
  checkpoint::Metadata metadata = {{"format", std::string(kJaxFormat)},
                                   {"format_version", "3"},
                                   {"config_json", settings},
                                   {"config_fingerprint", sha256_hex(settings)},
                                   {"parameter_manifest_sha256", sha256_hex("[" + manifest + "]")},
                                   {"initializer_schema", "split-boundary-internal-v1"},
                                   {"tying", config.share_emb ? "tied" : "untied"},
                                   {"dtype_policy", "fp32-params-fp32-or-bf16-compute"}};
  for (const auto& [key, value] : kJaxConventions) metadata.emplace(key, value);
  return metadata;
}

OriginalCheckpoint for_jax(const Config& config, const TensorMap& tensors, const Refusal& refuse) {
  refuse_other_frequencies(config, tensors, refuse);
  OriginalCheckpoint made{.settings = public_settings(config)};
  add_port_tensors(made, tensors);
  for (auto& entry : made.tensors) entry.second = entry.second.to(at::kFloat);
  Settings& settings = made.settings;
  add_token_ids(settings, config);
  settings["use_checkpoint"] = config.layerwise_ckpt;
  settings.erase("layerwise_ckpt");
  settings.erase("efficient_attn");
  settings["attention_window"] = config.attention_window ? ConfigValue(*config.attention_window) : ConfigValue();
  settings["attention_dropout_mode"] = std::string(config.attention_dropout_mode == AttentionDropout::dropkey ? "dropkey" : "post_softmax");
  settings["use_associative_segment_scan"] = true;
  for (const char* key : {"param_dtype", "compute_dtype", "accum_dtype", "attention_softmax_dtype"}) settings[key] = std::string("float32");
  if (config.init_mode == InitMode::none) settings["init_mode"] = std::string("he");  // it has no such mode, and no use for it in a trained model
  made.metadata = jax_metadata(config, made);
  return made;
}

/// What megalodon-hf computes by itself or does not have must be as it computes it.
void refuse_for_hf(const Config& config, const TensorMap& tensors, const Refusal& refuse) {
  refuse_other_frequencies(config, tensors, refuse);
  const bool as_wide = config.output_size < 0 || config.output_size == config.vocab_size;
  refuse.when(as_wide && !config.share_emb, "share_emb = false", "share_emb = true: it ties an output matrix of vocab_size rows to the embedding");
  for (const auto& [name, tensor] : tensors) {
    const bool time_norm = name.find(".timenorm.") != std::string::npos || name.starts_with("output.final_norm.");
    refuse.when(!config.norm_affine && time_norm && tensor.count_nonzero().item<int64_t>() != 0, fmt::format("{} with norm_affine = false", name),
                "timestep norms without parameters of their own");
  }
  for (int64_t i = 0; config.rescale_nffn && i < config.num_layers; ++i) {
    const std::string name = fmt::format("layers.{}.nffn.alpha", i);
    const at::Tensor fixed = fixed_ffn_scale(i, config.model_dim);
    refuse.when(!at::equal(tensors.at(name), fixed.to(tensors.at(name).scalar_type())), fmt::format("{} that was trained", name),
                fmt::format("the constant {:g}, which it does not train", fixed[0].item<double>()));
  }
}

/// The biases that its projections have and ours do not; what it computes itself is not stored.
void complete_for_hf(const Config& config, TensorMap& tensors) {
  std::erase_if(tensors, [&](const auto& entry) {
    const std::string& name = entry.first;
    const bool time_norm = name.find(".timenorm.") != std::string::npos || name.starts_with("model.norm.");
    return name.ends_with(".ffn.alpha") || (time_norm && !config.norm_affine);
  });
  const int64_t D = config.model_dim, F = config.ffn_hidden_dim;
  for (int64_t i = 0; i < config.num_layers; ++i)
    for (const auto& [name, width] : {std::pair("attn.wh2", D), {"ffn.fc1", F}, {"ffn.fc2", D}, {"ffn.fc3", F}}) {
      const std::string stem = fmt::format("model.layers.{}.{}", i, name);
      const auto weight = tensors.find(stem + ".weight");
      if (weight != tensors.end()) tensors[stem + ".bias"] = at::zeros({width}, weight->second.scalar_type());
    }
}

Settings hf_settings(const Config& config) {
  Settings settings = public_settings(config);
  add_token_ids(settings, config);
  settings["gradient_checkpointing"] = config.layerwise_ckpt;
  settings.erase("layerwise_ckpt");  // it refuses the key
  settings["efficient_attn"] = {};   // it has no such kernels
  settings["max_positions"] = int64_t{1'000'000};
  settings["max_cache_len"] = config.chunk_size;
  settings["cache_unbounded"] = false;
  settings["tie_word_embeddings"] = config.share_emb;
  settings["model_type"] = std::string("megalodon");
  settings["architectures"] = std::vector<std::string>{"MegalodonForCausalLM"};
  return settings;
}

OriginalCheckpoint for_hf(const Config& config, const TensorMap& tensors, const Refusal& refuse) {
  refuse_for_hf(config, tensors, refuse);
  OriginalCheckpoint made{.settings = hf_settings(config)};
  add_port_tensors(made, tensors);
  for (auto& [name, tensor] : made.tensors) {
    const TurnedFeatures features = turned_features(release_name(name).value_or(""));
    if (features.turned) tensor = pairs_to_halves(tensor, config.num_heads, features.last);
    if (name.ends_with(".ffn.norm.weight")) tensor = tensor + 1;
  }
  complete_for_hf(config, made.tensors);
  made.notes.emplace_back("megalodon-hf's timestep norm leaves out the variance within a token: it computes other numbers with these weights");
  return made;
}

}  // namespace

OriginalCheckpoint Config::original_checkpoint(Dialect dialect, Task task, const checkpoint::TensorMap& tensors) const {
  const at::NoGradGuard no_grad;
  const auto refuse_for = [&](std::string_view name, bool has_window) {
    const Refusal refuse(name);
    refuse_extensions(*this, task, refuse, has_window);
    return refuse;
  };
  switch (dialect) {
    case Dialect::consolidated:
      return refuse_for("consolidated", false), for_release(*this, tensors);
    case Dialect::megalodon_hf:
      return for_hf(*this, tensors, refuse_for("megalodon-hf", false));
    case Dialect::megalodon_jax:
      return for_jax(*this, tensors, refuse_for("megalodon-jax", true));
    case Dialect::hf:
    case Dialect::fairseq:
      break;
  }
  return ArchitectureConfig::original_checkpoint(dialect, task, tensors);
}

}  // namespace everlong::models::megalodon
