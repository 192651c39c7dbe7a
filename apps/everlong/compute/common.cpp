#include "apps/everlong/compute/common.h"

#include <fmt/format.h>

#include "everlong/base/error.h"
#include "everlong/base/log.h"
#include "everlong/models/model_directory.h"
#include "everlong/tensor/device.h"
#include "everlong/tensor/torch.h"
#include "everlong/nn/linear.h"
#include "everlong/train/run_directory.h"

namespace everlong::app {

at::ScalarType torch_dtype(Dtype dtype) { return dtype == Dtype::f64 ? at::kDouble : dtype == Dtype::bf16 ? at::kBFloat16 : at::kFloat; }

at::Device torch_device(Device device) {
  return resolve_device(device == Device::cuda ? "cuda" : device == Device::cpu ? "cpu" : "auto");
}

void require_vocabulary(const text::Tokenizer& tokenizer, const models::Model& model, const std::filesystem::path& folder) {
  const std::string where = folder.string();
  require(tokenizer.vocab_size() <= model.vocab_size(), [&] {
    return Complaint{.where = where,
                     .expected = fmt::format("a tokenizer of at most {} tokens, the model's vocabulary", model.vocab_size()),
                     .got = fmt::format("{} tokens", tokenizer.vocab_size()),
                     .hint = "the folder holds files of two models"};
  });
}

at::ScalarType place_model(models::TaskHead& model, const ComputeOptions& options) {
  const at::ScalarType dtype = torch_dtype(options.dtype.value_or(Dtype::f32));
  const at::Device device = torch_device(options.device);
  if (dtype == at::kDouble) model.to(at::kDouble);
  if (!device.is_cpu()) model.to(device);
  model.model().set_compute_dtype(dtype);
  return dtype;
}

LoadedLm load_lm(const std::string& path, const ComputeOptions& options, LmUse use) {
  LoadedLm loaded{.folder = train::resolve_model_path(path), .model = nullptr, .tokenizer = nullptr};
  auto from_disk = models::load_causal_lm(loaded.folder);
  for (const std::string& note : from_disk.notes) log_warning(note);
  loaded.model = std::move(from_disk.model);
  loaded.tokenizer = text::load_tokenizer(loaded.folder);
  require_vocabulary(*loaded.tokenizer, loaded.model->model(), loaded.folder);
  const at::ScalarType dtype = place_model(*loaded.model, options);
  nn::store_matrices_as(*loaded.model, dtype);
  if (use == LmUse::decoding) nn::pack_matrices(*loaded.model);
  return loaded;
}

}  // namespace everlong::app
