// Checkpoints of megalodon-hf and megalodon-jax, read.
// Source   specification 9; modeling_megalodon.py of megalodon-hf, checkpoint.py of megalodon-jax 0.2.2.

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/megalodon/config.h"
#include "everlong/models/megalodon/ports.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models::megalodon {
namespace {

enum class Port { none, hugging_face, jax };

constexpr std::string_view kReal = ".cema.gamma_real", kImaginary = ".cema.gamma_imag";

/// Both ports use the same names; only megalodon-hf has biases in the feed-forward network.
Port port_of(const checkpoint::TensorMap& tensors) {
  const auto has = [&](const std::string& name) { return tensors.contains("model." + name) || tensors.contains(name); };
  if (!has("layers.0.attn.cema.gamma_real")) return Port::none;
  return has("layers.0.ffn.fc1.bias") ? Port::hugging_face : Port::jax;
}

void require_known_conventions(const checkpoint::TrainingFile& file) {
  for (const auto& [key, known] : kJaxConventions) {
    const auto said = file.metadata.find(std::string(key));
    if (said != file.metadata.end() && said->second != known)
      throw Unsupported({.where = file.path.string(), .expected = fmt::format("{} = {}", key, known), .got = said->second});
  }
}

/// Sets the configuration of a file of megalodon-jax. Returns the keys that nothing here knows.
std::vector<std::string> take_settings(Config& config, const checkpoint::Settings& settings) {
  std::vector<std::string> unknown;
  const Fields fields = config.fields();
  const std::set<std::string_view> passed_over = {"use_associative_segment_scan", "param_dtype",       "compute_dtype", "accum_dtype",
                                                  "attention_softmax_dtype",      "loss_softmax_dtype"};
  for (const auto& [key, value] : settings) {
    if (passed_over.contains(key)) continue;
    const bool no_token = key.ends_with("_token_id") && std::holds_alternative<std::monostate>(value);
    const std::string ours = key == "use_checkpoint" ? "layerwise_ckpt" : key;
    if (fields.find(ours) == nullptr)
      unknown.push_back(key);
    else
      fields.set(ours, no_token ? ConfigValue(int64_t{-1}) : value);
  }
  return unknown;
}

/// Tensors of one file on their way to the release's names and storage.
class Adoption {
 public:
  Adoption(const checkpoint::TrainingFile& file, const Config& config, Port port) : file_(file), config_(config), port_(port) {}

  AdoptedCheckpoint run() {
    for (const auto& [name, tensor] : file_.tensors) take(name, tensor);
    if (port_ == Port::hugging_face) add_what_is_not_stored();
    return std::move(adopted_);
  }

 private:
  void take(const std::string& name, const at::Tensor& tensor) {
    if (name.ends_with(kReal) || name.ends_with(kImaginary)) return take_half_of_gamma(name, tensor);
    if (port_ == Port::hugging_face && is_extra_bias(name)) return take_bias(name, tensor);
    const auto release = release_name(name);
    if (!release) {
      adopted_.tensors[name] = tensor;  // reported as unexpected
      return;
    }
    adopted_.tensors[*release] = converted(name, *release, tensor);
    adopted_.renamed.emplace_back(name, *release);
  }

  [[nodiscard]] at::Tensor converted(const std::string& name, const std::string& release, const at::Tensor& tensor) const {
    if (release.ends_with(".cema.omega")) {
      expect(name, tensor, {config_.model_dim});
      return tensor.unsqueeze(-1);
    }
    if (port_ == Port::jax) return tensor;
    if (release.ends_with(".nffn.norm.weight")) return tensor.to(tensor.scalar_type() == at::kDouble ? at::kDouble : at::kFloat) - 1;
    const TurnedFeatures features = turned_features(release);
    if (!features.turned) return tensor;
    if (tensor.dim() == 0 || tensor.size(features.last ? -1 : 0) != config_.z_dim)
      throw FormatError({.file = file_.path.string(), .field = name}, fmt::format("z_dim = {} features", config_.z_dim), describe(tensor));
    return halves_to_pairs(tensor, config_.num_heads, features.last);
  }

