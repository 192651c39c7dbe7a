#include "everlong/train/setup.h"

#include <filesystem>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/data/chats.h"
#include "everlong/data/learn_tokenizer.h"
#include "everlong/io/atomic_file.h"
#include "everlong/io/lines.h"
#include "everlong/tensor/torch.h"
#include "everlong/text/chat_format.h"

namespace everlong::train {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> paths_of(const std::vector<std::string>& names) { return {names.begin(), names.end()}; }

std::unique_ptr<text::Tokenizer> make_tokenizer(const TrainConfig& config) {
  const DataConfig& data = config.data;
  if (data.tokenizer == "bytes") return text::make_bytes_tokenizer();
  if (data.tokenizer != "bpe") return text::load_tokenizer(data.tokenizer);
  if (!config.init.empty()) return text::load_tokenizer(resolve_model_path(config.init));
  text::BpeTrainerOptions options;
  if (config.train.task != models::Task::causal_lm) options.special_tokens = {"<s>", "<pad>", "</s>", "<unk>", "<mask>"};  // as RoBERTa's
  return data::learn_bpe(paths_of(data.train), data.vocab_size, options);
}

/// Where the files lie that a tokenizer comes from; empty for one that is made here.
fs::path tokenizer_source(const TrainConfig& config) {
  if (config.data.tokenizer == "bpe") return config.init.empty() ? fs::path() : resolve_model_path(config.init);
  return config.data.tokenizer == "bytes" ? fs::path() : fs::path(config.data.tokenizer);
}

}  // namespace

std::shared_ptr<text::Tokenizer> prepare_tokenizer(const TrainConfig& config, const RunDirectory& directory) {
  if (fs::exists(directory.tokenizer())) return text::load_tokenizer(directory.tokenizer());
  std::shared_ptr<text::Tokenizer> tokenizer = make_tokenizer(config);
  io::AtomicFolder folder(directory.tokenizer());
  tokenizer->save(folder.temporary());
  if (config.data.format == DataFormat::chats) {
    const auto format = text::load_chat_format(tokenizer_source(config), *tokenizer, config.data.chat_template);
    io::atomic_write_text(folder.temporary() / text::kChatTemplateFile, format.chat_template.source());
  }
  folder.commit();
  return tokenizer;
}

void settle_vocabulary(const text::Tokenizer& tokenizer, TrainConfig& config) {
  if (config.init.empty()) return config.model->set_vocabulary(tokenizer.vocab_size());
  require(tokenizer.vocab_size() <= config.model->vocabulary(), [&] {
    return Complaint{.where = "data.tokenizer",
                     .expected = fmt::format("at most {} tokens, the vocabulary of model.init", config.model->vocabulary()),
                     .got = fmt::format("{}", tokenizer.vocab_size())};
  });
}

std::shared_ptr<const data::Corpus> prepare_corpus(const TrainConfig& config, const std::vector<std::string>& files, const text::Tokenizer& tokenizer,
                                                   const RunDirectory& directory) {
  if (config.data.format == DataFormat::text) return std::make_shared<data::Corpus>(data::Corpus::read(paths_of(files), tokenizer));
  return std::make_shared<data::Corpus>(data::read_chats(paths_of(files), tokenizer, text::load_chat_format(directory.tokenizer(), tokenizer)));
}

std::unique_ptr<data::BatchSource> prepare_batches(const TrainConfig& config, std::shared_ptr<const data::Corpus> corpus,
                                                   const text::Tokenizer& tokenizer) {
  data::BatchOptions options{.batch_size = config.data.batch_size, .seq_len = config.data.seq_len, .seed = static_cast<uint64_t>(config.train.seed)};
  if (config.data.end_of_document) {
    options.stream.eos_id = tokenizer.special_ids().eos;
    require(options.stream.eos_id.has_value(), [] {
      return Complaint{.where = "data.end_of_document", .expected = "a tokenizer with an end token", .got = "one without", .hint = "set it to false"};
    });
  }
  if (config.data.order == DataOrder::lanes) return std::make_unique<data::DocumentLanes>(std::move(corpus), options);
  return std::make_unique<data::PackedWindows>(std::move(corpus), options);
}

std::vector<NamedParameter> all_parameters(const models::TaskHead& model) {
  std::vector<NamedParameter> all;
  for (const auto& item : model.named_parameters()) all.push_back({item.key(), item.value()});
  return all;
}

std::vector<ParameterGroup> parameter_groups(const models::TaskHead& model, const OptimConfig& optim) {
  ParameterGroup decayed{.parameters = {}, .weight_decay = optim.weight_decay}, plain;
  for (NamedParameter& parameter : all_parameters(model)) {
    const bool decays = optim.decay == DecayedParameters::all || model.model().decays(parameter.name, parameter.tensor);
    (decays ? decayed : plain).parameters.push_back(std::move(parameter));
  }
  return {std::move(decayed), std::move(plain)};
}

}  // namespace everlong::train
