#include "everlong/train/predict.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/data/collate.h"
#include "everlong/data/encode_pair.h"
#include "everlong/tensor/torch.h"

namespace everlong::train {
namespace {

at::Tensor named(const std::vector<models::NamedTensor>& outputs, std::string_view name) {
  const auto found = std::find_if(outputs.begin(), outputs.end(), [&](const auto& output) { return output.name == name; });
  require(found != outputs.end(), [&] { return Complaint{.where = "predict", .expected = fmt::format("a head with {}", name), .got = "another"}; });
  return found->tensor.to(at::kDouble).cpu().contiguous();
}

std::vector<double> values_of(const at::Tensor& row) { return {row.const_data_ptr<double>(), row.const_data_ptr<double>() + row.numel()}; }

/// Probabilities of sequences or choices. Shapes  logits [B, K]
void read_scores(const at::Tensor& logits, data::Task task, std::span<Prediction* const> into) {
  const at::Tensor scores = task == data::Task::regression    ? logits
                            : task == data::Task::multi_label ? at::sigmoid(logits)
                                                              : at::softmax(logits, -1);
  for (size_t i = 0; i < into.size(); ++i) {
    into[i]->scores = values_of(scores[static_cast<int64_t>(i)]);
    into[i]->best = std::max_element(into[i]->scores.begin(), into[i]->scores.end()) - into[i]->scores.begin();
  }
}

/// Shapes   logits [T, K] of one sentence
void read_words(const at::Tensor& logits, const data::EncodedExample& example, size_t num_words, Prediction& into) {
  const at::Tensor scores = at::softmax(logits, -1);
  const auto best = scores.max(-1);
  const at::Tensor classes = std::get<1>(best), values = std::get<0>(best);
  for (size_t t = 0; t < example.targets.size(); ++t) {
    if (example.targets[t] == data::kNoLabel) continue;
    into.word_classes.push_back(classes.const_data_ptr<int64_t>()[t]);
    into.word_scores.push_back(values.const_data_ptr<double>()[t]);
  }
  into.word_classes.resize(num_words, data::kNoLabel);
  into.word_scores.resize(num_words, 0);
}

/// The best span of the context, or the begin token, which stands for no answer.
void read_answer(const at::Tensor& start_logits, const at::Tensor& end_logits, const std::vector<int32_t>& row, const SequenceRoles& roles,
                 int64_t max_answer_tokens, Prediction& into) {
  const auto end = static_cast<int64_t>(row.size()) - 1;  // the last end mark
  int64_t begin = 1;
  while (begin < end && !(row[static_cast<size_t>(begin)] == roles.marks.end && row[static_cast<size_t>(begin) - 1] == roles.marks.end)) ++begin;
  ++begin;
  const at::Tensor valid_start = at::log_softmax(start_logits.narrow(0, 0, end + 1), 0), valid_end = at::log_softmax(end_logits.narrow(0, 0, end + 1), 0);
  const auto* starts = valid_start.const_data_ptr<double>();
  const auto* ends = valid_end.const_data_ptr<double>();
  double best = starts[0] + ends[0];
  into.first = 0;
  into.last = -1;
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = i; j < std::min(end, i + max_answer_tokens); ++j) {
      if (starts[i] + ends[j] <= best) continue;
      best = starts[i] + ends[j];
      into.first = i - begin;
      into.last = j - begin;
    }
  }
  into.answer_score = std::exp(best);
}

/// Numbers of all examples, those of like shape and length together.
std::vector<int64_t> by_length(const std::vector<data::EncodedExample>& examples) {
  std::vector<int64_t> order(examples.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const auto &x = examples[static_cast<size_t>(a)], &y = examples[static_cast<size_t>(b)];
    return std::pair(x.rows.size(), x.max_len()) < std::pair(y.rows.size(), y.max_len());
  });
  return order;
}

}  // namespace

