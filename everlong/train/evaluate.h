#pragma once
// How well a language model predicts a text, in nats per token and bits per byte.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "everlong/data/corpus.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/text/tokenizer.h"

namespace everlong::train {

enum class Context {
  carry,  ///< the state goes from segment to segment: every token is predicted from the whole text before it
  reset,  ///< each segment starts afresh
};

struct EvaluateOptions {
  Context context = Context::carry;
  int64_t segment = 2048;                  ///< tokens a call; with carry it changes speed and memory, not the result
  std::optional<int64_t> max_tokens = {};  ///< evaluate the beginning only
  std::function<void(int64_t tokens)> progress = {};
};

/// Loss of the tokens whose index in the document lies in [begin, end).
struct PositionLoss {
  int64_t begin = 0, end = 0;
  int64_t tokens = 0;
  double nats = 0;
};

struct Evaluation {
  std::string file;
  int64_t tokens = 0;
  int64_t bytes = 0;
  double nats = 0;                        ///< sum over all tokens; the very first, which nothing precedes, costs log V
  std::vector<PositionLoss> by_position;  ///< bounds 0, 16, 32, 64, ...

  [[nodiscard]] double nats_per_token() const;
  [[nodiscard]] double perplexity() const;
  [[nodiscard]] double bits_per_byte() const;
};

/// Evaluates a document that arrives in pieces.
class Evaluator {
 public:
  /// Errors   InvalidArgument if segment < 1; Unsupported for carry with a model that does not stream
  Evaluator(models::CausalLm& model, EvaluateOptions options);

  void read(std::span<const int32_t> tokens);

  /// Ends the document. Errors  InvalidArgument if nothing was read
  [[nodiscard]] Evaluation finish(std::string file, int64_t bytes);

 private:
  void run_segment(std::span<const int32_t> tokens);
  void count(int64_t index, double nats);

  models::CausalLm& model_;
  EvaluateOptions options_;
  nn::State state_;
  std::vector<int32_t> pending_;
  Evaluation result_;
};

/// Evaluates one text file. The file is read and tokenized in pieces; memory does not grow with its length unless the model's state does.
/// Errors   IoError; InvalidArgument if the file is empty; Unsupported for carry with a model that does not stream
[[nodiscard]] Evaluation evaluate_file(models::CausalLm& model, const text::Tokenizer& tokenizer, const std::filesystem::path& file,
                                       const EvaluateOptions& options = {});

/// The same over tokens that are in memory; `bytes` is the length of the text they stand for.
[[nodiscard]] Evaluation evaluate_tokens(models::CausalLm& model, std::span<const int32_t> tokens, int64_t bytes,
                                         const EvaluateOptions& options = {});

/// Evaluates documents of which some tokens are learned and the rest is only read: conversations. Each document starts afresh; bytes are those of the
/// learned tokens, by_position stays empty.
/// Errors   InvalidArgument if no token is learned
[[nodiscard]] Evaluation evaluate_answers(models::CausalLm& model, const text::Tokenizer& tokenizer,
                                          const std::shared_ptr<const data::Corpus>& corpus, std::string file, int64_t segment);

}  // namespace everlong::train
