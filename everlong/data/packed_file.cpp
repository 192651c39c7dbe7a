#include "everlong/data/packed_file.h"

#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/base/error.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::data {
namespace {

constexpr std::string_view kFormat = "everlong.packed";
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxBytes = int64_t{2} << 30;  ///< byte counts of some 10^8 documents

class InfoReader {
 public:
  InfoReader(const io::Json& json, std::string file) : json_(json), file_(std::move(file)) {}

  PackedFileInfo read(int64_t num_documents) const {
    if (const io::Json* format = find("format"); !format || *format != kFormat) {
      refuse("format", fmt::format("\"{}\"", kFormat), format, "this name belongs to the description of the packed file; move the other file away");
    }
    if (const io::Json* version = find("version"); !version || *version != kVersion) refuse("version", fmt::format("{}", kVersion), version);
    PackedFileInfo info{.tokenizer = text("tokenizer"), .vocab_size = 0, .sources = {}, .document_bytes = {}};
    const io::Json* vocab_size = find("vocab_size");
    if (!vocab_size || !is_count(*vocab_size)) refuse("vocab_size", "an integer >= 0", vocab_size);
    info.vocab_size = vocab_size->get<int64_t>();
    for (const io::Json& source : list("sources")) {
      if (!source.is_string()) refuse("sources", "a list of texts", &source);
      info.sources.push_back(source.get<std::string>());
    }
    for (const io::Json& bytes : list("document_bytes")) {
      if (!is_count(bytes)) refuse("document_bytes", "a list of integers >= 0", &bytes);
      info.document_bytes.push_back(bytes.get<int64_t>());
    }
    if (std::cmp_not_equal(info.document_bytes.size(), num_documents)) {
      throw FormatError({.file = file_, .field = "document_bytes"}, fmt::format("{} documents", num_documents),
                        fmt::format("{}", info.document_bytes.size()), "the files of this name do not belong together; pack the text again");
    }
    return info;
  }

 private:
  /// Byte counts below 2^53 sum without overflow over any list that fits into a file.
  static bool is_count(const io::Json& value) { return value.is_number_unsigned() && value.get<uint64_t>() < uint64_t{1} << 53; }

  [[noreturn]] void refuse(std::string_view key, std::string_view expected, const io::Json* got, std::string_view hint = {}) const {
    throw FormatError({.file = file_, .field = std::string(key)}, expected, got ? io::excerpt(got->dump()) : "nothing", hint);
  }

  const io::Json* find(std::string_view key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  std::string text(std::string_view key) const {
    const io::Json* value = find(key);
    if (!value || !value->is_string()) refuse(key, "a text", value);
    return value->get<std::string>();
  }

  const io::Json& list(std::string_view key) const {
    const io::Json* value = find(key);
    if (!value || !value->is_array()) refuse(key, "a list", value);
    return *value;
  }

  const io::Json& json_;
  std::string file_;
};

}  // namespace

void write_packed_file_info(const std::filesystem::path& path, const PackedFileInfo& info) {
  io::write_json(path, io::OrderedJson{{"format", kFormat},
                                       {"version", kVersion},
                                       {"tokenizer", info.tokenizer},
                                       {"vocab_size", info.vocab_size},
                                       {"sources", info.sources},
                                       {"document_bytes", info.document_bytes}});
}

std::optional<PackedFileInfo> read_packed_file_info(const std::filesystem::path& path, int64_t num_documents) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::nullopt;
  const io::Json json = io::read_json_file(path, {.max_bytes = kMaxBytes});
  return InfoReader(json, path.string()).read(num_documents);
}

}  // namespace everlong::data
