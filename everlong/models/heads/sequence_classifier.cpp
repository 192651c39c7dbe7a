#include "everlong/models/heads/sequence_classifier.h"

#include <cmath>

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/models/heads/pooling.h"
#include "everlong/nn/activation.h"
#include "everlong/tensor/shape.h"
#include "everlong/tensor/torch.h"

namespace everlong::models {
namespace {

ProblemType meant(const TaskConfig& config, const at::Tensor& labels) {
  if (config.problem_type != ProblemType::automatic) return config.problem_type;
  if (config.num_labels == 1) return ProblemType::regression;
  return at::isIntegralType(labels.scalar_type(), true) ? ProblemType::single_label_classification : ProblemType::multi_label_classification;
}

constexpr double kPixelWeightStd = 1.0, kPixelBiasStd = 0.1;

void init_xavier_uniform(at::Tensor& weight) {
  const at::NoGradGuard no_grad;
  const double bound = std::sqrt(6.0 / static_cast<double>(weight.size(0) + weight.size(1)));
  weight.uniform_(-bound, bound);
}

}  // namespace

SequenceClassifier::SequenceClassifier(const ArchitectureConfig& config, const TaskConfig& task_config)
    : TaskHead(config, Task::sequence_classification, task_config) {
  const int64_t D = model_->hidden_size(), inner = shape().hidden_size.value_or(D);
  const bool gelu = shape().activation == ClassifierActivation::gelu;
  const auto head = add_head();
  dense_ = head->register_module("dense", std::make_shared<nn::Linear>(shape().pairs == ClassifierPairs::separate ? 2 * D : D, inner));
  output_ = head->register_module("output", std::make_shared<nn::Linear>(inner, task_config.num_labels, !gelu));
  for (nn::Linear* linear : {dense_.get(), output_.get()}) {
    if (gelu)
      init_xavier_uniform(linear->weight);
    else
      nn::init_normal_(linear->weight, config.initializer_std());
  }
  if (!shape().reads_pixels()) return;
  if (!checkpoint::to_public_name(config.name_rules(Task::sequence_classification), "head.pixels.weight"))
    throw Unsupported(
        {.where = std::string(config.model_type()), .expected = "an architecture that reads pixels", .got = "this one", .hint = "mega does"});
  pixels_ = head->register_module("pixels", std::make_shared<nn::Linear>(1, D));
  nn::init_normal_(pixels_->weight, kPixelWeightStd);
  nn::init_normal_(pixels_->bias, kPixelBiasStd);
}

at::Tensor SequenceClassifier::pooled(const ModelInput& input) {
  ModelInput read = input;
  if (pixels_) {
    require(input.tokens.defined() && input.tokens.numel() > 0 && input.tokens.ge(0).logical_and(input.tokens.le(255)).all().item<bool>(),
            [] { return Complaint{.where = "classifier", .expected = "pixels of 0 to 255 as tokens", .got = "others"}; });
    const at::Tensor values = input.tokens.to(dense_->weight.scalar_type()).div(255).sub(shape().pixel_mean).div(*shape().pixel_std);
    read.embeddings = pixels_->forward(values.unsqueeze(-1));
    read.tokens = at::Tensor();
  }
  const at::Tensor hidden = model_->forward(read).hidden;
  const at::Tensor one = shape().pooling == ClassifierPooling::mean ? mean_hidden(hidden, input.valid) : hidden.select(1, 0);
  if (shape().pairs == ClassifierPairs::joined) return one;
  require(one.size(0) % 2 == 0,
          [&] { return Complaint{.where = "classifier", .expected = "two rows an example", .got = fmt::format("{} rows", one.size(0))}; });
  return one.view({-1, 2, one.size(1)}).flip(1).flatten(1);
}

at::Tensor SequenceClassifier::logits(const ModelInput& input) {
  const at::Tensor x = pooled(input);
  const auto drop = [&](const at::Tensor& value) { return nn::dropout(value, classifier_dropout(), is_training()); };
  if (shape().activation == ClassifierActivation::gelu) return output_->forward(at::gelu(drop(dense_->forward(x))));
  return output_->forward(drop(at::tanh(dense_->forward(drop(x)))));
}

std::vector<NamedTensor> SequenceClassifier::outputs(const ModelInput& input, int64_t /*num_choices*/) { return {{"logits", logits(input)}}; }

at::Tensor SequenceClassifier::task_loss(const ModelInput& input, const Labels& labels) {
  const at::Tensor scores = logits(input);
  const at::Tensor x = scores.scalar_type() == at::kDouble ? scores : scores.to(at::kFloat);
  switch (meant(task_config(), labels.values)) {
    case ProblemType::regression: {
      const at::Tensor wanted = labels.values.to(x.scalar_type());
      require(wanted.numel() == x.numel(),
              [&] { return Complaint{.where = "loss", .expected = "values " + shape_text(x.sizes()), .got = shape_text(wanted.sizes())}; });
      return at::mse_loss(x, wanted.view(x.sizes()));
    }
    case ProblemType::multi_label_classification:
      require_shape("loss", "labels", labels.values, "[B, num_labels]", x.sizes());
      return at::binary_cross_entropy_with_logits(x, labels.values.to(x.scalar_type()));
    default:
      require_shape("loss", "labels", labels.values, "[B]", {x.size(0)});
      return at::cross_entropy_loss(x, labels.values);
  }
}

}  // namespace everlong::models
