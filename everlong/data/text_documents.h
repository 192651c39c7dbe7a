#pragma once
// Documents from text files, one at a time.

#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "everlong/base/error.h"
#include "everlong/data/corpus.h"
#include "everlong/text/tokenizer.h"

namespace everlong::data {

enum class TextFileKind { txt, jsonl };

/// What the name of a file says that it is, .gz and .zst set aside; absent if it is neither.
[[nodiscard]] std::optional<TextFileKind> text_file_kind(const std::filesystem::path& path);

/// The complaint about a file that is none of those.
[[nodiscard]] Complaint not_a_text_file(const std::filesystem::path& path);

[[nodiscard]] text::EncodeOptions encode_options(const ReadOptions& options);

/// Calls `action` with each document of a text file in order; the text is valid during the call.
/// Cost     memory for one document
/// Errors   IoError; FormatError as io::read_document, io::LineReader and io::JsonlReader, also if a document is larger than the limit;
///          InvalidArgument if the name says that it is no text file
void for_each_document(const std::filesystem::path& path, const ReadOptions& options, const std::function<void(std::string_view)>& action);

}  // namespace everlong::data
