#include "everlong/text/added_token_matcher.h"

#include <algorithm>

#include "everlong/text/unicode.h"
#include "everlong/text/utf8.h"

namespace everlong::text {
namespace {

bool word_char_at(std::string_view text, size_t position) {
  const CodePoint point = code_point_at(text, position);
  return point.valid && is_word_char(point.value);
}

bool space_at(std::string_view text, size_t position) {
  const CodePoint point = code_point_at(text, position);
  return point.valid && char_class(point.value) == CharClass::space;
}

size_t spaces_begin(std::string_view text, size_t end, size_t limit) {
  while (end > limit) {
    const size_t before = code_point_before(text, end);
    if (before < limit || !space_at(text, before)) break;
    end = before;
  }
  return end;
}

size_t spaces_end(std::string_view text, size_t begin) {
  while (begin < text.size() && space_at(text, begin)) begin += code_point_at(text, begin).size_bytes;
  return begin;
}

}  // namespace

AddedTokenMatcher::AddedTokenMatcher(std::span<const AddedToken> tokens, std::span<const std::string> spellings)
    : tokens_(tokens.begin(), tokens.end()), nodes_(1) {
  for (size_t i = 0; i < spellings.size(); ++i) {
    if (spellings[i].empty()) continue;
    first_bytes_[static_cast<uint8_t>(spellings[i][0])] = true;
    uint32_t node = 0;
    for (const char c : spellings[i]) {
      const auto byte = static_cast<uint8_t>(c);
      auto& children = nodes_[node].children;
      const auto place = std::lower_bound(children.begin(), children.end(), std::pair<uint8_t, uint32_t>(byte, 0));
      if (place != children.end() && place->first == byte) {
        node = place->second;
        continue;
      }
      const auto made = static_cast<uint32_t>(nodes_.size());
      children.insert(place, {byte, made});
      nodes_.emplace_back();
      node = made;
    }
    nodes_[node].token = static_cast<int32_t>(i);
  }
}

std::optional<AddedTokenMatcher::Match> AddedTokenMatcher::next(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_[static_cast<uint8_t>(text[begin])]) continue;
    std::optional<Match> longest;
    uint32_t node = 0;
    for (size_t end = begin; end < text.size(); ++end) {
      const auto& children = nodes_[node].children;
      const auto byte = static_cast<uint8_t>(text[end]);
      const auto place = std::lower_bound(children.begin(), children.end(), std::pair<uint8_t, uint32_t>(byte, 0));
      if (place == children.end() || place->first != byte) break;
      node = place->second;
      if (nodes_[node].token >= 0) longest = {begin, end + 1, &tokens_[static_cast<size_t>(nodes_[node].token)]};
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

void AddedTokenMatcher::split(std::string_view text, bool parse_special, std::vector<TokenOrText>& pieces) const {
  size_t done = 0;
  size_t from = 0;
  while (!tokens_.empty()) {
    const auto match = next(text, from);
    if (!match) break;
    from = match->end;
    const AddedToken& token = *match->token;
    if (token.special && !parse_special) continue;
    if (token.single_word) {
      const bool free_before = match->begin == 0 || !word_char_at(text, code_point_before(text, match->begin));
      const bool free_after = match->end == text.size() || !word_char_at(text, match->end);
      if (!free_before || !free_after) continue;
    }
    if (match->end <= done) continue;  // the token before took it as its spaces
    size_t begin = std::max(match->begin, done);
    if (token.lstrip) begin = spaces_begin(text, begin, done);
    const size_t end = token.rstrip ? spaces_end(text, match->end) : match->end;
    if (begin > done) pieces.push_back({-1, done, begin});
    pieces.push_back({token.id, begin, end});
    done = end;
  }
  if (done < text.size()) pieces.push_back({-1, done, text.size()});
}

}  // namespace everlong::text
