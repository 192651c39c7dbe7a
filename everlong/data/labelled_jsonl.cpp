#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "everlong/data/labelled_columns.h"
#include "everlong/data/labelled_files.h"
#include "everlong/io/excerpt.h"
#include "everlong/io/json.h"

namespace everlong::data {
namespace {

using io::Json;

std::string shown(const Json& value) { return io::excerpt(value.dump(-1, ' ', false, Json::error_handler_t::replace)); }

/// A class as the file names it: a text, an integer or a truth value.
std::string class_name(const Json& value, const FileLocation& location) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer() || value.is_boolean()) return value.dump();
  throw FormatError(location, "a class: a text or an integer", shown(value));
}

std::string text_of(const Json& value, const FileLocation& location) {
  if (!value.is_string()) throw FormatError(location, "a text", shown(value));
  return value.get<std::string>();
}

std::vector<std::string> class_names(const Json& value, const FileLocation& location) {
  if (!value.is_array()) throw FormatError(location, "a list of classes", shown(value));
  std::vector<std::string> names;
  for (const Json& item : value) names.push_back(class_name(item, location));
  return names;
}

std::vector<std::string> texts_of(const Json& value, const FileLocation& location) {
  if (!value.is_array()) throw FormatError(location, "a list of texts", shown(value));
  std::vector<std::string> texts;
  for (const Json& item : value) texts.push_back(text_of(item, location));
  return texts;
}

/// The byte at which the character of that number begins; absent beyond the end.
std::optional<size_t> byte_of_character(std::string_view text, uint64_t character) {
  size_t byte = 0;
  for (; byte < text.size(); ++byte) {
    if ((static_cast<unsigned char>(text[byte]) & 0xC0) == 0x80) continue;
    if (character-- == 0) return byte;
  }
  return character == 0 ? std::optional(byte) : std::nullopt;
}

/// One right answer and where it begins, in characters.
void add_answer(const Json& text, const Json& start, const FileLocation& location, LabelledExample& example) {
  std::string answer = text_of(text, location);
  if (!start.is_number_unsigned()) throw FormatError(location, "an answer_start >= 0", shown(start));
  const auto begin = byte_of_character(*example.text_b, start.get<uint64_t>());
  if (answer.empty() || !begin || example.text_b->compare(*begin, answer.size(), answer) != 0) {
    throw FormatError(location, fmt::format("an answer that stands at character {} of the context", start.get<uint64_t>()),
                      fmt::format("'{}'", io::excerpt(answer)));
  }
  if (example.answers.empty()) example.answer_begin = static_cast<int64_t>(*begin);
  example.answers.push_back(std::move(answer));
}

/// SQuAD's answers: {"text": [...], "answer_start": [...]}, [{"text": ..., "answer_start": ...}, ...], or the text alone.
void set_answers(const Json& value, const FileLocation& location, LabelledExample& example) {
  const auto member = [&](const Json& object, const char* key) -> const Json& {
    const auto found = object.is_object() ? object.find(key) : object.end();
    if (!object.is_object() || found == object.end()) throw FormatError(location, "answers with text and answer_start", shown(object));
    return *found;
  };
  if (value.is_string()) return set_label(value.get_ref<const std::string&>(), Task::question_answering, location, example);
  if (value.is_array()) {
    for (const Json& answer : value) add_answer(member(answer, "text"), member(answer, "answer_start"), location, example);
  } else {
    const Json& texts = member(value, "text");
    const Json& starts = member(value, "answer_start");
    if (!texts.is_array() || !starts.is_array() || texts.size() != starts.size()) {
      throw FormatError(location, "lists text and answer_start of one length", shown(value));
    }
    for (size_t i = 0; i < texts.size(); ++i) add_answer(texts[i], starts[i], location, example);
  }
  example.has_label = true;
}

class LabelledJsonlReader final : public LabelledTextReader {
 public:
  LabelledJsonlReader(const std::filesystem::path& path, const LabelledTextOptions& options)
      : path_(path), options_(options), lines_(path, options.max_line_bytes) {}

