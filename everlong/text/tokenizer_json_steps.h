#pragma once
// The steps around the model in a tokenizer.json. For sources of this room only.

#include <optional>
#include <vector>

#include "everlong/text/bpe_definition.h"
#include "everlong/text/json_node.h"

namespace everlong::text {

/// All of these: `node` is absent, or the decoder null, where the file says null.
/// Errors   FormatError if a key is malformed; Unsupported naming key and type outside the declared subset
[[nodiscard]] std::vector<NormalizerStep> read_normalizer(const std::optional<JsonNode>& node);
[[nodiscard]] std::vector<PreTokenizerStep> read_pre_tokenizer(const std::optional<JsonNode>& node);
[[nodiscard]] std::vector<DecoderStep> read_decoder(const JsonNode& node);
[[nodiscard]] std::optional<TextTemplate> read_post_processor(const std::optional<JsonNode>& node, size_t id_limit);

}  // namespace everlong::text
