#include <algorithm>
#include <cerrno>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/json.h"
#include "everlong/io/mapped_file.h"
#include "everlong/text/gpt2_files.h"
#include "everlong/text/json_node.h"
#include "everlong/text/sentencepiece_tokenizer.h"
#include "everlong/text/tokenizer.h"
#include "everlong/text/tokenizer_json.h"

namespace everlong::text {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLookedFor =
    "everlong_tokenizer.json, tokenizer.json, vocab.bpe + encoder.json, vocab.json + merges.txt, or one *.model file";

enum class Form { bytes, tokenizer_json, gpt2_openai, gpt2_hugging_face, sentencepiece };

struct Found {
  Form form;
  fs::path first;        ///< the file, or the vocabulary
  fs::path second = {};  ///< the merges
};

std::unique_ptr<Tokenizer> load_bytes(const fs::path& path) {
  const io::Json json = io::read_json_file(path);
  const std::string name = path.string();
  const JsonNode root(json, name);
  root.allow_only({"kind"});
  const JsonNode kind = root.member("kind");
  if (kind.text() != "bytes") kind.not_supported("the kind 'bytes'", "another kind");
  return make_bytes_tokenizer();
}

std::unique_ptr<Tokenizer> load_tokenizer_json(const fs::path& path) {
  const fs::path config = path.parent_path() / "tokenizer_config.json";
  const bool has_config = path.filename() == "tokenizer.json" && fs::is_regular_file(config);
  const std::string name = path.string();
  return make_bpe_tokenizer(read_tokenizer_json(io::read_text_file(path), name, has_config ? io::read_text_file(config) : std::string()), name);
}

std::unique_ptr<Tokenizer> load_gpt2_files(const Found& found) {
  Gpt2Files files{.vocabulary = io::read_text_file(found.first),
                  .vocabulary_name = found.first.string(),
                  .merges = io::read_text_file(found.second),
                  .merges_name = found.second.string()};
  if (found.form == Form::gpt2_hugging_face) {
    const auto beside = [&](const char* name) {
      const fs::path path = found.first.parent_path() / name;
      return fs::is_regular_file(path) ? io::read_text_file(path) : std::string();
    };
    files.beside = {.config = beside("config.json"),
                    .tokenizer_config = beside("tokenizer_config.json"),
                    .special_tokens_map = beside("special_tokens_map.json"),
                    .added_tokens = beside("added_tokens.json")};
  }
  return make_bpe_tokenizer(read_gpt2_files(files), files.vocabulary_name);
}

std::unique_ptr<Tokenizer> load_found(const Found& found) {
  switch (found.form) {
    case Form::bytes:
      return load_bytes(found.first);
    case Form::tokenizer_json:
      return load_tokenizer_json(found.first);
    case Form::sentencepiece:
      return make_sentencepiece_tokenizer(io::read_text_file(found.first), found.first.string());
    case Form::gpt2_openai:
    case Form::gpt2_hugging_face:
      return load_gpt2_files(found);
  }
  return nullptr;
}

/// What the one file says about its form, by its name.
Found recognise_file(const fs::path& path) {
  const std::string name = path.filename().string();
  const std::string full_name = path.string();
  const auto beside = [&](const char* other) {
    const fs::path partner = path.parent_path() / other;
    require(fs::is_regular_file(partner), [&] {
      return Complaint{.where = full_name, .expected = fmt::format("{} beside it", other), .got = "none", .hint = "GPT-2's vocabulary is two files"};
    });
    return partner;
  };
  if (name == "everlong_tokenizer.json") return {Form::bytes, path};
  if (name == "encoder.json") return {Form::gpt2_openai, path, beside("vocab.bpe")};
  if (name == "vocab.bpe") return {Form::gpt2_openai, beside("encoder.json"), path};
  if (name == "vocab.json") return {Form::gpt2_hugging_face, path, beside("merges.txt")};
  if (name == "merges.txt") return {Form::gpt2_hugging_face, beside("vocab.json"), path};
  if (path.extension() == ".json") return {Form::tokenizer_json, path};
  if (path.extension() == ".model") return {Form::sentencepiece, path};
  throw InvalidArgument({.where = full_name, .expected = fmt::format("a tokenizer file: {}", kLookedFor), .got = fmt::format("'{}'", name)});
}

std::vector<fs::path> model_files(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.path().extension() == ".model") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

Found recognise_folder(const fs::path& folder) {
  const auto has = [&](const char* name) { return fs::is_regular_file(folder / name); };
  std::vector<Found> found;
  if (has("everlong_tokenizer.json")) found.push_back({Form::bytes, folder / "everlong_tokenizer.json"});
  if (has("tokenizer.json")) {
    found.push_back({Form::tokenizer_json, folder / "tokenizer.json"});
  } else {
    if (has("vocab.bpe") || has("encoder.json")) found.push_back(recognise_file(folder / (has("encoder.json") ? "encoder.json" : "vocab.bpe")));
    if (has("vocab.json") || has("merges.txt")) found.push_back(recognise_file(folder / (has("vocab.json") ? "vocab.json" : "merges.txt")));
    for (const fs::path& file : model_files(folder)) found.push_back({Form::sentencepiece, file});
  }
  const std::string name = folder.string();
  require(!found.empty(), [&] { return Complaint{.where = name, .expected = fmt::format("a tokenizer: {}", kLookedFor), .got = "none of them"}; });
  require(found.size() == 1, [&] {
    std::string names;
    for (const Found& one : found) names += (names.empty() ? "" : ", ") + one.first.filename().string();
    return Complaint{.where = name, .expected = "one tokenizer", .got = names, .hint = "name the file instead of the folder"};
  });
  return found[0];
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw IoError("open", path.string(), error ? error.value() : ENOENT, fmt::format("a tokenizer is {}", kLookedFor));
  if (!fs::is_directory(status)) return load_found(recognise_file(path));
  try {
    return load_found(recognise_folder(path));
  } catch (const fs::filesystem_error& failure) {
    throw IoError("read", path.string(), failure.code().value());
  }
}

}  // namespace everlong::text
