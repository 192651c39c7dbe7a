#include "apps/everlong/verbs/data_make.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/guard.h"
#include "apps/everlong/interrupt.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/base/error.h"
#include "everlong/data/lra/idx_images.h"
#include "everlong/io/atomic_file.h"

namespace everlong::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kExamplesBetweenUpdates = 256;  ///< a fraction of a second; what is done sooner needs no progress

void declare_common(Syntax& verb, DataMakeOptions& options, const char* out_doc) {
  verb.value("-o,--out", options.out, Kind::path, out_doc).required();
  verb.integer("-n,--count", options.count, {.min = 1, .max = std::numeric_limits<int32_t>::max()}, "Examples to make").required();
  verb.integer("--seed", options.seed, {.min = 0}, "Decides about all examples together with their numbers");
  verb.integer("--first", options.first, {.min = 0, .max = int64_t{1} << 39}, "Number of the first example: other numbers are other examples");
}

/// Calls `make(number)`, which returns the class, for each example; shows progress and counts the classes.
template <class Make>
std::vector<int64_t> make_all(const DataMakeOptions& options, size_t num_classes, const Make& make) {
  const InterruptScope interrupt;
  Progress progress;
  std::vector<int64_t> classes(num_classes);
  for (int64_t i = 0; i < options.count; ++i) {
    if (interrupt.requested()) throw Interrupted{};  // what was written so far is removed on the way out
    ++classes[static_cast<size_t>(make(options.first + i))];
    if ((i + 1) % kExamplesBetweenUpdates == 0) progress.update({.step = i + 1, .total_steps = options.count});
  }
  return classes;
}

std::vector<int64_t> make_listops_file(const DataMakeOptions& options) {
  data::ListOpsOptions listops = options.listops;
  listops.seed = static_cast<uint64_t>(options.seed);
  const std::string extension = fs::path(options.out).extension().string();
  require(extension == ".tsv" || extension == ".jsonl",
          [&] { return Complaint{.where = "--out", .expected = "a file that ends in .tsv or .jsonl", .got = options.out}; });
  io::AtomicFile file(options.out);
  if (extension == ".tsv") file.write("Source\tTarget\n");
  auto classes = make_all(options, 10, [&](int64_t number) {
    const data::ListOpsExample example = data::make_listops(listops, number);
    file.write(fmt::format(fmt::runtime(extension == ".tsv" ? "{}\t{}\n" : "{{\"text\": \"{}\", \"label\": {}}}\n"), example.text, example.value));
    return example.value;
  });
  file.commit();
  return classes;
}

std::vector<int64_t> make_pathfinder_files(const DataMakeOptions& options) {
  data::PathfinderOptions pathfinder = options.pathfinder;
  pathfinder.seed = static_cast<uint64_t>(options.seed);
  data::IdxWriter writer(options.out, options.count, pathfinder.size, pathfinder.size);
  auto classes = make_all(options, 2, [&](int64_t number) {
    const data::PathfinderImage image = data::make_pathfinder(pathfinder, number);
    writer.add(image.pixels, image.connected);
    return image.connected ? 1 : 0;
  });
  writer.commit();
  return classes;
}

}  // namespace

void declare_data_make(Syntax& data, DataMakeOptions& options, const std::function<void()>& chosen) {
  Syntax group = data.verb("make", "Make examples of long-range tasks");
  Syntax listops = group.verb("listops", "Make nested lists of digits whose value is the class");
  declare_common(listops, options, "File to write: .tsv or .jsonl");
  listops.integer("--max-depth", options.listops.max_depth, {.min = 2, .max = 64}, "Depth of nested operators");
  listops.integer("--max-args", options.listops.max_args, {.min = 2, .max = 1000}, "Arguments of an operator");
  listops.integer("--min-len", options.listops.min_len, {.min = 1}, "Least tokens of an example");
  listops.integer("--max-len", options.listops.max_len, {.min = 1}, "Most tokens of an example");
  listops.json(options.json);
  listops.on_chosen([&options, chosen] {
    options.kind = MadeData::listops;
    chosen();
  });
  listops.example("everlong data make listops --out listops/train.tsv --count 96000 --seed 1");
  listops.example("everlong data make listops --out listops/test.tsv --count 2000 --seed 1 --first 96000");
  Syntax pathfinder = group.verb("pathfinder", "Draw dashed curves with two discs: ends of one curve or not");
  declare_common(pathfinder, options, "Prefix of the files to write: PREFIX-images-idx3-ubyte, PREFIX-labels-idx1-ubyte");
  pathfinder.integer("--size", options.pathfinder.size, {.min = 16, .max = 1024}, "Pixels a side");
  pathfinder.integer("--dashes", options.pathfinder.dashes, {.min = 2, .max = 1000}, "Dashes of a long curve: the more, the harder");
  pathfinder.integer("--distractors", options.pathfinder.distractors, {.min = 0, .max = 1000}, "Short curves without a disc");
  pathfinder.number("--max-turn", options.pathfinder.max_turn, {.min = 0, .max = 1.5}, "Radians between two dashes");
  pathfinder.json(options.json);
  pathfinder.on_chosen([&options, chosen] {
    options.kind = MadeData::pathfinder;
    chosen();
  });
  pathfinder.example("everlong data make pathfinder --out pathfinder/train --count 160000 --seed 1");
  group.require_verb();
}

int run_data_make(const DataMakeOptions& options) {
  const fs::path folder = fs::path(options.out).parent_path();
  std::error_code error;
  if (!folder.empty()) fs::create_directories(folder, error);
  if (error) throw IoError("create", folder.string(), error.value());
  const bool is_listops = options.kind == MadeData::listops;
  const auto classes = is_listops ? make_listops_file(options) : make_pathfinder_files(options);
  if (options.json) {
    const nlohmann::ordered_json object = {{"out", options.out},
                                           {"kind", is_listops ? "listops" : "pathfinder"},
                                           {"count", options.count},
                                           {"seed", options.seed},
                                           {"classes", classes}};
    print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
    return kSuccess;
  }
  const auto [least, most] = std::pair(*std::min_element(classes.begin(), classes.end()), *std::max_element(classes.begin(), classes.end()));
  print(fmt::format("{}: {} examples in {} classes of {} to {}\n", printable(options.out), options.count, classes.size(), least, most));
  return kSuccess;
}

}  // namespace everlong::app
