#include "everlong/models/heads/embedder.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "apps/everlong/compute/runs.h"
#include "apps/everlong/compute/tasks.h"
#include "apps/everlong/guard.h"
#include "apps/everlong/output.h"
#include "apps/everlong/progress.h"
#include "everlong/base/error.h"
#include "everlong/data/collate.h"
#include "everlong/io/lines.h"
#include "everlong/io/npy.h"
#include "everlong/tensor/torch.h"

namespace everlong::app {
namespace {

/// The text of each line, or of .tsv and .jsonl the first text of each example.
std::vector<std::string> read_texts(const EmbedOptions& options) {
  const std::string& file = options.file;
  std::vector<std::string> texts;
  if (file.find(".tsv") != std::string::npos || file.find(".jsonl") != std::string::npos) {
    train::TaskDataOptions columns{.text_column = options.text_column};
    const auto reader = data::LabelledTextReader::open(file, train::labelled_text_options(columns));
    while (auto example = reader->next()) texts.push_back(std::move(example->text));
  } else {
    io::LineReader reader(file == "-" ? "/dev/stdin" : file);
    while (const auto line = reader.next()) texts.emplace_back(*line);
  }
  require(!texts.empty(), [&] { return Complaint{.where = file, .expected = "at least one line", .got = "none"}; });
  return texts;
}

models::Pooling pooling_of(EmbedPooling pooling) {
  switch (pooling) {
    case EmbedPooling::mean: return models::Pooling::mean;
    case EmbedPooling::first: return models::Pooling::first;
    case EmbedPooling::last: return models::Pooling::last;
    case EmbedPooling::pooler: break;
  }
  return models::Pooling::pooler;
}

void require_pooler(const LoadedTask& loaded) {
  const bool has = std::any_of(loaded.in_file.begin(), loaded.in_file.end(), [](const auto& name) { return name.find("pooler") != std::string::npos; });
  const std::string folder = loaded.folder.string();
  require(has, [&] {
    return Complaint{.where = folder, .expected = "a model with a pooler", .got = "one without", .hint = "use --pooling mean or first"};
  });
}

/// Shapes   returns [lines, D] fp32
at::Tensor vectors_of(const LoadedTask& loaded, const std::vector<std::string>& texts, const EmbedOptions& options, Progress& progress) {
  const at::NoGradGuard no_grad;
  auto& embedder = static_cast<models::Embedder&>(*loaded.model);
  const data::PairOptions pair{.marks = loaded.roles.marks, .max_len = options.max_len.value_or(train::sequence_limit(embedder.config()))};
  std::vector<std::vector<int32_t>> rows;
  for (const std::string& text : texts) rows.push_back(data::encode_pair(*loaded.tokenizer, text, std::nullopt, pair).ids);
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return rows[a].size() < rows[b].size(); });
  const auto count = static_cast<int64_t>(rows.size());
  at::Tensor vectors = at::empty({count, embedder.model().hidden_size()}, at::kFloat);
  const at::Device device = embedder.model().embedding_weight().device();
  for (int64_t begin = 0; begin < count; begin += options.batch_size) {
    std::vector<std::vector<int32_t>> batch;
    std::vector<int64_t> places;
    for (int64_t i = begin; i < std::min(count, begin + options.batch_size); ++i) {
      places.push_back(static_cast<int64_t>(order[static_cast<size_t>(i)]));
      batch.push_back(rows[order[static_cast<size_t>(i)]]);
    }
    const data::PaddedTokens padded = data::pad_rows(batch, {.pad_id = loaded.roles.pad});
    const at::Tensor made = embedder.embed({.tokens = padded.tokens.to(device), .valid = padded.attention_mask.to(device)}, pooling_of(options.pooling));
    vectors.index_copy_(0, at::tensor(places, at::kLong), made.to(at::kFloat).cpu());
    progress.update({.step = begin + static_cast<int64_t>(batch.size()), .total_steps = count});
  }
  return vectors;
}

}  // namespace

int run_embed(const EmbedOptions& options) {
  const bool pools = options.pooling == EmbedPooling::pooler;
  const LoadedTask loaded = load_task(options.model, models::Task::embedding, options.compute, "head.pooler");
  if (pools) require_pooler(loaded);
  const std::vector<std::string> texts = read_texts(options);
  Progress progress;
  const at::Tensor vectors = vectors_of(loaded, texts, options, progress).contiguous();
  progress.clear();
  const auto* bytes = reinterpret_cast<const std::byte*>(vectors.const_data_ptr<float>());
  io::write_npy(options.out, io::Dtype::F32, vectors.sizes(), {bytes, vectors.nbytes()});
  if (options.json) {
    const nlohmann::ordered_json object = {{"out", options.out}, {"vectors", vectors.size(0)}, {"dimensions", vectors.size(1)}};
    print(object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  } else {
    print(fmt::format("{}: {} vectors of {} numbers\n", printable(options.out), vectors.size(0), vectors.size(1)));
  }
  return kSuccess;
}

}  // namespace everlong::app
