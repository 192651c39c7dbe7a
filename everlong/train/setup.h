#pragma once
// The parts of a training run, made from its configuration.

#include <memory>
#include <vector>

#include "everlong/data/batches.h"
#include "everlong/data/corpus.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/text/tokenizer.h"
#include "everlong/train/adamw.h"
#include "everlong/train/config.h"
#include "everlong/train/run_directory.h"

namespace everlong::train {

/// The run's own tokenizer where it has one already; else what data.tokenizer names, saved into the run.
/// With conversations their template lies beside it, as text::load_chat_format finds it first.
/// Errors   IoError, FormatError; InvalidArgument if bpe cannot be trained on the files; Unsupported for a template outside the subset
[[nodiscard]] std::shared_ptr<text::Tokenizer> prepare_tokenizer(const TrainConfig& config, const RunDirectory& directory);

/// Makes the model's vocabulary that of the tokenizer; with model.init it stays, and must hold the tokenizer's.
/// Errors   InvalidArgument if it does not
void settle_vocabulary(const text::Tokenizer& tokenizer, TrainConfig& config);

/// The documents or conversations of some files, with the tokenizer and template of the run.
[[nodiscard]] std::shared_ptr<const data::Corpus> prepare_corpus(const TrainConfig& config, const std::vector<std::string>& files,
                                                                 const text::Tokenizer& tokenizer, const RunDirectory& directory);
[[nodiscard]] std::unique_ptr<data::BatchSource> prepare_batches(const TrainConfig& config, std::shared_ptr<const data::Corpus> corpus,
                                                                 const text::Tokenizer& tokenizer);

/// Trainable parameters under our names, tied ones once.
[[nodiscard]] std::vector<NamedParameter> all_parameters(const models::TaskHead& model);
[[nodiscard]] std::vector<ParameterGroup> parameter_groups(const models::TaskHead& model, const OptimConfig& optim);

}  // namespace everlong::train
