#include "apps/everlong/inspection.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/everlong/inspection_torch.h"
#include "everlong/base/error.h"
#include "everlong/data/packed_summary.h"
#include "everlong/io/json.h"
#include "everlong/io/safetensors.h"
#include "everlong/io/safetensors_set.h"
#include "everlong/report/report.h"
#include "everlong/text/tokenizer.h"

namespace everlong::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStateSchema = "everlong-state-";
constexpr const char* kKnownForms =
    "a safetensors or state file, a file of torch.save, a model directory (config.json, *.safetensors), a run (config.toml, metrics.jsonl), a "
    "tokenizer or a packed corpus "
    "(.bin, .idx)";

/// A safetensors file begins with the length of its header, and the header with a brace.
bool looks_like_safetensors(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  unsigned char start[9] = {};
  if (!file.read(reinterpret_cast<char*>(start), sizeof start)) return path.extension() == ".safetensors";
  uint64_t header = 0;
  for (int i = 7; i >= 0; --i) header = header << 8 | start[i];
  return path.extension() == ".safetensors" || (start[8] == '{' && header <= io::kMaxSafetensorsHeaderBytes);
}

/// By name only: the forms that text::load_tokenizer() knows.
bool is_tokenizer_file(const fs::path& path) {
  static const std::set<std::string> kNames{"everlong_tokenizer.json", "tokenizer.json", "vocab.bpe", "encoder.json", "vocab.json", "merges.txt"};
  return kNames.contains(path.filename().string()) || path.extension() == ".model";
}

/// PREFIX.idx, or PREFIX.bin with an index or a description beside it.
bool is_indexed_corpus(const fs::path& path) {
  if (path.extension() == ".idx") return true;
  return path.extension() == ".bin" &&
         (fs::exists(fs::path(path).replace_extension(".idx")) || fs::exists(fs::path(path).replace_extension(".json")));
}

bool holds_tokenizer(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (is_tokenizer_file(entry.path())) return true;
  return false;
}

std::vector<fs::path> files_in(const fs::path& folder, const std::string& extension) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == extension) found.push_back(entry.path());
  if (error) throw IoError("list", folder.string(), error.value());
  std::sort(found.begin(), found.end());
  return found;
}

/// Elements of a tensor. The reader has checked that size and shape agree, so nothing overflows here.
int64_t elements_of(const io::TensorEntry& tensor) { return tensor.size_bytes / io::bytes_per_element(tensor.dtype); }

Json tensors_of(const io::SafetensorsFile& file) {
  Json tensors = Json::array();
  for (const io::TensorEntry& tensor : file.tensors())
    tensors.push_back({{"name", tensor.name}, {"dtype", io::to_string(tensor.dtype)}, {"shape", tensor.shape}, {"bytes", tensor.size_bytes}});
  return tensors;
}

/// Adds counts, metadata and the list of tensors of one file.
void describe_tensors(const io::SafetensorsFile& file, Json& finding) {
  int64_t elements = 0, bytes = 0;
  for (const io::TensorEntry& tensor : file.tensors()) {
    elements += elements_of(tensor);
    bytes += tensor.size_bytes;
  }
  finding["num_tensors"] = file.tensors().size();
  finding["num_elements"] = elements;
  finding["tensor_bytes"] = bytes;
  finding["metadata"] = file.metadata();
  finding["tensors"] = tensors_of(file);
}

/// Positions of the rows, from the one small tensor whose content is looked at.
Json positions_of(const io::SafetensorsFile& file) {
  const io::TensorEntry* entry = file.find("position");
  const bool sound = entry != nullptr && entry->dtype == io::Dtype::I64 && entry->shape.size() == 1;
  if (!sound)
    throw FormatError({.file = file.path().string(), .field = "position"}, "[B] I64", entry == nullptr ? "nothing" : "another shape or dtype");
  Json positions = Json::array();
  const auto bytes = file.bytes(*entry);
  for (size_t at = 0; at + 8 <= bytes.size(); at += 8) {
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
    positions.push_back(static_cast<int64_t>(value));
  }
  return positions;
}

