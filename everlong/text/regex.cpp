#include "everlong/text/regex.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <vector>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include "everlong/base/error.h"

namespace everlong::text {
namespace {

constexpr size_t kMaxPatternBytes = 8192;
constexpr uint32_t kMaxSteps = 1'000'000;
constexpr uint32_t kMaxHeapKib = 64 * 1024;

template <auto free_function>
struct Deleter {
  template <class T>
  void operator()(T* pointer) const {
    free_function(pointer);
  }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using CompileContext = std::unique_ptr<pcre2_compile_context, Deleter<pcre2_compile_context_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(error, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct Regex::Compiled {
  std::string pattern;
  Code code;
  MatchContext context;
  std::mutex mutex;
  std::vector<MatchData> idle;

  MatchData take() {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return MatchData(pcre2_match_data_create(1, nullptr));
    MatchData data = std::move(idle.back());
    idle.pop_back();
    return data;
  }
  void give(MatchData data) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(data));
  }
};

Regex::Regex(const std::string& pattern, std::string_view where, std::string_view key) : compiled_(std::make_unique<Compiled>()) {
  const FileLocation location{.file = std::string(where), .field = std::string(key)};
  if (pattern.size() > kMaxPatternBytes)
    throw FormatError(location, fmt::format("a pattern of at most {} bytes", kMaxPatternBytes), std::to_string(pattern.size()));
  const CompileContext context(pcre2_compile_context_create(nullptr));
  pcre2_set_parens_nest_limit(context.get(), 50);
  int error = 0;
  size_t offset = 0;
  constexpr uint32_t kOptions = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
  compiled_->pattern = pattern;
  compiled_->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), kOptions, &error, &offset, context.get()));
  if (!compiled_->code) throw FormatError(location, "a regular expression", fmt::format("{} at byte {} of '{}'", message_of(error), offset, pattern));
  pcre2_jit_compile(compiled_->code.get(), PCRE2_JIT_COMPLETE);
  compiled_->context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(compiled_->context.get(), kMaxSteps);
  pcre2_set_heap_limit(compiled_->context.get(), kMaxHeapKib);
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

std::optional<ByteRange> Regex::find(std::string_view text, size_t from) const {
  MatchData data = compiled_->take();
  const auto search = [&](uint32_t options) {
    return pcre2_match(compiled_->code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, options, data.get(),
                       compiled_->context.get());
  };
  int result = search(0);
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = search(PCRE2_NO_JIT);
  std::optional<ByteRange> found;
  if (result >= 0) {
    const size_t* range = pcre2_get_ovector_pointer(data.get());
    found = {range[0], std::max(range[0], range[1])};
  }
  compiled_->give(std::move(data));
  if (result >= 0 || result == PCRE2_ERROR_NOMATCH) return found;
  throw Unsupported({.where = "tokenizer",
                     .expected = fmt::format("a pattern that needs at most {} steps a match", kMaxSteps),
                     .got = fmt::format("'{}': {}", compiled_->pattern, message_of(result)),
                     .hint = "rewrite the pattern without nested repeats"});
}

}  // namespace everlong::text