  void take_half_of_gamma(const std::string& name, const at::Tensor& tensor) {
    expect(name, tensor, {config_.model_dim, config_.cema_ndim});
    const bool real = name.ends_with(kReal);
    const std::string stem = name.substr(0, name.size() - (real ? kReal : kImaginary).size());
    const auto release = release_name(stem + ".cema.alpha");
    const auto other = file_.tensors.find(stem + std::string(real ? kImaginary : kReal));
    if (!release || other == file_.tensors.end())
      throw FormatError({.file = file_.path.string(), .field = name}, "gamma_real and gamma_imag of one layer", "one of them");
    const std::string whole = release->substr(0, release->size() - std::string_view("alpha").size()) + "gamma";
    adopted_.renamed.emplace_back(name, whole);
    if (!real) return;
    expect(other->first, other->second, {config_.model_dim, config_.cema_ndim});
    adopted_.tensors[whole] = at::stack({tensor, other->second.to(tensor.scalar_type())}, -1);
  }

  void take_bias(const std::string& name, const at::Tensor& tensor) {
    if (tensor.count_nonzero().item<int64_t>() != 0)
      throw Unsupported({.where = file_.path.string(),
                         .expected = fmt::format("{} of zeros, as in models that came from the release", name),
                         .got = "other values",
                         .hint = "Megalodon has no such bias, megalodon-hf trains one"});
    adopted_.ignored.push_back(name);
  }

  /// What megalodon-hf computes, or leaves out without norm_affine.
  void add_what_is_not_stored() {
    const auto zeros = [&] { return at::zeros({config_.model_dim}, at::kFloat); };
    for (int64_t i = 0; adopted_.tensors.contains(fmt::format("layers.{}.mega.wz.weight", i)); ++i) {
      if (config_.rescale_nffn) adopted_.tensors[fmt::format("layers.{}.nffn.alpha", i)] = fixed_ffn_scale(i, config_.model_dim);
      if (config_.norm_affine) continue;
      for (const char* kind : {"weight", "bias"}) adopted_.tensors[fmt::format("layers.{}.mega.timenorm.{}", i, kind)] = zeros();
    }
    if (!config_.norm_affine)
      for (const char* kind : {"weight", "bias"}) adopted_.tensors[fmt::format("output.final_norm.{}", kind)] = zeros();
    adopted_.notes.emplace_back("megalodon-hf's timestep norm leaves out the variance within a token: it computes other numbers with these weights");
  }

  void expect(const std::string& name, const at::Tensor& tensor, at::IntArrayRef shape) const {
    if (tensor.sizes() != shape) throw FormatError({.file = file_.path.string(), .field = name}, shape_text(shape), shape_text(tensor.sizes()));
  }

  const checkpoint::TrainingFile& file_;
  const Config& config_;
  Port port_;
  AdoptedCheckpoint adopted_ = {};
};

}  // namespace

KeySet Config::foreign_keys() const {
  return {"max_positions", "max_cache_len", "cache_unbounded",     "gradient_checkpointing", "num_attention_heads",
          "is_decoder",    "use_cache",     "tie_word_embeddings", "transformers_version",   "dtype"};
}

void Config::adopt_port_defaults(const KeySet& given) {
  share_emb = output_size < 0 || output_size == vocab_size;
  for (const auto& [key, id, value] :
       {std::tuple("pad_token_id", &pad_token_id, 0), {"bos_token_id", &bos_token_id, 1}, {"eos_token_id", &eos_token_id, 2}})
    if (!given.contains(key)) *id = value;
}

std::optional<AdoptedCheckpoint> Config::adopt_original(const checkpoint::TrainingFile& original) {
  const Port port = port_of(original.tensors);
  if (port == Port::none) return std::nullopt;
  std::vector<std::string> unknown;
  if (port == Port::jax) {
    require_known_conventions(original);
    unknown = take_settings(*this, original.settings);
  }
  if (vocab_size < 1)
    throw FormatError({.file = original.path.string(), .field = port == Port::jax ? "config_json" : "config.json"},
                      "the configuration, in the metadata of a file of megalodon-jax or beside the weights", "none with a vocab_size",
                      "name the folder with config.json");
  validate();
  AdoptedCheckpoint adopted = Adoption(original, *this, port).run();
  for (const std::string& key : unknown) adopted.notes.push_back(fmt::format("{} of megalodon-jax is not known here and passed over", key));
  return adopted;
}

}  // namespace everlong::models::megalodon
