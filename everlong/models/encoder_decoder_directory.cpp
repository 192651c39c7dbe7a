#include "everlong/models/encoder_decoder_directory.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {
namespace {

constexpr std::string_view kEncoderPrefix = "encoder.", kDecoderPrefix = "decoder.", kProjectionPrefix = "enc_to_dec_proj.";

/// Takes the tensors of one part out of a file, without their prefix.
checkpoint::TensorMap take_part(checkpoint::TensorMap& tensors, std::string_view prefix) {
  checkpoint::TensorMap part;
  for (auto item = tensors.begin(); item != tensors.end();) {
    if (item->first.starts_with(prefix)) {
      part.emplace(item->first.substr(prefix.size()), item->second);
      item = tensors.erase(item);
    } else {
      ++item;
    }
  }
  return part;
}

void add_report(checkpoint::LoadReport& all, std::vector<std::string>& notes, const LoadedHead& part, std::string_view prefix) {
  const auto add = [&](std::vector<std::string>& to, const std::vector<std::string>& from) {
    for (const std::string& name : from) to.push_back(fmt::format("{}{}", prefix, name));
  };
  add(all.loaded, part.report.loaded);
  add(all.ignored, part.report.ignored);
  add(all.unexpected, part.report.unexpected);
  add(all.missing, part.report.missing);
  for (const std::string& note : part.notes) notes.push_back(fmt::format("{}: {}", prefix.substr(0, prefix.size() - 1), note));
}

/// Ids that the pair does not name are the decoder's; `start` is what its own configuration says, -1 = nothing.
void settle_ids(EncoderDecoderConfig& ids, const ArchitectureConfig& decoder, int64_t start) {
  const SpecialTokens special = decoder.special_tokens();
  if (ids.pad_token_id < 0) ids.pad_token_id = special.pad;
  if (ids.eos_token_id < 0) ids.eos_token_id = special.eos;
  if (ids.decoder_start_token_id < 0) ids.decoder_start_token_id = start >= 0 ? start : special.bos;
}

int64_t start_token(const checkpoint::ConfigDocument& document) {
  EncoderDecoderConfig ids;
  static_cast<void>(document.apply(ids.fields()));
  return ids.decoder_start_token_id;
}

/// Turns a configuration into that of a decoder with cross-attention, where the architecture leaves the choice.
void make_decoder(ArchitectureConfig& config) {
  const Fields fields = config.fields();
  for (const auto& [key, value] : {std::pair{"is_decoder", true}, {"add_cross_attention", true}, {"bidirectional", false}})
    if (fields.find(key) != nullptr) fields.set(key, value);
  config.validate();
}

LoadedEncoderDecoder put_together(LoadedHead encoder, LoadedHead decoder, EncoderDecoderConfig ids, at::ScalarType parameter_dtype) {
  LoadedEncoderDecoder loaded;
  add_report(loaded.report, loaded.notes, encoder, kEncoderPrefix);
  add_report(loaded.report, loaded.notes, decoder, kDecoderPrefix);
  settle_ids(ids, decoder.model->config(), start_token(decoder.document));
  loaded.model =
      std::make_shared<EncoderDecoder>(std::static_pointer_cast<Embedder>(encoder.model), std::static_pointer_cast<CausalLm>(decoder.model), ids);
  if (parameter_dtype == at::kDouble) loaded.model->to(at::kDouble);
  loaded.model->eval();
  loaded.document.set_part("encoder", encoder.document);
  loaded.document.set_part("decoder", decoder.document);
  return loaded;
}

void load_projection(LoadedEncoderDecoder& loaded, const checkpoint::TensorMap& tensors, const std::string& file) {
  const nn::Linear* projection = loaded.model->projection();
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    const std::string full = fmt::format("{}{}", kProjectionPrefix, name);
    at::Tensor target = projection == nullptr ? at::Tensor()
                        : name == "weight"    ? projection->weight
                        : name == "bias"      ? projection->bias
                                              : at::Tensor();
    if (!target.defined()) {
      loaded.report.unexpected.push_back(full);
      continue;
    }
    if (target.sizes() != tensor.sizes()) throw FormatError({.file = file, .field = full}, shape_text(target.sizes()), shape_text(tensor.sizes()));
    target.copy_(tensor);
    loaded.report.loaded.push_back(full);
  }
  if (projection != nullptr && (!tensors.contains("weight") || !tensors.contains("bias")))
    throw FormatError({.file = file, .field = std::string(kProjectionPrefix) + "weight"}, "a projection from the encoder's width to the decoder's",
                      "nothing");
}

}  // namespace

