#pragma once
// The files of a task as token sequences for one model.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "everlong/data/collate.h"
#include "everlong/data/corpus.h"
#include "everlong/data/encode_examples.h"
#include "everlong/data/masking.h"
#include "everlong/models/heads/task_head.h"
#include "everlong/text/tokenizer.h"

namespace everlong::train {

/// The ids around texts, and behind them in a batch.
struct SequenceRoles {
  data::SequenceMarks marks = {};
  int32_t pad = 1;
};

/// Roles as the tokenizer has them; one that it lacks is what the model's configuration says, if that id is not a token of the text.
/// Errors   InvalidArgument if neither has a begin or an end
[[nodiscard]] SequenceRoles sequence_roles(const text::Tokenizer& tokenizer, const models::ArchitectureConfig& config);

/// Sets vocabulary, pad_token_id, bos_token_id and eos_token_id of a model that is to be made for a tokenizer; roles that the tokenizer lacks get
/// ids of their own behind its vocabulary.
void adopt_tokenizer(const text::Tokenizer& tokenizer, models::ArchitectureConfig& config);

/// The longest sequence that a configuration names, max_positions or max_position_embeddings; 2048 where it names none.
[[nodiscard]] int64_t sequence_limit(const models::ArchitectureConfig& config);

/// What the labelled text of a task is. automatic means classes, one an example.
/// Errors   Unsupported for the tasks of language models and for embedding
[[nodiscard]] data::Task data_task(models::Task task, models::ProblemType problem);

/// What a configuration means by automatic: one label is a value, several are classes.
[[nodiscard]] models::ProblemType problem_of(const models::TaskConfig& config);

struct TaskDataOptions {
  data::Task task = data::Task::classification;
  std::string text_column, text_b_column, label_column;  ///< empty = found by the usual names
  int64_t max_len = 512;                                 ///< tokens, marks included
  bool require_label = false;
  bool separate_texts = false;  ///< the two texts of an example as two rows
  bool pixels = false;          ///< files are images (idx), examples their pixels
};
[[nodiscard]] data::LabelledTextOptions labelled_text_options(const TaskDataOptions& options);

/// The examples of one file, as text and as tokens.
struct TaskExamples {
  std::string file;
  std::vector<data::LabelledExample> texts;
  std::vector<data::EncodedExample> encoded;
  bool all_labelled = true;
};

/// The classes of the files: data::collect_labels(), and the numbers in the labels files of images. Errors  as those readers
[[nodiscard]] data::LabelMap collect_task_labels(std::span<const std::filesystem::path> files, const TaskDataOptions& options);

/// Whether files are images; all of them, or none. Errors  InvalidArgument for a mixture
[[nodiscard]] bool are_images(std::span<const std::filesystem::path> files);

/// Reads and encodes a labelled file. Sentences whose words have no labels get class 0 in `encoded`, at the first token of each word, so that it is
/// known where words are predicted; `texts` says what the file has.
/// Cost     memory for all texts and tokens
/// Errors   as data::LabelledTextReader and data::ExampleEncoder, or as data::read_idx_images; InvalidArgument for an image where text is due, and
///          the other way round
[[nodiscard]] TaskExamples read_task_examples(const std::filesystem::path& file, const text::Tokenizer& tokenizer, const SequenceRoles& roles,
                                              const data::LabelMap& labels, const TaskDataOptions& options);

/// Padded tokens of examples as input and labels of a head, on the device of the head.
struct TaskBatch {
  models::ModelInput input;
  models::Labels labels;    ///< empty if an example has none
  int64_t num_choices = 1;  ///< rows a question
};
[[nodiscard]] TaskBatch task_batch(const data::ExampleBatch& batch, data::Task task, const at::Device& device);

struct MaskedTextOptions {
  data::MaskingOptions masking = {};  ///< mask_id is the tokenizer's
  int64_t max_len = 512;              ///< tokens, marks included
  int64_t pad_to_multiple = 1;
};

/// Text cut into sequences between marks, some tokens hidden.
class MaskedText {
 public:
  /// Reads corpus files (.txt, .jsonl, packed); documents are cut into pieces of max_len - 2 tokens.
  /// Errors   as data::Corpus::read; InvalidArgument if the tokenizer has no mask token, or nothing is there to read
  MaskedText(std::span<const std::filesystem::path> files, const text::Tokenizer& tokenizer, const SequenceRoles& roles,
             const MaskedTextOptions& options);

  [[nodiscard]] const std::vector<int64_t>& lens() const { return lens_; }

  struct Batch {
    TaskBatch batch;
    int64_t num_masked = 0;
  };
  /// The examples of those numbers; another `epoch`, other masks.
  [[nodiscard]] Batch batch(std::span<const int64_t> numbers, int64_t epoch, const at::Device& device) const;

 private:
  data::Corpus corpus_;
  SequenceRoles roles_;
  MaskedTextOptions options_;
  std::unique_ptr<data::Masking> masking_;
  std::vector<int64_t> begins_;  ///< of each piece in the corpus
  std::vector<int64_t> lens_;    ///< with marks
};

/// The mask token of a tokenizer. Errors  InvalidArgument if it has none
[[nodiscard]] int32_t mask_token(const text::Tokenizer& tokenizer);

}  // namespace everlong::train
