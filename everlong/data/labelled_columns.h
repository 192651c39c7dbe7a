#pragma once
// Which columns or keys of a labelled file hold what. For the sources of the labelled text reader.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/data/labelled_text.h"

namespace everlong::data {

/// The names of the columns of one kind of file. `label` may be missing from a file, the others may not.
struct LabelledColumns {
  std::string text;
  std::string text_b = {};                ///< empty: one text
  std::string label = {};                 ///< empty: no label
  std::vector<std::string> choices = {};  ///< multiple choice: a column each, or the one key of a list
  std::string choice_prefix = {};         ///< multiple choice: begins every choice, as SWAG's sent2; empty: none
  bool has_bad_lines = false;             ///< the published file has lines with too few columns
};

/// The layout of a file with these columns or keys; absent if none fits. Names in `options` override it.
[[nodiscard]] std::optional<LabelledColumns> find_columns(const std::vector<std::string>& names, const LabelledTextOptions& options);

/// The layout of CoLA, which has no header: 4 columns, the label in the second, the sentence in the fourth, as numbers from 1.
/// Absent unless the file or its folder is named after CoLA.
[[nodiscard]] std::optional<LabelledColumns> columns_without_header(const std::filesystem::path& path);

/// Sets the label of `example` from its text in a column.
/// Errors   FormatError at `location` if it is not what the task needs
void set_label(std::string_view text, Task task, const FileLocation& location, LabelledExample& example);

/// Sets the classes; sorts those of multi_label.
void set_classes(std::vector<std::string> classes, Task task, const FileLocation& location, LabelledExample& example);

/// Sets a value. Errors  FormatError if it is not finite
void set_value(double value, const FileLocation& location, LabelledExample& example);

/// Sets the number of the right choice. Errors  FormatError if there is no such choice
void set_choice(int64_t choice, const FileLocation& location, LabelledExample& example);

/// Takes the choices, each behind the prefix. Errors  FormatError if there are fewer than two
void set_choices(std::vector<std::string> choices, std::string_view prefix, const FileLocation& location, LabelledExample& example);

/// Checks that text is UTF-8. Errors  FormatError
void check_text(std::string_view text, const FileLocation& location);

/// Non-empty words between spaces.
[[nodiscard]] std::vector<std::string> split_words(std::string_view text, char separator = ' ');

}  // namespace everlong::data