/// Bytes that one row needs in its largest layer, by slots called layers.N.*; none where they have other names.
std::optional<int64_t> layer_bytes_of(const io::SafetensorsFile& file, size_t rows) {
  constexpr std::string_view kPrefix = "layers.";
  std::map<std::string, int64_t> layers;
  for (const io::TensorEntry& tensor : file.tensors())
    if (tensor.name.starts_with(kPrefix)) layers[tensor.name.substr(0, tensor.name.find('.', kPrefix.size()))] += tensor.size_bytes;
  int64_t largest = 0;
  for (const auto& layer : layers) largest = std::max(largest, layer.second);
  if (layers.empty() || rows == 0) return std::nullopt;
  return largest / static_cast<int64_t>(rows);
}

void describe_state(const fs::path& path, Json& finding) {
  const auto file = io::SafetensorsFile::open(path);
  finding["positions"] = positions_of(file);
  if (const auto bytes = layer_bytes_of(file, finding["positions"].size())) finding["layer_bytes"] = *bytes;
  describe_tensors(file, finding);
}

/// Names of the files that hold the model's weights. Others may stand beside them: what a trainer needs to go on, for one.
std::set<std::string> weight_files(const fs::path& folder) {
  std::set<std::string> names;
  if (fs::exists(folder / "model.safetensors") || fs::exists(folder / "model.safetensors.index.json")) {
    const auto weights = io::SafetensorsSet::open(folder);
    for (const io::SafetensorsFile& file : weights.files()) names.insert(file.path().filename().string());
  } else {
    for (const fs::path& path : files_in(folder, ".safetensors")) names.insert(path.filename().string());
  }
  return names;
}

void describe_model(const fs::path& folder, Json& finding) {
  const fs::path config = folder / "config.json";
  if (fs::exists(config)) finding["config"] = Json::parse(io::read_json_file(config).dump());
  const std::set<std::string> weights = weight_files(folder);
  int64_t elements = 0;
  Json files = Json::array(), tensors = Json::array();
  for (const fs::path& path : files_in(folder, ".safetensors")) {
    const auto file = io::SafetensorsFile::open(path);
    const std::string name = path.filename().string();
    const bool in_model = weights.contains(name);
    Json one;
    describe_tensors(file, one);
    files.push_back({{"file", name}, {"in_model", in_model}, {"num_tensors", one["num_tensors"]}, {"tensor_bytes", one["tensor_bytes"]}});
    if (!in_model) continue;
    elements += one["num_elements"].get<int64_t>();
    for (auto& tensor : one["tensors"]) {
      tensor["file"] = name;
      tensors.push_back(std::move(tensor));
    }
  }
  finding["num_elements"] = elements;
  finding["files"] = std::move(files);
  finding["tensors"] = std::move(tensors);
}

void describe_corpus(const fs::path& path, Json& finding) {
  const data::PackedSummary corpus = data::summarize_packed(path);
  finding["format"] = corpus.kind == data::PackedKind::megatron ? "megatron" : "nanogpt";
  finding["dtype"] = data::token_type_name(corpus.type);
  finding["tokens"] = corpus.num_tokens;
  finding["documents"] = corpus.num_documents;
  finding["longest_document"] = corpus.longest_document;
  finding["token_bytes"] = corpus.token_bytes;
  finding["text_bytes"] = corpus.text_bytes ? Json(*corpus.text_bytes) : Json(nullptr);
  finding["bytes_per_token"] = corpus.bytes_per_token() ? Json(*corpus.bytes_per_token()) : Json(nullptr);
  finding["tokenizer"] = corpus.info ? Json(corpus.info->tokenizer) : Json(nullptr);
  finding["vocab_size"] = corpus.info ? Json(corpus.info->vocab_size) : Json(nullptr);
  if (corpus.info) finding["sources"] = corpus.info->sources;
}

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

