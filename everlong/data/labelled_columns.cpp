#include "everlong/data/labelled_columns.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "everlong/io/excerpt.h"

namespace everlong::data {
namespace {

struct Layout {
  const char* text;
  const char* text_b;               ///< null: one text
  std::vector<const char*> labels;  ///< the first that is there
  bool has_bad_lines = false;
};

/// In order of preference; a layout fits where its texts are there.
const std::vector<Layout>& pair_layouts() {
  static const std::vector<Layout> layouts = {
      {"#1 String", "#2 String", {"Quality"}},                                           // MRPC
      {"question1", "question2", {"is_duplicate"}, true},                                // QQP
      {"question", "sentence", {"label"}},                                               // QNLI
      {"sentence1", "sentence2", {"gold_label", "score", "label", "similarity_score"}},  // MNLI, STS-B, RTE, WNLI
      {"premise", "hypothesis", {"label", "gold_label"}},
      {"text", "text_b", {"label", "labels"}},
      {"text_a", "text_b", {"label", "labels"}},
      {"text", nullptr, {"label", "labels"}},
      {"sentence", nullptr, {"label", "labels"}},  // SST-2
      {"Source", nullptr, {"Target"}},             // ListOps
  };
  return layouts;
}

const std::vector<Layout>& layouts_of(Task task) {
  static const std::vector<Layout> tokens = {{"tokens", nullptr, {"ner_tags", "pos_tags", "tags", "labels", "label"}},
                                             {"words", nullptr, {"ner_tags", "pos_tags", "tags", "labels", "label"}},
                                             {"text", nullptr, {"tags", "labels", "label"}}};
  static const std::vector<Layout> choices = {{"sent1", nullptr, {"label"}},
                                              {"startphrase", nullptr, {"label"}},
                                              {"context", nullptr, {"label"}},
                                              {"question", nullptr, {"label", "answerKey"}},
                                              {"text", nullptr, {"label"}}};
  static const std::vector<Layout> answers = {{"question", "context", {"answers", "answer"}}, {"text", "text_b", {"answers", "answer"}}};
  switch (task) {
    case Task::token_classification:
      return tokens;
    case Task::multiple_choice:
      return choices;
    case Task::question_answering:
      return answers;
    default:
      return pair_layouts();
  }
}

bool has(const std::vector<std::string>& names, std::string_view name) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// The columns of the choices, or the one key that holds a list of them.
std::vector<std::string> choice_columns(const std::vector<std::string>& names) {
  for (const char* list : {"choices", "endings"}) {
    if (has(names, list)) return {list};
  }
  std::vector<std::string> found;
  for (const char* prefix : {"ending", "choice"}) {
    for (int i = 0; has(names, fmt::format("{}{}", prefix, i)); ++i) found.push_back(fmt::format("{}{}", prefix, i));
    if (!found.empty()) return found;
  }
  return found;
}

}  // namespace

std::optional<LabelledColumns> find_columns(const std::vector<std::string>& names, const LabelledTextOptions& options) {
  std::optional<LabelledColumns> columns;
  for (const Layout& layout : layouts_of(options.task)) {
    if (!has(names, layout.text) || (layout.text_b && !has(names, layout.text_b))) continue;
    columns = LabelledColumns{.text = layout.text, .text_b = layout.text_b ? layout.text_b : "", .has_bad_lines = layout.has_bad_lines};
    for (const char* label : layout.labels) {
      if (columns->label.empty() && has(names, label)) columns->label = label;
    }
    break;
  }
  if (options.text && !columns) columns = LabelledColumns{};
  if (!columns) return std::nullopt;
  if (options.text) {
    columns->text = *options.text;
    columns->text_b.clear();
  }
  if (options.text_b) columns->text_b = *options.text_b;
  if (options.label) columns->label = *options.label;
  if (columns->label.empty() && has(names, "label")) columns->label = "label";
  if (options.task == Task::multiple_choice) {
    columns->choices = choice_columns(names);
    if (columns->text == "sent1" && has(names, "sent2")) columns->choice_prefix = "sent2";
  }
  return columns;
}

std::optional<LabelledColumns> columns_without_header(const std::filesystem::path& path) {
  const auto named = [](std::string name) {
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    return name == "cola" || name.starts_with("cola_") || name.starts_with("cola.") || name.starts_with("cola-") || name.starts_with("in_domain_") ||
           name.starts_with("out_of_domain_");
  };
  const std::filesystem::path full = std::filesystem::absolute(path);
  for (const auto& part : {full.filename(), full.parent_path().filename(), full.parent_path().parent_path().filename()}) {
    if (named(part.string())) return LabelledColumns{.text = "4", .label = "2"};
  }
  return std::nullopt;
}

std::vector<std::string> split_words(std::string_view text, char separator) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

void check_text(std::string_view text, const FileLocation& location) {
  if (!io::is_valid_utf8(text)) throw FormatError(location, "UTF-8", fmt::format("'{}'", io::excerpt(text)));
}

void set_choices(std::vector<std::string> choices, std::string_view prefix, const FileLocation& location, LabelledExample& example) {
  if (choices.size() < 2) throw FormatError(location, "at least two choices", fmt::format("{}", choices.size()));
  if (!prefix.empty()) {
    for (std::string& choice : choices) choice = fmt::format("{} {}", prefix, choice);
  }
  example.choices = std::move(choices);
}

void set_value(double value, const FileLocation& location, LabelledExample& example) {
  if (!std::isfinite(value)) throw FormatError(location, "a finite number", fmt::format("{}", value));
  example.value = value;
  example.has_label = true;
}

void set_choice(int64_t choice, const FileLocation& location, LabelledExample& example) {
  if (choice < 0 || std::cmp_greater_equal(choice, example.choices.size())) {
    throw FormatError(location, fmt::format("the number of a choice from 0 to {}", example.choices.size() - 1), fmt::format("{}", choice));
  }
  example.choice = choice;
  example.has_label = true;
}

void set_classes(std::vector<std::string> classes, Task task, const FileLocation& location, LabelledExample& example) {
  for (const std::string& name : classes) {
    if (name.empty()) throw FormatError(location, "a class with a name", "an empty text");
  }
  if (task == Task::multi_label) {
    std::sort(classes.begin(), classes.end());
    classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  } else if (task == Task::token_classification && classes.size() != example.words.size()) {
    throw FormatError(location, fmt::format("one class for each of {} words", example.words.size()), fmt::format("{}", classes.size()));
  }
  example.classes = std::move(classes);
  example.has_label = true;
}

void set_label(std::string_view text, Task task, const FileLocation& location, LabelledExample& example) {
  const auto number = [&]<class Number>(Number value, const char* expected) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) throw FormatError(location, expected, fmt::format("'{}'", io::excerpt(text)));
    return value;
  };
  switch (task) {
    case Task::classification:
      return set_classes({std::string(text)}, task, location, example);
    case Task::regression:
      return set_value(number(0.0, "a number"), location, example);
    case Task::multi_label:
      return set_classes(split_words(text, ','), task, location, example);
    case Task::token_classification:
      return set_classes(split_words(text), task, location, example);
    case Task::multiple_choice:
      if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z') return set_choice(text[0] - 'A', location, example);
      return set_choice(number(int64_t{0}, "the number of a choice, or its letter"), location, example);
    case Task::question_answering:
      if (!text.empty()) {
        const size_t begin = example.text_b ? example.text_b->find(text) : std::string::npos;
        if (begin == std::string::npos) throw FormatError(location, "an answer that occurs in the context", fmt::format("'{}'", io::excerpt(text)));
        example.answers = {std::string(text)};
        example.answer_begin = static_cast<int64_t>(begin);
      }
      example.has_label = true;
  }
}

}  // namespace everlong::data
