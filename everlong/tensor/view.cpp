#include "everlong/tensor/view.h"

#include "everlong/tensor/activation_checkpointing.h"
#include "everlong/tensor/torch.h"

namespace everlong {
namespace {

at::Tensor view_at(const at::Tensor& tensor, at::IntArrayRef sizes, at::IntArrayRef strides, int64_t offset) {
  auto view = c10::make_intrusive<c10::TensorImpl>(c10::TensorImpl::VIEW, c10::Storage(tensor.storage()), tensor.key_set(), tensor.dtype());
  view->set_sizes_and_strides(sizes, strides, offset);
  return at::Tensor(std::move(view));
}

}  // namespace

at::Tensor plain_view(const at::Tensor& tensor, at::IntArrayRef sizes, at::IntArrayRef strides) {
  return view_at(tensor, sizes, strides, tensor.storage_offset());
}

at::Tensor plain_narrow(const at::Tensor& tensor, int64_t axis, int64_t begin, int64_t length) {
  TORCH_CHECK(axis < tensor.dim() && begin >= 0 && length >= 0 && begin + length <= tensor.size(axis), "plain_narrow: [", begin, ", ", begin + length,
              ") of axis ", axis, " of ", tensor.sizes());
  if (!is_inference()) return tensor.narrow(axis, begin, length);
  c10::DimVector sizes(tensor.sizes());
  sizes[static_cast<size_t>(axis)] = length;
  return view_at(tensor, sizes, tensor.strides(), tensor.storage_offset() + begin * tensor.stride(axis));
}

}  // namespace everlong
