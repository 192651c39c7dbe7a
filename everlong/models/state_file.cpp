#include "everlong/models/state_file.h"

#include <charconv>
#include <sstream>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {
namespace {

constexpr std::string_view kSchema = "everlong-state-1";
constexpr const char* kPositionName = "position";

std::string config_text(const ArchitectureConfig& config) {
  return fmt::format("model_type={}\n{}", config.model_type(), config.clone()->fields().canonical_text());
}

std::string value_of(const checkpoint::Metadata& metadata, const std::string& key, const std::filesystem::path& path) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) throw FormatError({.file = path.string(), .field = "metadata " + key}, "a state file of everlong", "nothing under that key");
  return found->second;
}

int64_t token_of(const checkpoint::Metadata& metadata, int64_t vocab_size, const std::filesystem::path& path) {
  const std::string text = value_of(metadata, "next_token", path);
  int64_t token = -2;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), token);
  if (error != std::errc{} || rest != text.data() + text.size() || token < -1 || token >= vocab_size)
    throw FormatError({.file = path.string(), .field = "metadata next_token"}, fmt::format("an integer in [-1, {})", vocab_size), text);
  return token;
}

/// The first line in which two configurations differ, as "key = theirs, this model has ours".
std::string first_difference(const std::string& theirs, const std::string& ours) {
  std::istringstream their_lines(theirs), our_lines(ours);
  std::string a, b;
  while (std::getline(their_lines, a) && std::getline(our_lines, b))
    if (a != b) return fmt::format("{} in the file, {} in the model", a, b);
  return "another number of fields";
}

}  // namespace

void save_state(const std::filesystem::path& path, const nn::State& state, const nn::StateLayout& layout, const ArchitectureConfig& config,
                const std::string& tokenizer_fingerprint, int64_t next_token) {
  layout.check(state);
  checkpoint::TensorMap tensors;
  for (size_t i = 0; i < layout.slots().size(); ++i) tensors.emplace(layout.slots()[i].name, state.tensors()[i]);
  tensors.emplace(kPositionName, state.position());
  checkpoint::save_tensors(path, tensors,
                           {{"schema", std::string(kSchema)},
                            {"config", config_text(config)},
                            {"config_fingerprint", config.fingerprint()},
                            {"tokenizer_fingerprint", tokenizer_fingerprint},
                            {"next_token", fmt::format("{}", next_token)}});
}

LoadedState load_state(const std::filesystem::path& path, const nn::StateLayout& layout, const ArchitectureConfig& config,
                       const std::string& tokenizer_fingerprint) {
  auto file = checkpoint::load_tensors(path);
  const auto schema = value_of(file.metadata, "schema", path);
  if (schema != kSchema) throw FormatError({.file = path.string(), .field = "metadata schema"}, std::string(kSchema), schema);
  const auto theirs = value_of(file.metadata, "config", path), ours = config_text(config);
  if (theirs != ours)
    throw StateError({.where = path.string(), .expected = "a state of this model's configuration", .got = first_difference(theirs, ours)});
  const auto tokenizer = value_of(file.metadata, "tokenizer_fingerprint", path);
  if (tokenizer != tokenizer_fingerprint)
    throw StateError({.where = path.string(), .expected = "tokenizer_fingerprint = " + tokenizer_fingerprint, .got = tokenizer});

  std::vector<at::Tensor> tensors;
  for (const nn::SlotSpec& slot : layout.slots()) {
    const auto found = file.tensors.find(slot.name);
    if (found == file.tensors.end()) throw FormatError({.file = path.string(), .field = slot.name}, "a tensor for every slot of the model's state", "none");
    tensors.push_back(found->second);
  }
  const auto position = file.tensors.find(kPositionName);
  const bool sound = position != file.tensors.end() && position->second.scalar_type() == at::kLong && position->second.dim() == 1 &&
                     position->second.numel() > 0 && position->second.min().item<int64_t>() >= 0;
  if (!sound) throw FormatError({.file = path.string(), .field = kPositionName}, "[B] int64 >= 0", "something else");
  nn::State state = layout.assemble(std::move(tensors), position->second);
  layout.check_positions(state);
  return {.state = std::move(state), .next_token = token_of(file.metadata, config.vocabulary(), path)};
}

}  // namespace everlong::models
