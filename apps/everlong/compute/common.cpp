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

LoadedLm load_lm(const std::string& path, const ComputeOptions& options) {
  LoadedLm loaded{.folder = train::resolve_model_path(path), .model = nullptr, .tokenizer = nullptr};
  auto from_disk = models::load_causal_lm(loaded.folder);
  for (const std::string& note : from_disk.notes) log_warning(note);
  loaded.model = std::move(from_disk.model);
  loaded.tokenizer = text::load_tokenizer(loaded.folder);
  const std::string folder = loaded.folder.string();
  require(loaded.tokenizer->vocab_size() <= loaded.model->model().vocab_size(), [&] {
    return Complaint{.where = folder,
                     .expected = fmt::format("a tokenizer of at most {} tokens, the model's vocabulary", loaded.model->model().vocab_size()),
                     .got = fmt::format("{} tokens", loaded.tokenizer->vocab_size()),
                     .hint = "the folder holds files of two models"};
  });
  const at::ScalarType dtype = torch_dtype(options.dtype.value_or(Dtype::f32));
  const at::Device device = torch_device(options.device);
  if (dtype == at::kDouble) loaded.model->to(at::kDouble);
  if (!device.is_cpu()) loaded.model->to(device);
  loaded.model->model().set_compute_dtype(dtype);
  nn::store_matrices_as(*loaded.model, dtype);
  return loaded;
}

}  // namespace everlong::app
