#pragma once
// The two kinds of labelled files. For the sources of the labelled text reader.

#include <filesystem>
#include <memory>

#include "everlong/data/labelled_text.h"

namespace everlong::data {

[[nodiscard]] std::unique_ptr<LabelledTextReader> open_labelled_tsv(const std::filesystem::path& path, const LabelledTextOptions& options);
[[nodiscard]] std::unique_ptr<LabelledTextReader> open_labelled_jsonl(const std::filesystem::path& path, const LabelledTextOptions& options);

/// The complaint about a file that has none of the known columns.
[[noreturn]] void refuse_columns(const std::filesystem::path& path, const std::vector<std::string>& names);

/// The complaint about a column that was asked for and is not there, or about a missing label.
[[noreturn]] void refuse_missing(const std::filesystem::path& path, std::string_view column, const std::vector<std::string>& names);

}  // namespace everlong::data
