#pragma once
// One stream of text: a model, what it remembers, and where it stands.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "everlong/generate/sampler.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/text/tokenizer.h"

namespace everlong::generate {

struct GenerateOptions {
  int64_t max_tokens = 200;
  SamplingOptions sampling = {};
  uint64_t seed = 0;
  std::vector<std::string> stop = {};  ///< texts that end the continuation; not part of it
  /// Receives the text as it comes, whole characters only; false ends the generation.
  std::function<bool(std::string_view text)> on_text = {};
};

enum class StopReason { length, stop_text, end_token, callback };

struct Generated {
  std::string text;
  std::vector<int32_t> tokens;
  StopReason reason = StopReason::length;
  double seconds = 0;  ///< of generation alone, without reading the prompt
};

/// Reads and continues text of any length. Where the model's state is bounded, so is the session's memory.
/// Threads  one session by one thread at a time; sessions of one model may run concurrently
class Session {
 public:
  /// A session that has read nothing. `model` must be in evaluation mode.
  Session(std::shared_ptr<models::CausalLm> model, std::shared_ptr<const text::Tokenizer> tokenizer);

  Session(Session&&) noexcept = default;
  Session& operator=(Session&&) noexcept = default;

  /// Reads text without answering, `segment` tokens a call. What the tokenizer adds around a text (bos) it adds at position 0 only: later texts
  /// continue the first.
  void read(std::string_view text, int64_t segment = 2048);
  void read_tokens(std::span<const int32_t> tokens, int64_t segment = 2048);

  /// Continues what was read; what it generates counts as read.
  /// Errors   InvalidArgument if nothing was read yet, or an option is out of range
  [[nodiscard]] Generated generate(const GenerateOptions& options);

  /// A second session that has read the same and goes its own way.
  [[nodiscard]] Session fork() const;

  /// Saves and restores what the session remembers. Errors  IoError, FormatError; StateError if the file belongs to another model or tokenizer
  void save(const std::filesystem::path& path) const;
  void load(const std::filesystem::path& path);

  [[nodiscard]] int64_t position() const;  ///< tokens read
  [[nodiscard]] int64_t state_bytes() const { return state_.bytes(); }

 private:
  /// Reads tokens and returns the scores of the next one. Shapes  [V] fp32
  at::Tensor advance(std::span<const int32_t> tokens);

  std::shared_ptr<models::CausalLm> model_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  nn::State state_;
  int32_t pending_ = -1;  ///< the last token read; it enters the state with the next call, which needs its scores
};

}  // namespace everlong::generate
