#include "everlong/text/pre_tokenizer.h"

#include <algorithm>

#include "everlong/text/unicode.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

/// A range that the pattern matched, or one between two matches.
struct Part {
  ByteRange range;
  bool match;
};

/// Calls `next(from)` for the matches in `text` from left to right; an empty match right behind another one does not count.
template <class Next>
void collect_parts(std::string_view text, bool invert, Next&& next, std::vector<Part>& parts) {
  size_t done = 0;
  size_t from = 0;
  while (from <= text.size()) {
    const std::optional<ByteRange> match = next(from);
    if (!match) break;
    const bool empty = match->begin == match->end;
    if (match->begin > done) parts.push_back({{done, match->begin}, invert});
    parts.push_back({*match, !invert});
    done = match->end;
    from = done;
    if (empty) from += from < text.size() ? code_point_at(text, from).size_bytes : 1;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, invert});
}

void merge_with_previous(std::vector<Part>& parts) {
  std::vector<Part> merged;
  bool previous_match = false;
  for (const Part& part : parts) {
    if (part.match && !previous_match && !merged.empty()) {
      merged.back().range.end = part.range.end;
    } else {
      merged.push_back(part);
    }
    previous_match = part.match;
  }
  parts.swap(merged);
}

void merge_with_next(std::vector<Part>& parts) {
  std::vector<Part> merged;
  bool previous_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->match && !previous_match && !merged.empty()) {
      merged.back().range.begin = part->range.begin;
    } else {
      merged.push_back(*part);
    }
    previous_match = part->match;
  }
  parts.assign(merged.rbegin(), merged.rend());
}

void merge_contiguous(std::vector<Part>& parts) {
  std::vector<Part> merged;
  for (const Part& part : parts) {
    if (!merged.empty() && merged.back().match == part.match) {
      merged.back().range.end = part.range.end;
    } else {
      merged.push_back(part);
    }
  }
  parts.swap(merged);
}

void apply_behavior(SplitBehavior behavior, std::vector<Part>& parts) {
  switch (behavior) {
    case SplitBehavior::isolated:
      return;
    case SplitBehavior::removed:
      std::erase_if(parts, [](const Part& part) { return part.match; });
      return;
    case SplitBehavior::merged_with_previous:
      return merge_with_previous(parts);
    case SplitBehavior::merged_with_next:
      return merge_with_next(parts);
    case SplitBehavior::contiguous:
      return merge_contiguous(parts);
  }
}

std::optional<ByteRange> find_literal(std::string_view text, size_t from, std::string_view what) {
  const size_t at = text.find(what, from);
  if (at == std::string_view::npos) return std::nullopt;
  return ByteRange{at, at + what.size()};
}

std::optional<ByteRange> find_number_char(std::string_view text, size_t from) {
  for (size_t i = from; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (point.valid && char_class(point.value) == CharClass::number) return ByteRange{i, i + point.size_bytes};
    i += point.size_bytes;
  }
  return std::nullopt;
}

/// Splits every range of `words` by `next(text, from)`.
template <class Next>
void split_each(Words& words, SplitBehavior behavior, bool invert, Next&& next) {
  std::vector<ByteRange> ranges;
  std::vector<Part> parts;
  for (const ByteRange& range : words.ranges) {
    const std::string_view word = std::string_view(words.buffer).substr(range.begin, range.end - range.begin);
    parts.clear();
    collect_parts(
        word, invert, [&](size_t from) { return next(word, from); }, parts);
    apply_behavior(behavior, parts);
    for (const Part& part : parts) {
      if (part.range.begin < part.range.end) ranges.push_back({range.begin + part.range.begin, range.begin + part.range.end});
    }
  }
  words.ranges.swap(ranges);
}

void apply_metaspace(const PreTokenizerStep& step, Words& words, bool at_text_start) {
  Words marked;
  marked.buffer.reserve(words.buffer.size() + words.buffer.size() / 2);
  for (const ByteRange& range : words.ranges) {
    const std::string_view word = std::string_view(words.buffer).substr(range.begin, range.end - range.begin);
    const size_t begin = marked.buffer.size();
    const bool marks = word.starts_with(' ') || word.starts_with(step.replacement);
    const bool first = at_text_start && range.begin == 0;
    if (!marks && (step.prepend == PrependScheme::always || (step.prepend == PrependScheme::first && first))) marked.buffer += step.replacement;
    for (const char c : word) {
      if (c == ' ') {
        marked.buffer += step.replacement;
      } else {
        marked.buffer += c;
      }
    }
    marked.ranges.push_back({begin, marked.buffer.size()});
  }
  words = std::move(marked);
  if (!step.split) return;
  split_each(words, SplitBehavior::merged_with_next, false,
             [&](std::string_view text, size_t from) { return find_literal(text, from, step.replacement); });
}

}  // namespace

PreTokenizer::PreTokenizer(const std::vector<PreTokenizerStep>& steps, std::string_view where) {
  for (const PreTokenizerStep& step : steps) {
    if (step.kind == PreTokenizerStep::Kind::byte_level) continue;
    steps_.push_back(step);
    patterns_.emplace_back();
    if (step.kind == PreTokenizerStep::Kind::split && step.pattern.is_regex)
      patterns_.back().emplace(step.pattern.text, where, "pre_tokenizer.pattern.Regex");
  }
}

void PreTokenizer::apply(Words& words, bool at_text_start) const {
  for (size_t i = 0; i < steps_.size(); ++i) {
    const PreTokenizerStep& step = steps_[i];
    if (step.kind == PreTokenizerStep::Kind::metaspace) {
      apply_metaspace(step, words, at_text_start);
    } else if (step.kind == PreTokenizerStep::Kind::digits) {
      split_each(words, step.individual_digits ? SplitBehavior::isolated : SplitBehavior::contiguous, false, find_number_char);
    } else if (patterns_[i]) {
      split_each(words, step.behavior, step.invert, [&](std::string_view text, size_t from) { return patterns_[i]->find(text, from); });
    } else {
      split_each(words, step.behavior, step.invert, [&](std::string_view text, size_t from) { return find_literal(text, from, step.pattern.text); });
    }
  }
}

}  // namespace everlong::text
