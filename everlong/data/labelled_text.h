#pragma once
// Labelled examples from TSV and JSONL files, for fine-tuning. No torch.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/base/error.h"
#include "everlong/io/lines.h"

namespace everlong::data {

/// What is to be learned of an example; decides what its label is.
enum class Task {
  classification,        ///< one class
  regression,            ///< one number
  multi_label,           ///< any number of classes
  token_classification,  ///< one class a word
  multiple_choice,       ///< the number of the right choice, from 0
  question_answering,    ///< a stretch of the second text, or none
};

/// One example as the file has it: classes by name. Which members are set depends on the task.
struct LabelledExample {
  std::string text;                   ///< the first text; of question_answering the question
  std::optional<std::string> text_b;  ///< the second text; of question_answering the context
  std::vector<std::string> words;     ///< token_classification, instead of text
  std::vector<std::string> choices;   ///< multiple_choice: what may follow `text`
  bool has_label = false;             ///< the rest is empty without one
  std::vector<std::string> classes;   ///< classification: one; multi_label: sorted, each once; token_classification: one a word
  double value = 0;                   ///< regression; finite
  int64_t choice = 0;                 ///< multiple_choice
  std::vector<std::string> answers;   ///< question_answering: all that are right; none: the question has no answer
  int64_t answer_begin = -1;          ///< question_answering: first byte of answers[0] in the context; -1 without an answer
  int64_t line = 0;                   ///< number of its line, from 1
};

struct LabelledTextOptions {
  Task task = Task::classification;
  /// Columns, by a name of the header (or a JSON key), or in TSV by a number from 1. Absent: found by the names that are usual (see open()).
  std::optional<std::string> text = {}, text_b = {}, label = {};
  std::optional<bool> header = {};          ///< TSV: the first line names the columns; absent: if it holds names that are known or asked for
  std::optional<bool> skip_bad_lines = {};  ///< TSV lines with too few columns are left out and counted; absent: only in QQP's layout, which has some
  bool require_label = false;               ///< refuse a file without labels
  int64_t max_line_bytes = io::kMaxLineBytes;
};

/// Reads the examples of a file, one after the other, with memory for one line.
class LabelledTextReader {
 public:
  /// Opens a file; its name says what it is: .tsv, .txt or .jsonl, also with .gz or .zst after it. Quotes have no meaning in TSV.
  /// The layouts of GLUE are known by their headers (SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI, with and without labels), CoLA, which has none,
  /// by the name of its folder or file. Of other files these columns are taken, in this order of preference: text, text_b, label; sentence, label;
  /// premise, hypothesis, label; Source, Target; tokens, tags; question, context, answers; context or sent1, choices or ending0.., label.
  /// Errors   IoError; InvalidArgument if the name ends in something else or a column is asked for that is not there; FormatError naming what was
  /// found
  ///          where no layout fits
  [[nodiscard]] static std::unique_ptr<LabelledTextReader> open(const std::filesystem::path& path, const LabelledTextOptions& options);

  virtual ~LabelledTextReader() = default;

  /// The next example; absent at the end. Blank lines are skipped.
  /// Errors   FormatError naming file, line and column if a column is missing, text is not UTF-8, or a label is not what the task needs
  [[nodiscard]] virtual std::optional<LabelledExample> next() = 0;

  /// Lines left out so far by skip_bad_lines.
  [[nodiscard]] virtual int64_t skipped_lines() const = 0;
};

/// The classes of a task and their numbers, 0 ... size() - 1.
class LabelMap {
 public:
  LabelMap() = default;

  /// Classes in the order given.
  /// Errors   InvalidArgument if a name is empty or occurs twice
  explicit LabelMap(std::vector<std::string> names);

  /// Classes in ascending order: as numbers if all of them are integers, else as bytes.
  static LabelMap sorted(std::vector<std::string> names);

  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(names_.size()); }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  [[nodiscard]] std::optional<int64_t> find(std::string_view name) const;

  /// Errors   FormatError at `location` if there is no such class; the message lists those there are
  [[nodiscard]] int64_t number_of(std::string_view name, const FileLocation& location) const;

 private:
  std::vector<std::string> names_;
  std::map<std::string, int64_t, std::less<>> numbers_;
};

/// The sorted classes of all examples of the files. Reads them once, with memory for one line and the names.
/// Errors   as LabelledTextReader; FormatError if there are more than 65536 classes
[[nodiscard]] LabelMap collect_labels(std::span<const std::filesystem::path> files, const LabelledTextOptions& options);

}  // namespace everlong::data
