#include "everlong/data/masking.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/rng.h"

namespace everlong::data {
namespace {

constexpr uint64_t kMaskingStream = 0x3A5C;  ///< the upper 16 bits of the stream number; the example is the rest
constexpr int kExampleBits = 48;

}  // namespace

Masking::Masking(TokenRoles roles, const MaskingOptions& options) : roles_(std::move(roles)), options_(options) {
  require(options.ratio > 0 && options.ratio <= 1,
          [&] { return Complaint{.where = "masking", .expected = "0 < ratio <= 1", .got = fmt::format("{}", options.ratio)}; });
  require(options.mask_share >= 0 && options.random_share >= 0 && options.mask_share + options.random_share <= 1 + 1e-12, [&] {
    return Complaint{.where = "masking",
                     .expected = "mask_share and random_share >= 0 that sum to at most 1",
                     .got = fmt::format("{} and {}", options.mask_share, options.random_share)};
  });
  require(options.mask_id >= 0 && options.mask_id < roles_.vocab_size(), [&] {
    return Complaint{.where = "masking",
                     .expected = fmt::format("a mask_id from 0 to {}", roles_.vocab_size() - 1),
                     .got = fmt::format("{}", options.mask_id),
                     .hint = "the tokenizer of a masked language model has a mask token"};
  });
}

void Masking::check(std::span<const int64_t> ids, std::span<const int64_t> labels, int64_t example) const {
  require(ids.size() == labels.size(), [&] {
    return Complaint{.where = "masking", .expected = "as many labels as ids", .got = fmt::format("{} and {}", labels.size(), ids.size())};
  });
  require(example >= 0 && example < int64_t{1} << kExampleBits,
          [&] { return Complaint{.where = "masking", .expected = "an example in [0, 2^48)", .got = fmt::format("{}", example)}; });
  for (const int64_t id : ids) {
    require(id >= 0 && id < roles_.vocab_size(), [&] {
      return Complaint{.where = "masking", .expected = fmt::format("ids from 0 to {}", roles_.vocab_size() - 1), .got = fmt::format("{}", id)};
    });
  }
}

std::vector<size_t> Masking::units(std::span<const int64_t> ids, std::vector<size_t>& positions) const {
  std::vector<size_t> begins;
  bool at_boundary = true;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto id = static_cast<size_t>(ids[i]);
    if (roles_.special[id]) {
      at_boundary = true;
      continue;
    }
    if (!options_.whole_words || at_boundary || roles_.begins_word[id]) begins.push_back(positions.size());
    positions.push_back(i);
    at_boundary = false;
  }
  begins.push_back(positions.size());
  return begins;
}

int64_t Masking::mask(std::span<int64_t> ids, std::span<int64_t> labels, int64_t example) const {
  check(ids, labels, example);
  std::fill(labels.begin(), labels.end(), kNoLabel);
  std::vector<size_t> positions;
  const std::vector<size_t> begins = units(ids, positions);
  const size_t num_units = begins.size() - 1;
  if (num_units == 0) return 0;
  CounterRng rng(options_.seed, kMaskingStream << kExampleBits | static_cast<uint64_t>(example));
  const auto wanted = static_cast<size_t>(std::floor(options_.ratio * static_cast<double>(num_units) + rng.next_uniform()));
  const size_t count = std::clamp(wanted, size_t{1}, num_units);
  std::vector<size_t> order(num_units);
  for (size_t i = 0; i < num_units; ++i) order[i] = i;
  int64_t num_labels = 0;
  for (size_t drawn = 0; drawn < count; ++drawn) {
    std::swap(order[drawn], order[drawn + rng.next_below(num_units - drawn)]);
    for (size_t at = begins[order[drawn]]; at < begins[order[drawn] + 1]; ++at) {
      int64_t& id = ids[positions[at]];
      labels[positions[at]] = id;
      ++num_labels;
      const double shown_as = rng.next_uniform();
      if (shown_as < options_.mask_share) {
        id = options_.mask_id;
      } else if (shown_as < options_.mask_share + options_.random_share) {
        id = roles_.ordinary[rng.next_below(roles_.ordinary.size())];
      }
    }
  }
  return num_labels;
}

}  // namespace everlong::data
