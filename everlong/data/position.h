#pragma once
// Where a run stands in its data: what every kind of position refuses in one of another run.

#include <cstdint>
#include <string_view>

#include <fmt/format.h>

#include "everlong/base/error.h"

namespace everlong::data {

/// Refuses a position whose `name` is not the one of this run. `whose` says in the message what else the position may belong to.
/// Errors   StateError
template <class Number>
void require_same(std::string_view name, Number here, Number there, std::string_view whose) {
  if (here == there) return;
  throw StateError({.where = "data",
                    .expected = fmt::format("a position with {} {}", name, here),
                    .got = fmt::format("{}", there),
                    .hint = fmt::format("the position belongs to a run on other {} or with another configuration", whose)});
}

/// Refuses a position outside every epoch. Errors  StateError
inline void require_inside_epoch(int64_t epoch, int64_t batch, int64_t batches_per_epoch) {
  if (epoch >= 0 && batch >= 0 && batch < batches_per_epoch) return;
  throw StateError({.where = "data",
                    .expected = fmt::format("a position with epoch >= 0 and batch in [0, {})", batches_per_epoch),
                    .got = fmt::format("epoch {}, batch {}", epoch, batch)});
}

}  // namespace everlong::data