bool holds_encoder_decoder(const std::filesystem::path& folder) {
  return read_config_document(folder / "config.json").model_type() == kEncoderDecoderType;
}

LoadedEncoderDecoder load_encoder_decoder(const std::filesystem::path& folder, at::ScalarType parameter_dtype) {
  auto document = read_config_document(folder / "config.json");
  const std::string file = (folder / "model.safetensors").string();
  if (document.model_type() != kEncoderDecoderType)
    throw FormatError({.file = (folder / "config.json").string(), .field = "model_type"}, kEncoderDecoderType, document.model_type());
  EncoderDecoderConfig ids;
  static_cast<void>(document.apply(ids.fields()));
  LoadedConfig encoder_config = config_from(document.part("encoder")), decoder_config = config_from(document.part("decoder"));
  auto tensors = checkpoint::load_weights(folder).tensors;
  auto encoder = head_from(std::move(encoder_config), take_part(tensors, kEncoderPrefix), file, {.task = Task::embedding});
  auto decoder = head_from(std::move(decoder_config), take_part(tensors, kDecoderPrefix), file, {.task = Task::causal_lm});
  const auto projection = take_part(tensors, kProjectionPrefix);
  LoadedEncoderDecoder loaded = put_together(std::move(encoder), std::move(decoder), ids, parameter_dtype);
  load_projection(loaded, projection, file);
  for (const auto& left : tensors) loaded.report.unexpected.push_back(left.first);
  loaded.document = std::move(document);
  return loaded;
}

LoadedEncoderDecoder pair_encoder_decoder(const std::filesystem::path& encoder_folder, const std::filesystem::path& decoder_folder,
                                          EncoderDecoderConfig ids, at::ScalarType parameter_dtype) {
  auto encoder = load_head(encoder_folder, {.task = Task::embedding});
  LoadedConfig config = load_config(decoder_folder);
  make_decoder(*config.config);
  auto decoder = head_from(std::move(config), checkpoint::load_weights(decoder_folder).tensors, (decoder_folder / "model.safetensors").string(),
                           {.task = Task::causal_lm, .may_start_fresh = ".cross_attention."});
  LoadedEncoderDecoder loaded = put_together(std::move(encoder), std::move(decoder), ids, parameter_dtype);
  if (loaded.model->projection() != nullptr)
    loaded.notes.push_back("the widths of encoder and decoder differ; the projection between them starts afresh");
  return loaded;
}

checkpoint::TensorMap public_weights(const EncoderDecoder& model) {
  checkpoint::TensorMap tensors;
  const auto add = [&](std::string_view prefix, const checkpoint::TensorMap& part) {
    for (const auto& [name, tensor] : part) tensors.emplace(fmt::format("{}{}", prefix, name), tensor);
  };
  add(kEncoderPrefix, public_weights(model.encoder()));
  add(kDecoderPrefix, public_weights(model.decoder()));
  if (const nn::Linear* projection = model.projection()) add(kProjectionPrefix, {{"weight", projection->weight}, {"bias", projection->bias}});
  return tensors;
}

void save_encoder_decoder(const std::filesystem::path& folder, const EncoderDecoder& model, const checkpoint::ConfigDocument& extra) {
  const auto known = extra.keys();
  const auto part = [&](const std::string& key) { return known.contains(key) ? extra.part(key) : checkpoint::ConfigDocument(); };
  checkpoint::ConfigDocument decoder = public_config(model.decoder(), part("decoder"));
  decoder.set_flag("is_decoder", true);
  decoder.set_flag("add_cross_attention", true);
  decoder.set_flag("is_encoder_decoder", false);
  checkpoint::ConfigDocument document = extra;
  document.set_part("encoder", public_config(model.encoder(), part("encoder")));
  document.set_part("decoder", decoder);
  document.set_flag("is_encoder_decoder", true);
  EncoderDecoderConfig ids = model.config();
  Fields fields;
  const Fields all = ids.fields();
  for (const Field& field : all.all())
    if (field.get() != ConfigValue(int64_t{-1})) fields.append(field);
  checkpoint::save_tensors(folder / "model.safetensors", public_weights(model), {{"format", "pt"}});
  document.write(folder / "config.json", fields, kEncoderDecoderType, "EncoderDecoderModel");
}

}  // namespace everlong::models