  [[nodiscard]] std::optional<LabelledExample> next() override {
    for (;;) {
      const auto line = lines_.next();
      if (!line) return std::nullopt;
      if (line->find_first_not_of(" \t") == std::string_view::npos) continue;
      const Json object = io::parse_json(*line, fmt::format("{}, line {}", path_.string(), lines_.line_number()));
      if (!object.is_object()) throw FormatError({path_.string(), lines_.line_number()}, "a JSON object", shown(object));
      if (!columns_) columns_ = find(object);
      return read(object);
    }
  }

  [[nodiscard]] int64_t skipped_lines() const override { return 0; }

 private:
  FileLocation location(const std::string& key) const { return {path_.string(), lines_.line_number(), key}; }

  /// The keys that the first line has decide for all.
  LabelledColumns find(const Json& object) const {
    std::vector<std::string> names;
    for (const auto& item : object.items()) names.push_back(item.key());
    auto columns = find_columns(names, options_);
    if (!columns) refuse_columns(path_, names);
    for (const auto* name : {&options_.text, &options_.text_b, &options_.label}) {
      if (*name && !object.contains(**name)) refuse_missing(path_, **name, names);
    }
    if (options_.require_label && columns->label.empty()) refuse_missing(path_, "label", names);
    if (options_.task == Task::multiple_choice && columns->choices.empty()) refuse_missing(path_, "choices", names);
    if (options_.task == Task::question_answering && columns->text_b.empty()) refuse_missing(path_, "context", names);
    return *columns;
  }

  const Json& member(const Json& object, const std::string& key) const {
    const auto found = object.find(key);
    if (found == object.end()) throw FormatError(location(key), "this key", "none");
    return *found;
  }

  LabelledExample read(const Json& object) const {
    LabelledExample example;
    example.line = lines_.line_number();
    const Json& text = member(object, columns_->text);
    if (options_.task == Task::token_classification) {
      example.words = text.is_string() ? split_words(text.get_ref<const std::string&>()) : texts_of(text, location(columns_->text));
      if (example.words.empty()) throw FormatError(location(columns_->text), "words", "none");
    } else {
      example.text = text_of(text, location(columns_->text));
    }
    if (!columns_->text_b.empty()) example.text_b = text_of(member(object, columns_->text_b), location(columns_->text_b));
    if (options_.task == Task::multiple_choice) read_choices(object, example);
    const auto label = columns_->label.empty() ? object.end() : object.find(columns_->label);
    if (label != object.end() && !label->is_null()) read_label(*label, location(columns_->label), example);
    if (options_.require_label && !example.has_label) throw FormatError(location(columns_->label), "a label", "none");
    return example;
  }

  void read_choices(const Json& object, LabelledExample& example) const {
    std::vector<std::string> choices;
    const std::string& first = columns_->choices[0];
    if (columns_->choices.size() == 1) {
      choices = texts_of(member(object, first), location(first));
    } else {
      for (const std::string& key : columns_->choices) choices.push_back(text_of(member(object, key), location(key)));
    }
    const std::string& prefix = columns_->choice_prefix;
    set_choices(std::move(choices), prefix.empty() ? "" : text_of(member(object, prefix), location(prefix)), location(first), example);
  }

  void read_label(const Json& label, const FileLocation& where, LabelledExample& example) const {
    switch (options_.task) {
      case Task::classification:
        return set_classes({class_name(label, where)}, options_.task, where, example);
      case Task::multi_label:
      case Task::token_classification:
        return set_classes(class_names(label, where), options_.task, where, example);
      case Task::regression:
        if (label.is_number()) return set_value(label.get<double>(), where, example);
        return set_label(text_of(label, where), options_.task, where, example);
      case Task::multiple_choice:
        return set_label(label.is_number_integer() ? label.dump() : text_of(label, where), options_.task, where, example);
      case Task::question_answering:
        return set_answers(label, where, example);
    }
  }

  std::filesystem::path path_;
  LabelledTextOptions options_;
  io::LineReader lines_;
  std::optional<LabelledColumns> columns_;
};

}  // namespace

std::unique_ptr<LabelledTextReader> open_labelled_jsonl(const std::filesystem::path& path, const LabelledTextOptions& options) {
  return std::make_unique<LabelledJsonlReader>(path, options);
}

}  // namespace everlong::data
