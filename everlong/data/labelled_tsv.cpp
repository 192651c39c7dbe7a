#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "everlong/data/labelled_columns.h"
#include "everlong/data/labelled_files.h"
#include "everlong/io/excerpt.h"

namespace everlong::data {
namespace {

std::vector<std::string_view> split_fields(std::string_view line) {
  std::vector<std::string_view> fields;
  for (;;) {
    const size_t tab = line.find('\t');
    fields.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return fields;
    line.remove_prefix(tab + 1);
  }
}

/// A column that is looked for by a number from 1.
std::optional<size_t> column_number(std::string_view name) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number == 0) return std::nullopt;
  return number - 1;
}

class TsvReader final : public LabelledTextReader {
 public:
  TsvReader(const std::filesystem::path& path, const LabelledTextOptions& options)
      : path_(path), options_(options), lines_(path, options.max_line_bytes) {
    const auto first = lines_.next();
    if (!first) return;
    std::string line(first->starts_with("\xef\xbb\xbf") ? first->substr(3) : *first);
    for (const std::string_view field : split_fields(line)) names_.emplace_back(field);
    const bool has_header = options.header.value_or(names_the_columns());
    std::optional<LabelledColumns> columns;
    if (has_header) {
      columns = find_columns(names_, options);
    } else {
      columns = columns_without_header(path);
      if (options.text) columns = LabelledColumns{.text = *options.text};
      if (columns && options.text_b) columns->text_b = *options.text_b;
      if (columns && options.label) columns->label = *options.label;
      held_ = std::move(line);
    }
    if (!columns) refuse_columns(path, names_);
    skip_bad_lines_ = options.skip_bad_lines.value_or(columns->has_bad_lines);
    resolve(*columns, has_header);
  }

  [[nodiscard]] std::optional<LabelledExample> next() override {
    for (;;) {
      const auto line = next_line();
      if (!line) return std::nullopt;
      if (line->empty()) continue;
      const auto fields = split_fields(*line);
      if (fields.size() >= needed_columns_ && fields.size() <= names_.size()) return read(fields);
      if (!skip_bad_lines_) {
        throw FormatError({path_.string(), lines_.line_number(), "columns"}, fmt::format("{}", names_.size()), fmt::format("{}", fields.size()),
                          "columns stand between tabs, and quotes have no meaning");
      }
      ++skipped_lines_;
    }
  }

  [[nodiscard]] int64_t skipped_lines() const override { return skipped_lines_; }

 private:
  struct Column {
    size_t index = 0;
    std::string name;
  };

  /// True if the first line holds the columns that are asked for by name, or those of a known layout.
  bool names_the_columns() const {
    bool by_name = false;
    for (const auto* name : {&options_.text, &options_.text_b, &options_.label}) {
      if (!*name) continue;
      if (std::find(names_.begin(), names_.end(), **name) != names_.end()) return true;
      by_name |= !column_number(**name);
    }
    if (by_name) return true;  // and the search for the name says that it is missing
    LabelledTextOptions any;
    any.task = options_.task;
    return find_columns(names_, any).has_value();
  }

  Column column(const std::string& name, bool has_header) const {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (has_header && found != names_.end()) return {static_cast<size_t>(found - names_.begin()), name};
    const auto number = column_number(name);
    if (!number || *number >= names_.size()) refuse_missing(path_, name, names_);
    return {*number, has_header ? names_[*number] : fmt::format("column {}", name)};
  }

  void resolve(const LabelledColumns& columns, bool has_header) {
    const auto find = [&](const std::string& name) {
      Column found = column(name, has_header);
      needed_columns_ = std::max(needed_columns_, found.index + 1);
      return found;
    };
    text_ = find(columns.text);
    if (!columns.text_b.empty()) text_b_ = find(columns.text_b);
    if (!columns.label.empty()) label_ = find(columns.label);
    if (!columns.choice_prefix.empty()) choice_prefix_ = find(columns.choice_prefix);
    for (const std::string& choice : columns.choices) choices_.push_back(find(choice));
    if (options_.require_label && !label_) refuse_missing(path_, "label", names_);
    if (options_.task == Task::multiple_choice && choices_.size() < 2) refuse_missing(path_, "ending0", names_);
    if (options_.task == Task::question_answering && !text_b_) refuse_missing(path_, "context", names_);
  }

  std::optional<std::string_view> next_line() {
    if (!held_) return lines_.next();
    current_ = std::move(*held_);
    held_.reset();
    return current_;
  }

  FileLocation location(const Column& column) const { return {path_.string(), lines_.line_number(), column.name}; }

  std::string text_of(const std::vector<std::string_view>& fields, const Column& column) const {
    check_text(fields[column.index], location(column));
    return std::string(fields[column.index]);
  }

  LabelledExample read(const std::vector<std::string_view>& fields) const {
    LabelledExample example;
    example.line = lines_.line_number();
    example.text = text_of(fields, text_);
    if (text_b_) example.text_b = text_of(fields, *text_b_);
    if (options_.task == Task::token_classification) {
      example.words = split_words(example.text);
      example.text.clear();
      if (example.words.empty()) throw FormatError(location(text_), "words between spaces", "none");
    }
    if (options_.task == Task::multiple_choice) {
      std::vector<std::string> choices;
      for (const Column& choice : choices_) choices.push_back(text_of(fields, choice));
      set_choices(std::move(choices), choice_prefix_ ? text_of(fields, *choice_prefix_) : "", location(choices_[0]), example);
    }
    if (label_) set_label(text_of(fields, *label_), options_.task, location(*label_), example);
    return example;
  }

  std::filesystem::path path_;
  LabelledTextOptions options_;
  io::LineReader lines_;
  std::vector<std::string> names_;   ///< of the header, or the fields of the first line
  std::optional<std::string> held_;  ///< the first line where it is no header
  std::string current_;
  Column text_;
  std::optional<Column> text_b_, label_, choice_prefix_;
  std::vector<Column> choices_;
  size_t needed_columns_ = 0;
  bool skip_bad_lines_ = false;
  int64_t skipped_lines_ = 0;
};

}  // namespace

std::unique_ptr<LabelledTextReader> open_labelled_tsv(const std::filesystem::path& path, const LabelledTextOptions& options) {
  return std::make_unique<TsvReader>(path, options);
}

}  // namespace everlong::data
