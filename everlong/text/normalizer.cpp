#include "everlong/text/normalizer.h"

#include <algorithm>

#include "everlong/base/error.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

/// What a normalizer may make of `size_bytes` of text: Unicode's own forms grow UTF-8 at most elevenfold.
size_t max_normalized_bytes(size_t size_bytes) { return 64 * size_bytes + 4096; }

void check_growth(size_t size_bytes, size_t limit_bytes) {
  require(size_bytes <= limit_bytes, [&] {
    return Complaint{.where = "tokenizer",
                     .expected = "a normalizer that makes a text at most 64 times as long",
                     .got = "one that makes it longer",
                     .hint = "look at the normalizer's Replace steps"};
  });
}

std::string replace_all(std::string_view text, std::string_view what, std::string_view with, size_t limit_bytes) {
  std::string out;
  out.reserve(text.size());
  size_t done = 0;
  for (size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, done)) {
    out += text.substr(done, at - done);
    out += with;
    check_growth(out.size(), limit_bytes);
    done = at + what.size();
  }
  out += text.substr(done);
  return out;
}

std::string replace_matches(std::string_view text, const Regex& pattern, std::string_view with, size_t limit_bytes) {
  std::string out;
  size_t done = 0;
  size_t from = 0;
  while (from <= text.size()) {
    const auto match = pattern.find(text, from);
    if (!match) break;
    out += text.substr(done, match->begin - done);
    out += with;
    check_growth(out.size(), limit_bytes);
    done = match->end;
    from = match->end > match->begin  ? match->end
           : match->end < text.size() ? match->end + code_point_at(text, match->end).size_bytes
                                      : text.size() + 1;
  }
  out += text.substr(done);
  return out;
}

bool space_at(std::string_view text, size_t position) {
  const CodePoint point = code_point_at(text, position);
  return point.valid && char_class(point.value) == CharClass::space;
}

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty() && space_at(text, 0)) text.remove_prefix(code_point_at(text, 0).size_bytes);
  while (right && !text.empty()) {
    const size_t last = code_point_before(text, text.size());
    if (!space_at(text, last)) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace

Normalizer::Normalizer(const std::vector<NormalizerStep>& steps, std::string_view where) : steps_(steps) {
  for (const NormalizerStep& step : steps_) {
    patterns_.emplace_back();
    if (step.kind == NormalizerStep::Kind::replace && step.pattern.is_regex)
      patterns_.back().emplace(step.pattern.text, where, "normalizer.pattern.Regex");
  }
}

std::string Normalizer::apply(std::string_view text) const {
  const size_t limit_bytes = max_normalized_bytes(text.size());
  std::string now(text);
  for (size_t i = 0; i < steps_.size(); ++i) {
    const NormalizerStep& step = steps_[i];
    switch (step.kind) {
      case NormalizerStep::Kind::prepend:
        if (!now.empty()) now.insert(0, step.content);
        break;
      case NormalizerStep::Kind::replace:
        now = patterns_[i] ? replace_matches(now, *patterns_[i], step.content, limit_bytes)
                           : replace_all(now, step.pattern.text, step.content, limit_bytes);
        break;
      case NormalizerStep::Kind::unicode:
        if (std::any_of(now.begin(), now.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
          now = normalize_unicode(now, step.form);
        break;
      case NormalizerStep::Kind::strip:
        now = std::string(strip(now, step.left, step.right));
        break;
    }
    check_growth(now.size(), limit_bytes);
  }
  return now;
}

}  // namespace everlong::text
