#pragma once
// What an architecture gives to the rest: a configuration that can describe, check, build and name itself.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "everlong/base/config.h"
#include "everlong/checkpoint/name_table.h"
#include "everlong/checkpoint/tensor_file.h"
#include "everlong/checkpoint/training_file.h"
#include "everlong/models/task.h"

namespace everlong::models {

class Model;

using KeySet = std::set<std::string, std::less<>>;

/// How the language-model head is built on this architecture.
struct LmHeadOptions {
  bool dense = false;       ///< tanh(Linear(D -> D)) before the output matrix
  bool bias = false;        ///< bias of the output matrix
  bool tied = true;         ///< output matrix = token embedding
  int64_t output_size = 0;  ///< rows of an output matrix that is not tied; 0 = vocabulary
  double truncation = 0;    ///< its initial values stay within so many standard deviations; 0 = no bound
};

/// Token ids with a meaning to the model; -1 = none.
struct SpecialTokens {
  int64_t bos = -1;
  int64_t eos = -1;
  int64_t pad = -1;
};

/// A tensor of zeros that the family's public code wants to find in a file and that says nothing.
struct Placeholder {
  std::string name;  ///< in the public dialect
  std::vector<int64_t> shape;
  at::ScalarType dtype = at::kFloat;
};

using Renaming = std::pair<std::string, std::string>;

/// Who is to read what is written: names, layout and storage of the tensors.
enum class Dialect {
  hf,             ///< a model directory in the family's public dialect, that of its Hugging Face code where there is such
  fairseq,        ///< one file of torch.save for MEGA's original training code
  consolidated,   ///< a folder for Megalodon's release
  megalodon_hf,   ///< a folder for the package megalodon-hf
  megalodon_jax,  ///< one safetensors file for the package megalodon-jax
};

inline constexpr std::array<std::pair<std::string_view, Dialect>, 5> kDialectNames{{{"hf", Dialect::hf},
                                                                                    {"fairseq", Dialect::fairseq},
                                                                                    {"consolidated", Dialect::consolidated},
                                                                                    {"megalodon-hf", Dialect::megalodon_hf},
                                                                                    {"megalodon-jax", Dialect::megalodon_jax}}};

/// A checkpoint of other code for the architecture, in the public dialect.
struct AdoptedCheckpoint {
  Task task = Task::causal_lm;
  checkpoint::TensorMap tensors = {};  ///< under public names
  std::vector<Renaming> renamed = {};
  std::vector<std::string> ignored = {};  ///< known, without meaning or without a place here
  std::vector<std::string> notes = {};
};

/// A model as other code for the architecture would have saved it.
struct OriginalCheckpoint {
  checkpoint::TensorMap tensors = {};
  checkpoint::Settings settings = {};
  checkpoint::Metadata metadata = {};   ///< of a safetensors file
  std::vector<Renaming> renamed = {};   ///< from public names
  std::vector<std::string> notes = {};  ///< what that code does not have
};

/// Configuration of one architecture: its fields under their public keys, and what follows from them.
class ArchitectureConfig {
 public:
  virtual ~ArchitectureConfig() = default;

  [[nodiscard]] virtual std::string_view model_type() const = 0;  ///< key in models.def and "model_type" in config.json
  [[nodiscard]] virtual Fields fields() = 0;                      ///< bound to this object

  /// A key that only this architecture has: a config.json without "model_type" that gives it is of this architecture. Empty = there are no such
  /// files.
  [[nodiscard]] virtual std::string_view recognising_key() const { return ""; }

  /// Checks fields against each other. Errors  InvalidArgument or Unsupported, naming the keys
  virtual void validate() const = 0;

  /// Called after reading a public config.json that gave the keys `given`: sets own keys that it cannot know to what its authors' code does.
  virtual void adopt_public_defaults(const KeySet& given) { static_cast<void>(given); }

  /// Makes an encoder's configuration that of a decoder which takes the encoder's weights. Errors  Unsupported where that has no meaning
  virtual void become_decoder();

  /// Keys of other dialects' configurations that are understood or say nothing here: neither kept nor warned about.
  [[nodiscard]] virtual KeySet foreign_keys() const { return {}; }