void describe_run(const fs::path& folder, Json& finding) {
  const report::Run run = report::load_run(folder);
  finding["settings"] = Json::object();
  for (const auto& [key, value] : run.settings) finding["settings"][key] = value;
  if (!run.train.empty()) {
    const report::TrainPoint& last = run.train.back();
    finding["last_step"] = last.step;
    finding["tokens"] = number_or_null(last.tokens);
    finding["loss"] = number_or_null(last.loss);
    finding["tokens_per_s"] = number_or_null(last.tokens_per_s);
  }
  finding["evaluations"] = Json::array();
  for (const report::Evaluation& evaluation : run.evaluations) {
    finding["evaluations"].push_back({{"step", evaluation.step},
                                      {"file", evaluation.file},
                                      {"context", evaluation.context},
                                      {"nats_per_token", number_or_null(evaluation.nats_per_token)},
                                      {"bits_per_byte", number_or_null(evaluation.bits_per_byte)}});
  }
  finding["checkpoints"] = Json::array();
  if (fs::is_directory(folder / "checkpoints"))
    for (const fs::path& path : files_in(folder / "checkpoints", "")) finding["checkpoints"].push_back(path.filename().string());
  finding["notes"] = run.notes;
}

}  // namespace

Json inspect_tokenizer(const text::Tokenizer& tokenizer) {
  const text::SpecialIds ids = tokenizer.special_ids();
  Json special = Json::object();
  for (const auto& [role, id] : {std::pair{"bos", ids.bos}, {"eos", ids.eos}, {"pad", ids.pad}, {"unk", ids.unk}, {"mask", ids.mask}})
    if (id) special[role] = *id;
  return {
      {"tokenizer", tokenizer.kind()}, {"vocab_size", tokenizer.vocab_size()}, {"fingerprint", tokenizer.fingerprint()}, {"special_ids", special}};
}

const char* to_string(PathKind kind) {
  switch (kind) {
    case PathKind::safetensors:
      return "safetensors";
    case PathKind::pytorch:
      return "pytorch";
    case PathKind::state:
      return "state";
    case PathKind::model:
      return "model";
    case PathKind::run:
      return "run";
    case PathKind::tokenizer:
      return "tokenizer";
    case PathKind::corpus:
      return "corpus";
  }
  return "";
}

PathKind kind_of(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status) && data::packed_prefix(path)) return PathKind::corpus;
  if (!fs::exists(status)) throw IoError("open", path.string(), error ? error.value() : ENOENT);
  if (fs::is_directory(status)) {
    if (fs::exists(path / "metrics.jsonl")) return PathKind::run;
    if (fs::exists(path / "config.json") || !files_in(path, ".safetensors").empty()) return PathKind::model;
    if (holds_tokenizer(path)) return PathKind::tokenizer;
  } else if (fs::is_regular_file(status) && is_tokenizer_file(path)) {
    return PathKind::tokenizer;
  } else if (fs::is_regular_file(status) && is_indexed_corpus(path)) {
    return PathKind::corpus;
  } else if (fs::is_regular_file(status) && looks_like_safetensors(path)) {
    const auto file = io::SafetensorsFile::open(path);
    const auto schema = file.metadata().find("schema");
    return schema != file.metadata().end() && schema->second.starts_with(kStateSchema) ? PathKind::state : PathKind::safetensors;
  } else if (fs::is_regular_file(status) && is_torch_file(path)) {
    return PathKind::pytorch;
  } else if (fs::is_regular_file(status) && path.extension() == ".bin") {
    return PathKind::corpus;  // nanoGPT's bare tokens
  }
  throw InvalidArgument(
      {.where = path.native(), .expected = kKnownForms, .got = fs::is_directory(status) ? "a directory without them" : "another file"});
}

Json inspect(const fs::path& path, PathKind kind) {
  Json finding{{"kind", to_string(kind)}, {"path", path.string()}};
  switch (kind) {
    case PathKind::safetensors:
      describe_tensors(io::SafetensorsFile::open(path), finding);
      break;
    case PathKind::pytorch:
      describe_torch(path, finding);
      break;
    case PathKind::state:
      describe_state(path, finding);
      break;
    case PathKind::model:
      describe_model(path, finding);
      break;
    case PathKind::run:
      describe_run(path, finding);
      break;
    case PathKind::tokenizer:
      finding.update(inspect_tokenizer(*text::load_tokenizer(path)));
      break;
    case PathKind::corpus:
      describe_corpus(path, finding);
      break;
  }
  return finding;
}

}  // namespace everlong::app
