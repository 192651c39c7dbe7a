// Verbs whose rooms are not part of this build.

#include "apps/everlong/compute/runs.h"
#include "everlong/base/error.h"

namespace everlong::app {
namespace {

[[noreturn]] void refuse(const char* verb) { throw Unsupported({.where = verb, .expected = "a verb that is built in this version"}); }

}  // namespace

int run_data_pack(const DataOptions&) { refuse("data pack"); }
int run_state_diff(const StateOptions&) { refuse("state diff"); }
int run_convert(const ConvertOptions&) { refuse("convert"); }
int run_bench(const BenchOptions&) { refuse("bench"); }

}  // namespace everlong::app
