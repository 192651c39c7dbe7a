#include "everlong/data/token_roles.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/text/tokenizer.h"

namespace everlong::data {

TokenRoles token_roles(const text::Tokenizer& tokenizer) {
  const auto size = static_cast<size_t>(tokenizer.vocab_size());
  std::vector<uint8_t> special(size), begins_word(size);
  for (size_t id = 0; id < size; ++id) {
    const std::string_view bytes = tokenizer.token_bytes(static_cast<int32_t>(id));
    special[id] = bytes.empty();
    begins_word[id] = !bytes.empty() && (bytes[0] == ' ' || (bytes[0] >= '\t' && bytes[0] <= '\r'));
  }
  const text::SpecialIds ids = tokenizer.special_ids();
  for (const auto& id : {ids.bos, ids.eos, ids.pad, ids.unk, ids.mask}) {
    if (id) special[static_cast<size_t>(*id)] = 1;
  }
  return token_roles(std::move(special), std::move(begins_word));
}

TokenRoles token_roles(std::vector<uint8_t> special, std::vector<uint8_t> begins_word) {
  require(special.size() == begins_word.size(), [&] {
    return Complaint{
        .where = "masking", .expected = "two tables of one length", .got = fmt::format("{} and {} ids", special.size(), begins_word.size())};
  });
  TokenRoles roles{.special = std::move(special), .begins_word = std::move(begins_word), .ordinary = {}};
  for (size_t id = 0; id < roles.special.size(); ++id) {
    if (!roles.special[id]) roles.ordinary.push_back(static_cast<int32_t>(id));
  }
  require(!roles.ordinary.empty(), [] { return Complaint{.where = "masking", .expected = "a vocabulary with ordinary tokens", .got = "none"}; });
  return roles;
}

}  // namespace everlong::data
