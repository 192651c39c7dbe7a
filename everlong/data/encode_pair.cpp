#include "everlong/data/encode_pair.h"

#include <algorithm>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::data {
namespace {

struct Lens {
  size_t a = 0, b = 0;
};

Lens longest_first(Lens lens, size_t room) {
  if (lens.a + lens.b <= room) return lens;
  const bool a_is_longer = lens.a > lens.b;
  size_t& shorter = a_is_longer ? lens.b : lens.a;
  size_t& longer = a_is_longer ? lens.a : lens.b;
  if (2 * shorter > room) shorter = room / 2;
  longer = room - shorter;
  return lens;
}

void check_room(const PairOptions& options, int64_t needed, std::string_view what) {
  require(options.max_len >= needed, [&] {
    return Complaint{.where = "data", .expected = fmt::format("max_len >= {} for {}", needed, what), .got = fmt::format("{}", options.max_len)};
  });
}

}  // namespace

SequenceMarks sequence_marks(const text::Tokenizer& tokenizer) {
  const text::SpecialIds ids = tokenizer.special_ids();
  require(ids.bos && ids.eos, [&] {
    return Complaint{.where = "data",
                     .expected = "a tokenizer with a begin and an end token, as <s> and </s>",
                     .got = fmt::format("one of kind '{}' that lacks {}", tokenizer.kind(), ids.bos ? "the end token" : "the begin token"),
                     .hint = "name bos_token and eos_token in tokenizer_config.json"};
  });
  return {.begin = *ids.bos, .end = *ids.eos};
}

EncodedPair join_pair(std::vector<int32_t> a, const std::optional<std::vector<int32_t>>& b, const PairOptions& options) {
  EncodedPair pair;
  if (!b) {
    check_room(options, 3, "a text");
    a.resize(std::min(a.size(), static_cast<size_t>(options.max_len) - 2));
  }
  Lens lens{a.size(), b ? b->size() : 0};
  if (b) {
    check_room(options, 6, "two texts");
    const size_t room = static_cast<size_t>(options.max_len) - 4;
    if (options.truncation == Truncation::longest_first) {
      lens = longest_first(lens, room);
    } else {
      check_room(options, static_cast<int64_t>(a.size()) + 5, "a question with its context");
      lens.b = std::min(lens.b, room - lens.a);
    }
  }
  pair.ids.reserve(lens.a + lens.b + 4);
  pair.ids.push_back(options.marks.begin);
  pair.ids.insert(pair.ids.end(), a.begin(), a.begin() + static_cast<std::ptrdiff_t>(lens.a));
  pair.a = {1, pair.ids.size()};
  pair.ids.push_back(options.marks.end);
  if (!b) return pair;
  pair.ids.push_back(options.marks.end);
  pair.b.first = pair.ids.size();
  pair.ids.insert(pair.ids.end(), b->begin(), b->begin() + static_cast<std::ptrdiff_t>(lens.b));
  pair.b.second = pair.ids.size();
  pair.ids.push_back(options.marks.end);
  return pair;
}

EncodedPair encode_pair(const text::Tokenizer& tokenizer, std::string_view a, std::optional<std::string_view> b, const PairOptions& options,
                        bool parse_special) {
  const text::EncodeOptions encode{.add_special = false, .parse_special = parse_special};
  std::optional<std::vector<int32_t>> second;
  if (b) second = tokenizer.encode(*b, encode);
  return join_pair(tokenizer.encode(a, encode), second, options);
}

std::vector<size_t> token_ends(const text::Tokenizer& tokenizer, std::string_view text, const std::vector<int32_t>& ids) {
  std::string spelled;
  std::vector<size_t> ends;
  for (const int32_t id : ids) {
    spelled += tokenizer.token_bytes(id);
    ends.push_back(spelled.size());
  }
  const size_t added = spelled.size() == text.size() + 1 && spelled.starts_with(' ') ? 1 : 0;
  if (std::string_view(spelled).substr(added) != text) {
    throw Unsupported({.where = "data",
                       .expected = "a tokenizer whose tokens spell the text byte by byte",
                       .got = "one that changes the text",
                       .hint = "answers inside a text need a byte-level tokenizer, as GPT-2's and RoBERTa's"});
  }
  for (size_t& end : ends) end -= std::min(end, added);
  return ends;
}

}  // namespace everlong::data
