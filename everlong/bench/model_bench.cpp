#include "everlong/bench/model_bench.h"

#include <algorithm>

#include "everlong/base/error.h"
#include "everlong/models/heads/causal_lm.h"
#include "everlong/models/registry.h"
#include "everlong/nn/linear.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/caching_allocator.h"
#include "everlong/tensor/torch.h"
#include "everlong/train/setup.h"

namespace everlong::bench {
namespace {

/// The parameters of a model as they were, after a time in which its matrices were stored for inference.
class ForInference {
 public:
  ForInference(models::TaskHead& model, at::ScalarType dtype) : model_(model) {
    for (const at::Tensor& parameter : model.parameters()) before_.emplace_back(parameter, parameter.detach());
    nn::store_matrices_as(model, dtype);
  }
  ~ForInference() {
    for (auto& [parameter, value] : before_) parameter.set_data(value);
    nn::pack_matrices(model_);  // the packed forms go where matrices are fp32 again
  }
  ForInference(const ForInference&) = delete;
  ForInference& operator=(const ForInference&) = delete;

 private:
  models::TaskHead& model_;
  std::vector<std::pair<at::Tensor, at::Tensor>> before_;
};

class ModelBench {
 public:
  ModelBench(const std::string& target, models::TaskHead& model, const ModelBenchOptions& options)
      : target_(target), model_(model), options_(options) {
    at::manual_seed(1);
    const auto on_device = at::TensorOptions(at::kLong).device(options.device);
    tokens_ = at::randint(model.model().vocab_size(), {options.batch_size, options.seq_len}, on_device);
    const at::Tensor asked =
        at::rand(tokens_.sizes(), on_device.dtype(at::kFloat)) < (model.task() == models::Task::masked_lm ? options.labelled : 1.0);
    labels_ = tokens_.masked_fill(asked.logical_not(), -100);
  }

  Measurement encode() {
    const at::NoGradGuard no_grad;
    model_.eval();
    return timed("encode", options_.seq_len, [&] { (void)model_.model().forward({.tokens = tokens_}); });
  }

  Measurement forward() {
    const at::NoGradGuard no_grad;
    model_.eval();
    return timed("forward", options_.seq_len, [&] { (void)model_.outputs({.tokens = tokens_}); });
  }

  Measurement prefill() {
    const at::NoGradGuard no_grad;
    model_.eval();
    return timed("prefill", options_.seq_len,
                 [&] { state_ = lm().forward({.tokens = tokens_}, model_.model().initial_state(options_.batch_size), true).state; });
  }

  Measurement decode() {
    const at::NoGradGuard no_grad;
    model_.eval();
    const models::ModelInput input{.tokens = tokens_.narrow(1, 0, 1)};
    nn::State state;
    return timed(
        "decode", options_.decode_tokens,
        [&] {
          for (int64_t i = 0; i < options_.decode_tokens; ++i) state = lm().forward(input, std::move(state), true).state;
        },
        [&] { state = state_.clone(); });
  }

  Measurement train_step() {
    state_ = {};
    model_.train();
    const train::OptimConfig optim;
    train::AdamW optimizer(train::parameter_groups(model_, optim), {.beta1 = optim.beta1, .beta2 = optim.beta2, .eps = optim.eps});
    return timed("train step", options_.seq_len, [&] {
      optimizer.zero_grad();
      model_.task_loss({.tokens = tokens_}, {.values = labels_}).backward();
      (void)optimizer.clip_gradients(optim.clip);
      optimizer.step(1e-5);
    });
  }

 private:
  [[nodiscard]] models::CausalLm& lm() const { return dynamic_cast<models::CausalLm&>(model_); }

  Measurement timed(const char* what, int64_t tokens_a_row, const std::function<void()>& call, const std::function<void()>& prepare = {}) const {
    release_cached_memory();  // what an earlier phase needed is not this one's
    const PeakMemory peak;
    const Timing timing = time_calls(call, options_.repeat, options_.device, prepare);
    const double tokens = static_cast<double>(options_.batch_size * tokens_a_row);
    return {.target = target_,
            .what = what,
            .dtype = std::string(dtype_name(options_.dtype)),
            .num_threads = at::get_num_threads(),
            .best_ms = timing.best_ms,
            .median_ms = timing.median_ms,
            .rates = {{"tokens_per_s", tokens / timing.median_ms * 1e3},
                      {"ms_per_token", timing.median_ms / static_cast<double>(tokens_a_row)},
                      {"peak_memory_bytes", static_cast<double>(peak.bytes())}}};
  }

  std::string target_;
  models::TaskHead& model_;
  const ModelBenchOptions& options_;
  at::Tensor tokens_, labels_;
  nn::State state_;
};

}  // namespace

std::shared_ptr<models::TaskHead> model_of_preset(const std::string& name, const std::vector<std::string>& overrides, const std::string& also) {
  std::string known = also;
  for (const models::Architecture& architecture : models::architectures()) {
    for (const auto& [preset, settings] : architecture.presets()) {
      known += (known.empty() ? "" : ", ") + preset;
      if (preset != name) continue;
      const auto config = architecture.make_config();
      config->fields().set_all(settings);
      for (const std::string& setting : overrides) config->fields().set_all(setting);
      return models::make_head(*config, config->default_task());
    }
  }
  throw Unsupported({.where = "bench", .expected = "a model directory, a run or one of " + known, .got = name});
}

std::vector<Measurement> bench_model(const std::string& target, models::TaskHead& model, const ModelBenchOptions& options) {
  require(std::min({options.batch_size, options.seq_len, options.decode_tokens}) >= 1,
          [] { return Complaint{.where = "bench", .expected = "every size at least 1"}; });
  const bool causal = model.task() == models::Task::causal_lm;
  if (!causal && model.task() != models::Task::masked_lm && options.only != ModelPhase::encode)
    throw Unsupported({.where = "bench",
                       .expected = "a language model",
                       .got = std::string(models::task_name(model.task())),
                       .hint = "--only encode times what it has below its head"});
  if (options.dtype == at::kDouble) model.to(at::kDouble);
  if (!options.device.is_cpu()) model.to(options.device);
  model.model().set_compute_dtype(options.dtype);
  model.model().set_activation_checkpointing(options.activation_checkpointing);
  ModelBench bench(target, model, options);
  std::vector<Measurement> all;
  if (options.only != ModelPhase::train) {
    const ForInference stored(model, options.dtype);
    if (options.only == ModelPhase::encode) {
      all.push_back(bench.encode());
    } else if (causal) {
      all.push_back(bench.prefill());
      nn::pack_matrices(model);
      all.push_back(bench.decode());
    } else {
      all.push_back(bench.forward());
    }
  }
  if (options.only == ModelPhase::all || options.only == ModelPhase::train) all.push_back(bench.train_step());
  return all;
}

}  // namespace everlong::bench