  /// Takes a checkpoint of the authors' own training code or of another port: sets this configuration from its settings and shapes and gives its
  /// tensors public names. A file without settings may be the weights of a model directory whose config.json has set this configuration.
  /// None if the file is not of this architecture, or in the public dialect already.
  /// Errors   Unsupported for what cannot be represented, by name; FormatError if settings are missing or tensors have another shape
  virtual std::optional<AdoptedCheckpoint> adopt_original(const checkpoint::TrainingFile& original);
  /// The opposite way, from tensors under public names. Errors  Unsupported if the architecture does not have the dialect, or the code that reads
  /// it would compute something else
  [[nodiscard]] virtual OriginalCheckpoint original_checkpoint(Dialect dialect, Task task, const checkpoint::TensorMap& tensors) const;
  /// Joins the parts of a model that was split over devices, rank by rank, under public names.
  /// Errors   Unsupported where an architecture has no such files; FormatError naming file and tensor if the parts do not fit together
  [[nodiscard]] virtual checkpoint::TensorMap join_shards(const std::vector<checkpoint::TensorFile>& shards) const;
  /// Keys with values that the family's public code does not know: it would compute something else. As "key = value".
  [[nodiscard]] virtual std::vector<std::string> unknown_to_public_code() const { return {}; }

  /// Builds the model with freshly initialised fp32 parameters, drawn from torch's default generator.
  [[nodiscard]] virtual std::shared_ptr<Model> build() const = 0;
  [[nodiscard]] virtual std::unique_ptr<ArchitectureConfig> clone() const = 0;

  [[nodiscard]] virtual LmHeadOptions lm_head() const = 0;
  /// Dropout before a classifier that says nothing of its own, and the standard deviation of a head's initial matrices.
  [[nodiscard]] virtual double head_dropout() const { return 0; }
  [[nodiscard]] virtual double initializer_std() const { return 0.02; }

  [[nodiscard]] virtual std::vector<checkpoint::NameRule> name_rules(Task task) const = 0;  ///< public dialect
  [[nodiscard]] virtual std::string_view base_prefix() const = 0;                           ///< what public files of a model without a head leave out
  /// Public name of a task's class; empty = the architecture does not have the task.
  [[nodiscard]] virtual std::string_view head_class(Task task) const = 0;
  /// The task of a file that names no class.
  [[nodiscard]] virtual Task default_task() const { return Task::causal_lm; }
  /// Called before tensors of a public file are matched: lets an architecture make those of a near relative fit. Returns what it did, for people.
  virtual std::vector<std::string> adapt_public_tensors(checkpoint::TensorMap& tensors) const {
    return static_cast<void>(tensors), std::vector<std::string>();
  }
  [[nodiscard]] virtual int64_t parameter_count() const = 0;  ///< closed form, causal language model

  /// Bytes of carried state a row after `position` tokens, closed form. Units  element_bytes of the compute dtype
  [[nodiscard]] virtual int64_t state_bytes_per_row(int64_t position, int64_t element_bytes) const = 0;
  /// Bytes that a training step over `num_tokens` tokens keeps between forward and backward, an estimate; `checkpointed` = with activation checkpointing.
  [[nodiscard]] virtual int64_t activation_bytes(int64_t num_tokens, int64_t element_bytes, bool checkpointed) const = 0;

  [[nodiscard]] virtual SpecialTokens special_tokens() const = 0;
  [[nodiscard]] virtual int64_t model_width() const = 0;  ///< D
  [[nodiscard]] virtual int64_t vocabulary() const = 0;
  virtual void set_vocabulary(int64_t size) = 0;

  /// Written with the weights, ignored in reading.
  [[nodiscard]] virtual std::vector<Placeholder> placeholders() const { return {}; }

  /// Hash of every field: models with equal fingerprints accept each other's states.
  [[nodiscard]] std::string fingerprint() const;

 protected:
  ArchitectureConfig() = default;
  ArchitectureConfig(const ArchitectureConfig&) = default;
  ArchitectureConfig& operator=(const ArchitectureConfig&) = default;
};

}  // namespace everlong::models