std::vector<Prediction> predict(models::TaskHead& head, const TaskExamples& examples, data::Task task, const SequenceRoles& roles,
                                const PredictOptions& options) {
  const at::NoGradGuard no_grad;
  head.eval();
  const at::Device device = head.model().embedding_weight().device();
  const std::vector<int64_t> order = by_length(examples.encoded);
  std::vector<Prediction> predictions(examples.encoded.size());
  for (size_t done = 0; done < order.size();) {
    size_t count = 1;
    const auto& first = examples.encoded[static_cast<size_t>(order[done])];
    while (done + count < order.size() && std::cmp_less(count, options.batch_size) &&
           examples.encoded[static_cast<size_t>(order[done + count])].rows.size() == first.rows.size())
      ++count;
    const std::span<const int64_t> numbers(order.data() + done, count);
    std::vector<data::EncodedExample> chosen;
    std::vector<Prediction*> into;
    for (const int64_t number : numbers) {
      chosen.push_back({.rows = examples.encoded[static_cast<size_t>(number)].rows});
      into.push_back(&predictions[static_cast<size_t>(number)]);
    }
    std::vector<int64_t> all(count);
    std::iota(all.begin(), all.end(), int64_t{0});
    const TaskBatch batch = task_batch(data::collate(chosen, all, task, {.pad_id = roles.pad}), task, device);
    const auto outputs = head.outputs(batch.input, batch.num_choices);
    if (task == data::Task::question_answering) {
      const at::Tensor starts = named(outputs, "start_logits"), ends = named(outputs, "end_logits");
      for (size_t i = 0; i < count; ++i)
        read_answer(starts[static_cast<int64_t>(i)], ends[static_cast<int64_t>(i)], chosen[i].rows[0], roles, options.max_answer_tokens, *into[i]);
    } else if (task == data::Task::token_classification) {
      const at::Tensor logits = named(outputs, "logits");
      for (size_t i = 0; i < count; ++i) {
        const auto number = static_cast<size_t>(numbers[i]);
        read_words(logits[static_cast<int64_t>(i)], examples.encoded[number], examples.texts[number].words.size(), *into[i]);
      }
    } else {
      read_scores(named(outputs, "logits"), task, into);
    }
    done += count;
    if (options.progress) options.progress(static_cast<int64_t>(done));
  }
  return predictions;
}

std::string answer_text(const text::Tokenizer& tokenizer, std::string_view context, const Prediction& prediction) {
  if (prediction.last < prediction.first) return "";
  const auto ids = tokenizer.encode(context, {.add_special = false, .parse_special = false});
  const std::vector<size_t> ends = data::token_ends(tokenizer, context, ids);
  const size_t begin = prediction.first == 0 ? 0 : ends.at(static_cast<size_t>(prediction.first) - 1);
  std::string_view answer = context.substr(begin, ends.at(static_cast<size_t>(prediction.last)) - begin);
  while (!answer.empty() && answer.front() == ' ') answer.remove_prefix(1);
  return std::string(answer);
}

std::vector<std::vector<MaskFill>> fill_masks(models::MaskedLm& model, const text::Tokenizer& tokenizer, std::string_view text, int64_t top_k) {
  const at::NoGradGuard no_grad;
  model.eval();
  const int32_t mask = mask_token(tokenizer);
  const SequenceRoles roles = sequence_roles(tokenizer, model.config());
  const data::PairOptions options{.marks = roles.marks, .max_len = std::max<int64_t>(sequence_limit(model.config()), static_cast<int64_t>(text.size()) + 2)};
  const std::vector<int32_t> ids = data::encode_pair(tokenizer, text, std::nullopt, options, true).ids;
  std::vector<int64_t> places;
  for (size_t i = 0; i < ids.size(); ++i)
    if (ids[i] == mask) places.push_back(static_cast<int64_t>(i));
  require(!places.empty(), [&] {
    const text::Tokenizer& t = tokenizer;
    std::string spelling = "<mask>";
    for (const char* known : {"<mask>", "[MASK]"})
      if (t.token_id(known) == mask) spelling = known;
    return Complaint{.where = "fill-mask", .expected = fmt::format("a text with {}", spelling), .got = "a text without"};
  });
  const at::Device device = model.model().embedding_weight().device();
  const at::Tensor columns = at::tensor(places, at::kLong).to(device);
  const at::Tensor tokens = at::tensor(std::vector<int64_t>(ids.begin(), ids.end()), at::kLong).unsqueeze(0).to(device);
  const at::Tensor logits = model.logits_at({.tokens = tokens}, at::zeros_like(columns), columns).to(at::kDouble).cpu();
  const int64_t known = std::min<int64_t>(tokenizer.vocab_size(), logits.size(1));
  const auto best = at::softmax(logits, -1).narrow(1, 0, known).topk(std::clamp<int64_t>(top_k, 1, known), -1);
  const at::Tensor scores = std::get<0>(best).contiguous(), found = std::get<1>(best).contiguous();
  std::vector<std::vector<MaskFill>> fills(places.size());
  for (size_t i = 0; i < places.size(); ++i) {
    for (int64_t k = 0; k < scores.size(1); ++k) {
      const int64_t at = static_cast<int64_t>(i) * scores.size(1) + k;
      fills[i].push_back({.token = static_cast<int32_t>(found.const_data_ptr<int64_t>()[at]), .score = scores.const_data_ptr<double>()[at]});
    }
  }
  return fills;
}

}  // namespace everlong::train
