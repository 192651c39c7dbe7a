#include "everlong/data/encode_examples.h"

#include <algorithm>
#include <utility>

namespace everlong::data {

int64_t EncodedExample::max_len() const {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  return static_cast<int64_t>(longest);
}

ExampleEncoder::ExampleEncoder(const text::Tokenizer& tokenizer, LabelMap labels, const EncodeExamplesOptions& options)
    : tokenizer_(tokenizer), labels_(std::move(labels)), options_(options) {}

EncodedExample ExampleEncoder::encode(const LabelledExample& example, std::string_view file) const {
  EncodedExample encoded;
  encoded.has_label = example.has_label;
  encoded.value = example.value;
  encoded.line = example.line;
  const FileLocation location{.file = std::string(file), .offset = example.line, .field = "label"};
  switch (options_.task) {
    case Task::token_classification:
      encode_words(example, location, encoded);
      return encoded;
    case Task::multiple_choice:
      encode_choices(example, encoded);
      return encoded;
    case Task::question_answering:
      encode_answer(example, encoded);
      return encoded;
    case Task::classification:
      if (example.has_label) encoded.targets = {labels_.number_of(example.classes.at(0), location)};
      break;
    case Task::multi_label:
      if (example.has_label) encoded.targets.assign(static_cast<size_t>(labels_.size()), 0);
      for (const std::string& name : example.classes) encoded.targets[static_cast<size_t>(labels_.number_of(name, location))] = 1;
      break;
    case Task::regression:
      break;
  }
  encode_texts(example, location, encoded);
  return encoded;
}

void ExampleEncoder::encode_texts(const LabelledExample& example, const FileLocation& location, EncodedExample& encoded) const {
  const auto add = [&](std::string_view a, std::optional<std::string_view> b) {
    encoded.rows.push_back(encode_pair(tokenizer_, a, b, options_.pair, options_.parse_special).ids);
  };
  if (!options_.separate) return add(example.text, example.text_b);
  if (!example.text_b) throw FormatError({.file = location.file, .offset = location.offset, .field = "text_b"}, "a second text", "none");
  add(example.text, std::nullopt);
  add(*example.text_b, std::nullopt);
}

void ExampleEncoder::encode_words(const LabelledExample& example, const FileLocation& location, EncodedExample& encoded) const {
  // Byte-level words carry the space before them; the other families mark the beginning of a text as that of a word by themselves.
  const auto byte_space = tokenizer_.encode(" ", {.add_special = false, .parse_special = false});
  const bool spell_space = byte_space.size() == 1 && tokenizer_.token_bytes(byte_space[0]) == " ";
  std::vector<int32_t> ids;
  std::vector<int64_t> targets;
  for (size_t i = 0; i < example.words.size(); ++i) {
    const std::string word = (spell_space ? " " : "") + example.words[i];
    const size_t begin = ids.size();
    tokenizer_.encode_into(word, ids, {.add_special = false, .parse_special = options_.parse_special});
    targets.resize(ids.size(), kNoLabel);
    if (example.has_label && ids.size() > begin) targets[begin] = labels_.number_of(example.classes.at(i), location);
  }
  const EncodedPair pair = join_pair(std::move(ids), std::nullopt, options_.pair);
  if (example.has_label) {
    encoded.targets.assign(pair.ids.size(), kNoLabel);
    std::copy_n(targets.begin(), pair.a.second - pair.a.first, encoded.targets.begin() + static_cast<std::ptrdiff_t>(pair.a.first));
  }
  encoded.rows.push_back(pair.ids);
}

void ExampleEncoder::encode_choices(const LabelledExample& example, EncodedExample& encoded) const {
  for (const std::string& choice : example.choices) {
    encoded.rows.push_back(encode_pair(tokenizer_, example.text, choice, options_.pair, options_.parse_special).ids);
  }
  if (example.has_label) encoded.targets = {example.choice};
}

void ExampleEncoder::encode_answer(const LabelledExample& example, EncodedExample& encoded) const {
  const text::EncodeOptions plain{.add_special = false, .parse_special = false};
  const std::string& context = *example.text_b;
  const auto context_ids = tokenizer_.encode(context, plain);
  PairOptions options = options_.pair;
  options.truncation = Truncation::only_second;
  const EncodedPair pair = join_pair(tokenizer_.encode(example.text, plain), context_ids, options);
  if (example.has_label) {
    encoded.targets = {0, 0};
    if (!example.answers.empty()) {
      const auto ends = token_ends(tokenizer_, context, context_ids);
      const auto begin = static_cast<size_t>(example.answer_begin);
      const size_t end = begin + example.answers[0].size();
      const auto token_with = [&](size_t byte) { return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), byte) - ends.begin()); };
      const size_t first = token_with(begin), last = token_with(end - 1);
      if (last < pair.b.second - pair.b.first) {
        encoded.targets = {static_cast<int64_t>(pair.b.first + first), static_cast<int64_t>(pair.b.first + last)};
      }
    }
  }
  encoded.rows.push_back(pair.ids);
}

std::vector<EncodedExample> encode_file(const std::filesystem::path& path, const LabelledTextOptions& options, const ExampleEncoder& encoder) {
  const auto reader = LabelledTextReader::open(path, options);
  std::vector<EncodedExample> examples;
  while (const auto example = reader->next()) examples.push_back(encoder.encode(*example, path.string()));
  return examples;
}

}  // namespace everlong::data
