#include "everlong/train/task_data.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/data/collate.h"
#include "everlong/data/lra/idx_images.h"
#include "everlong/data/token_roles.h"
#include "everlong/tensor/torch.h"

namespace everlong::train {
namespace {

std::optional<std::string> named(const std::string& column) { return column.empty() ? std::nullopt : std::optional(column); }

int64_t role_id(const std::optional<int32_t>& of_tokenizer, int64_t of_model, const text::Tokenizer& tokenizer) {
  if (of_tokenizer) return *of_tokenizer;
  return of_model >= tokenizer.vocab_size() ? of_model : -1;
}

/// Images as rows of pixels, their numbers as lines.
TaskExamples read_images(const std::filesystem::path& file, const data::LabelMap& labels, const TaskDataOptions& options) {
  const data::IdxImages images = data::read_idx_images(file, data::idx_labels_of(file));
  TaskExamples examples{.file = file.string()};
  for (int64_t i = 0; i < images.count(); ++i) {
    const auto pixels = images.image(i);
    const auto len = std::min(pixels.size(), static_cast<size_t>(options.max_len));
    const std::string name = fmt::format("{}", images.labels[static_cast<size_t>(i)]);
    const FileLocation location{.file = examples.file, .offset = i, .field = "label"};
    data::EncodedExample encoded{.has_label = true, .line = i + 1};
    encoded.rows.emplace_back(pixels.begin(), pixels.begin() + static_cast<std::ptrdiff_t>(len));
    encoded.targets = {labels.number_of(name, location)};
    examples.encoded.push_back(std::move(encoded));
    examples.texts.push_back({.has_label = true, .classes = {name}, .line = i + 1});
  }
  return examples;
}

}  // namespace

SequenceRoles sequence_roles(const text::Tokenizer& tokenizer, const models::ArchitectureConfig& config) {
  const text::SpecialIds ids = tokenizer.special_ids();
  const models::SpecialTokens own = config.special_tokens();
  const int64_t begin = role_id(ids.bos, own.bos, tokenizer), end = role_id(ids.eos, own.eos, tokenizer), pad = role_id(ids.pad, own.pad, tokenizer);
  require(begin >= 0 && end >= 0 && begin < config.vocabulary() && end < config.vocabulary(), [&] {
    return Complaint{.where = "sequences",
                     .expected = "a tokenizer or a model with a begin and an end token",
                     .got = fmt::format("begin {}, end {}", begin, end),
                     .hint = "a model that `everlong train` makes for a task gives a tokenizer without them ids of their own"};
  });
  return {.marks = {.begin = static_cast<int32_t>(begin), .end = static_cast<int32_t>(end)}, .pad = static_cast<int32_t>(pad >= 0 ? pad : end)};
}

void adopt_tokenizer(const text::Tokenizer& tokenizer, models::ArchitectureConfig& config) {
  const text::SpecialIds ids = tokenizer.special_ids();
  int64_t next = tokenizer.vocab_size();
  const Fields fields = config.fields();
  const auto adopt = [&](std::string_view key, const std::optional<int32_t>& id) {
    const int64_t value = id ? int64_t{*id} : next++;
    config.set_vocabulary(std::max<int64_t>(next, config.vocabulary()));
    if (const Field* field = fields.find(key)) field->set(value);
  };
  config.set_vocabulary(next);
  adopt("pad_token_id", ids.pad);
  adopt("bos_token_id", ids.bos);
  adopt("eos_token_id", ids.eos);
}

int64_t sequence_limit(const models::ArchitectureConfig& config) {
  const auto copy = config.clone();
  const Fields fields = copy->fields();
  for (const char* key : {"max_positions", "max_position_embeddings"}) {
    const Field* field = fields.find(key);
    const ConfigValue value = field == nullptr ? ConfigValue() : field->get();
    if (const auto* limit = std::get_if<int64_t>(&value); limit != nullptr && *limit > 2) return *limit;
  }
  return 2048;
}

data::Task data_task(models::Task task, models::ProblemType problem) {
  switch (task) {
    case models::Task::sequence_classification:
      if (problem == models::ProblemType::regression) return data::Task::regression;
      return problem == models::ProblemType::multi_label_classification ? data::Task::multi_label : data::Task::classification;
    case models::Task::token_classification:
      return data::Task::token_classification;
    case models::Task::multiple_choice:
      return data::Task::multiple_choice;
    case models::Task::question_answering:
      return data::Task::question_answering;
    default:
      break;
  }
  throw Unsupported({.where = "task",
                     .expected = "sequence-classification, token-classification, multiple-choice or question-answering",
                     .got = std::string(models::task_name(task)),
                     .hint = "it has no labelled examples"});
}

models::ProblemType problem_of(const models::TaskConfig& config) {
  if (config.problem_type != models::ProblemType::automatic) return config.problem_type;
  return config.num_labels == 1 ? models::ProblemType::regression : models::ProblemType::single_label_classification;
}

data::LabelledTextOptions labelled_text_options(const TaskDataOptions& options) {
  return {.task = options.task,
          .text = named(options.text_column),
          .text_b = named(options.text_b_column),
          .label = named(options.label_column),
          .require_label = options.require_label};
}

data::LabelMap collect_task_labels(std::span<const std::filesystem::path> files, const TaskDataOptions& options) {
  if (!options.pixels) return data::collect_labels(files, labelled_text_options(options));
  std::vector<std::string> names;
  for (const auto& file : files)
    for (const uint8_t label : data::read_idx_labels(data::idx_labels_of(file))) {
      if (label >= names.size()) names.resize(size_t{label} + 1);
      names[label] = fmt::format("{}", label);
    }
  std::erase(names, "");
  return data::LabelMap(names);
}

bool are_images(std::span<const std::filesystem::path> files) {
  const auto count = std::count_if(files.begin(), files.end(), [](const auto& file) { return data::is_idx_images(file); });
  require(count == 0 || std::cmp_equal(count, files.size()), [&] {
    return Complaint{.where = "data", .expected = "images in every file, or in none", .got = fmt::format("{} of {}", count, files.size())};
  });
  return count > 0;
}

TaskExamples read_task_examples(const std::filesystem::path& file, const text::Tokenizer& tokenizer, const SequenceRoles& roles,
                                const data::LabelMap& labels, const TaskDataOptions& options) {
  require(data::is_idx_images(file) == options.pixels, [&] {
    return Complaint{
        .where = file.string(), .expected = options.pixels ? "a file of images, ...images-idx3-ubyte" : "a file of texts", .got = "another"};
  });
  if (options.pixels) return read_images(file, labels, options);
  const data::PairOptions pair{.marks = roles.marks, .max_len = options.max_len};
  const data::ExampleEncoder encoder(tokenizer, labels, {.task = options.task, .pair = pair, .separate = options.separate_texts});
  const auto reader = data::LabelledTextReader::open(file, labelled_text_options(options));
  TaskExamples examples{.file = file.string()};
  while (auto example = reader->next()) {
    data::LabelledExample marked = *example;
    if (options.task == data::Task::token_classification && !example->has_label && labels.size() > 0) {
      marked.has_label = true;
      marked.classes.assign(marked.words.size(), labels.names().front());
    }
    examples.encoded.push_back(encoder.encode(marked, examples.file));
    examples.all_labelled = examples.all_labelled && example->has_label;
    examples.texts.push_back(std::move(*example));
  }
  require(!examples.encoded.empty(), [&] { return Complaint{.where = examples.file, .expected = "at least one example", .got = "none"}; });
  return examples;
}

TaskBatch task_batch(const data::ExampleBatch& batch, data::Task task, const at::Device& device) {
  TaskBatch made{.input = {.tokens = batch.tokens, .valid = batch.attention_mask}, .labels = {}};
  if (batch.tokens.dim() == 3) {
    made.num_choices = batch.tokens.size(1);
    made.input.tokens = batch.tokens.flatten(0, 1);
    made.input.valid = batch.attention_mask.flatten(0, 1);
  }
  made.input.tokens = made.input.tokens.to(device);
  made.input.valid = made.input.valid->to(device);
  if (!batch.targets) return made;
  if (task == data::Task::question_answering) {
    made.labels.starts = batch.targets->select(1, 0).contiguous().to(device);
    made.labels.ends = batch.targets->select(1, 1).contiguous().to(device);
  } else {
    made.labels.values = batch.targets->to(device);
  }
  return made;
}

int32_t mask_token(const text::Tokenizer& tokenizer) {
  const auto id = tokenizer.special_ids().mask;
  require(id.has_value(), [&] {
    return Complaint{.where = "masked-lm",
                     .expected = "a tokenizer with a mask token",
                     .got = fmt::format("one of the family {} without", tokenizer.kind()),
                     .hint = "that of RoBERTa or BART has one"};
  });
  return *id;
}

MaskedText::MaskedText(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const SequenceRoles& roles,
                       const MaskedTextOptions& options)
    : corpus_(data::Corpus::read(files, tokenizer, {.add_special = false})), roles_(roles), options_(options) {
  require(options.max_len >= 3,
          [&] { return Complaint{.where = "data.max_len", .expected = "at least 3", .got = fmt::format("{}", options.max_len)}; });
  options_.masking.mask_id = mask_token(tokenizer);
  masking_ = std::make_unique<data::Masking>(data::token_roles(tokenizer), options_.masking);
  const int64_t room = options.max_len - 2;
  for (int64_t document = 0; document < corpus_.num_documents(); ++document) {
    const int64_t end = corpus_.document_begin(document + 1);
    for (int64_t begin = corpus_.document_begin(document); begin < end; begin += room) {
      begins_.push_back(begin);
      lens_.push_back(std::min(room, end - begin) + 2);
    }
  }
  require(!lens_.empty(), [] { return Complaint{.where = "masked-lm", .expected = "text to learn from", .got = "no token"}; });
}

MaskedText::Batch MaskedText::batch(std::span<const int64_t> numbers, int64_t epoch, const at::Device& device) const {
  std::vector<std::vector<int32_t>> rows;
  std::vector<int64_t> ids;
  for (const int64_t number : numbers) {
    const int64_t len = lens_.at(static_cast<size_t>(number));
    ids.resize(static_cast<size_t>(len - 2));
    corpus_.copy_tokens(begins_[static_cast<size_t>(number)], ids);
    rows.emplace_back().push_back(roles_.marks.begin);
    rows.back().insert(rows.back().end(), ids.begin(), ids.end());
    rows.back().push_back(roles_.marks.end);
  }
  const data::PaddedTokens padded = data::pad_rows(rows, {.pad_id = roles_.pad, .multiple = options_.pad_to_multiple});
  at::Tensor labels = at::full_like(padded.tokens, data::kNoLabel);
  Batch made;
  const int64_t width = padded.tokens.size(1);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto place = static_cast<int64_t>(i) * width;
    const int64_t example = epoch * static_cast<int64_t>(lens_.size()) + numbers[i];
    made.num_masked += masking_->mask({padded.tokens.mutable_data_ptr<int64_t>() + place, rows[i].size()},
                                      {labels.mutable_data_ptr<int64_t>() + place, rows[i].size()}, example);
  }
  made.batch = {.input = {.tokens = padded.tokens.to(device), .valid = padded.attention_mask.to(device)}, .labels = {.values = labels.to(device)}};
  return made;
}

}  // namespace everlong::train
