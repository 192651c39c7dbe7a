#pragma once
// Labelled examples as token sequences with targets: what the heads of encoders learn from. No torch.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/data/encode_pair.h"
#include "everlong/data/labelled_text.h"
#include "everlong/data/masking.h"

namespace everlong::data {

/// One example, ready for a batch. What `targets` holds depends on the task:
///   classification, multiple_choice   one number
///   multi_label                       for each class 1 or 0
///   token_classification              for each token the class of the word that it begins, else kNoLabel
///   question_answering                the first and the last token of the answer; 0 and 0, the begin token, where there is none in the sequence
///   regression                        nothing: `value` has it
struct EncodedExample {
  std::vector<std::vector<int32_t>> rows;  ///< token sequences: one, or one a choice, or two texts that are read separately
  std::vector<int64_t> targets;            ///< empty without a label
  double value = 0;
  bool has_label = false;
  int64_t line = 0;  ///< in its file, from 1

  [[nodiscard]] int64_t max_len() const;  ///< tokens of the longest row
};

struct EncodeExamplesOptions {
  Task task = Task::classification;
  PairOptions pair = {};       ///< question_answering always cuts the context only
  bool parse_special = false;  ///< text that spells a special token becomes it
  bool separate = false;       ///< the two texts as two rows, for models that read each by itself
};

/// Turns examples into token sequences. Refers to the tokenizer, which must outlive it.
class ExampleEncoder {
 public:
  /// `labels` may be empty for tasks without classes and for files without labels.
  ExampleEncoder(const text::Tokenizer& tokenizer, LabelMap labels, const EncodeExamplesOptions& options);

  /// `file` is for messages.
  /// Errors   FormatError if a class is unknown, or the second text is missing with `separate`; as join_pair and token_ends
  [[nodiscard]] EncodedExample encode(const LabelledExample& example, std::string_view file) const;

  [[nodiscard]] const LabelMap& labels() const { return labels_; }

 private:
  void encode_texts(const LabelledExample& example, const FileLocation& location, EncodedExample& encoded) const;
  void encode_words(const LabelledExample& example, const FileLocation& location, EncodedExample& encoded) const;
  void encode_answer(const LabelledExample& example, EncodedExample& encoded) const;
  void encode_choices(const LabelledExample& example, EncodedExample& encoded) const;

  const text::Tokenizer& tokenizer_;
  LabelMap labels_;
  EncodeExamplesOptions options_;
};

/// Reads and encodes all examples of a file.
/// Cost     memory for all tokens
/// Errors   as LabelledTextReader and ExampleEncoder
[[nodiscard]] std::vector<EncodedExample> encode_file(const std::filesystem::path& path, const LabelledTextOptions& options,
                                                      const ExampleEncoder& encoder);

}  // namespace everlong::data
