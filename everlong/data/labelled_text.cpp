#include "everlong/data/labelled_text.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "everlong/data/labelled_files.h"
#include "everlong/io/excerpt.h"

namespace everlong::data {
namespace {

constexpr size_t kMaxClasses = 65536;
constexpr size_t kShownNames = 20;

std::string listed(const std::vector<std::string>& names) {
  const size_t shown = std::min(names.size(), kShownNames);
  std::vector<std::string> parts;
  for (size_t i = 0; i < shown; ++i) parts.push_back(io::excerpt(names[i]));
  return fmt::format("{}{}", fmt::join(parts, ", "), shown < names.size() ? ", ..." : "");
}

std::optional<int64_t> integer_of(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

void refuse_columns(const std::filesystem::path& path, const std::vector<std::string>& names) {
  throw FormatError({.file = path.string(), .offset = 1}, "columns of a known layout, as text and label, or sentence1, sentence2 and label",
                    listed(names), "name the columns that hold the texts and the label");
}

void refuse_missing(const std::filesystem::path& path, std::string_view column, const std::vector<std::string>& names) {
  throw InvalidArgument({.where = path.string(), .expected = fmt::format("a column '{}'", column), .got = listed(names)});
}

std::unique_ptr<LabelledTextReader> LabelledTextReader::open(const std::filesystem::path& path, const LabelledTextOptions& options) {
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".zst") name = name.stem();
  if (name.extension() == ".tsv" || name.extension() == ".txt") return open_labelled_tsv(path, options);
  if (name.extension() == ".jsonl") return open_labelled_jsonl(path, options);
  throw InvalidArgument({.where = "data",
                         .expected = "a labelled file: .tsv, .txt (columns between tabs) or .jsonl, also with .gz or .zst after it",
                         .got = path.string()});
}

LabelMap::LabelMap(std::vector<std::string> names) : names_(std::move(names)) {
  for (size_t i = 0; i < names_.size(); ++i) {
    require(!names_[i].empty(), [] { return Complaint{.where = "labels", .expected = "classes with names", .got = "an empty one"}; });
    const bool is_new = numbers_.emplace(names_[i], static_cast<int64_t>(i)).second;
    require(is_new, [&] { return Complaint{.where = "labels", .expected = "every class once", .got = fmt::format("'{}' twice", names_[i])}; });
  }
}

LabelMap LabelMap::sorted(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (std::all_of(names.begin(), names.end(), [](const std::string& name) { return integer_of(name).has_value(); })) {
    std::stable_sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) { return *integer_of(a) < *integer_of(b); });
  }
  return LabelMap(std::move(names));
}

std::optional<int64_t> LabelMap::find(std::string_view name) const {
  const auto found = numbers_.find(name);
  return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

int64_t LabelMap::number_of(std::string_view name, const FileLocation& location) const {
  const auto number = find(name);
  if (!number) throw FormatError(location, fmt::format("one of the classes {}", listed(names_)), fmt::format("'{}'", io::excerpt(name)));
  return *number;
}

LabelMap collect_labels(std::span<const std::filesystem::path> files, const LabelledTextOptions& options) {
  std::set<std::string> names;
  for (const std::filesystem::path& file : files) {
    const auto reader = LabelledTextReader::open(file, options);
    while (auto example = reader->next()) {
      for (std::string& name : example->classes) names.insert(std::move(name));
      if (names.size() > kMaxClasses) {
        throw FormatError({.file = file.string(), .offset = example->line}, fmt::format("at most {} classes", kMaxClasses), "more",
                          "is the label a number? Then the task is regression");
      }
    }
  }
  return LabelMap::sorted({names.begin(), names.end()});
}

}  // namespace everlong::data
