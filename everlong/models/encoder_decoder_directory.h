#pragma once
// A pair of models on disk: Hugging Face's EncoderDecoderModel directory, or a folder for each half.

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "everlong/models/encoder_decoder.h"
#include "everlong/models/model_directory.h"

namespace everlong::models {

inline constexpr const char* kEncoderDecoderType = "encoder-decoder";  ///< "model_type" in config.json

struct LoadedEncoderDecoder {
  std::shared_ptr<EncoderDecoder> model;
  checkpoint::ConfigDocument document;  ///< with the parts "encoder" and "decoder"
  checkpoint::LoadReport report;        ///< names as in the files, for two folders with "encoder." or "decoder." in front
  std::vector<std::string> notes;       ///< what a person should know
};

/// Whether the folder holds a pair. Errors  as ConfigDocument::read
[[nodiscard]] bool holds_encoder_decoder(const std::filesystem::path& folder);

/// Loads a pair in evaluation mode: config.json with the parts "encoder" and "decoder", tensors "encoder.*", "decoder.*" and "enc_to_dec_proj.*".
/// Token ids that the pair does not name are the decoder's; the start token is then its beginning of a sequence.
/// Errors   as load_head, for either half; FormatError if the projection is missing or has another shape; as EncoderDecoder()
[[nodiscard]] LoadedEncoderDecoder load_encoder_decoder(const std::filesystem::path& folder, at::ScalarType parameter_dtype = at::kFloat);

/// Puts a pair together from the model directories of its halves. A MEGA decoder that has no cross-attention yet is given a fresh one; so is a
/// projection where the widths differ. `ids` that are -1 are the decoder's.
/// Errors   as load_encoder_decoder
[[nodiscard]] LoadedEncoderDecoder pair_encoder_decoder(const std::filesystem::path& encoder_folder, const std::filesystem::path& decoder_folder,
                                                        EncoderDecoderConfig ids = {}, at::ScalarType parameter_dtype = at::kFloat);

/// What a public model.safetensors of the pair holds.
[[nodiscard]] checkpoint::TensorMap public_weights(const EncoderDecoder& model);

/// Writes config.json and model.safetensors into an existing folder, each atomically. `extra` keeps unknown configuration keys of the pair and its
/// parts.
void save_encoder_decoder(const std::filesystem::path& folder, const EncoderDecoder& model, const checkpoint::ConfigDocument& extra = {});

}  // namespace everlong::models
