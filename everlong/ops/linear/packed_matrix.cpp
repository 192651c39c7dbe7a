#include "everlong/ops/linear/packed_matrix.h"

#include "everlong/tensor/parallel.h"
#include "everlong/tensor/torch.h"

namespace everlong::ops {
namespace {

constexpr int64_t kAlignment = 64;

int64_t version_of(const at::Tensor& tensor) { return tensor.is_inference() ? 0 : static_cast<int64_t>(tensor._version()); }

at::Tensor aligned_bytes(int64_t count) {
  const at::Tensor all = at::empty({count + kAlignment}, at::kByte);
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(all.const_data_ptr()) % kAlignment);
  return all.narrow(0, past == 0 ? 0 : kAlignment - past, count);
}

}  // namespace

PackedMatrix::PackedMatrix(const at::Tensor& weight) {
  const int64_t block = kernels::packed_block();
  if (weight.scalar_type() != at::kBFloat16 || !weight.is_cpu() || !weight.is_contiguous() || weight.dim() != 2 || weight.numel() == 0) return;
  if (block == 0 || weight.size(1) % block != 0) return;
  const int64_t out = weight.size(0), in = weight.size(1);
  const int64_t groups = kernels::PackedMatrix::num_groups(out);
  const at::Tensor tables = aligned_bytes(groups * kernels::PackedMatrix::kTableBytes), rows = aligned_bytes(out * in / 2 * 3);
  const at::Tensor left_out = at::empty({out + groups}, at::kUInt64);
  const kernels::PackedArrays arrays{.tables = tables.mutable_data_ptr<uint8_t>(),
                                     .rows = rows.mutable_data_ptr<uint8_t>(),
                                     .left_out = left_out.mutable_data_ptr<uint64_t>(),
                                     .any_left_out = left_out.mutable_data_ptr<uint64_t>() + out};
  const int64_t blocks_left_out = kernels::pack_matrix(static_cast<const uint16_t*>(weight.const_data_ptr()), out, in, arrays, parallel_for);
  if (blocks_left_out > out * (in / block) / 2) return;
  tables_ = tables;
  rows_ = rows;
  left_out_ = left_out;
  source_ = weight.storage().getWeakStorageImpl();
  version_ = version_of(weight);
}

kernels::PackedMatrix PackedMatrix::view(const at::Tensor& weight) const {
  const bool same = source_ && source_->_unsafe_get_target() == weight.storage().unsafeGetStorageImpl() && version_of(weight) == version_;
  if (!same) return {};
  return {.tables = tables_.const_data_ptr<uint8_t>(),
          .rows = rows_.const_data_ptr<uint8_t>(),
          .left_out = left_out_.const_data_ptr<uint64_t>(),
          .any_left_out = left_out_.const_data_ptr<uint64_t>() + weight.size(0)};
}

int64_t PackedMatrix::num_bytes() const { return source_ ? static_cast<int64_t>(tables_.nbytes() + rows_.nbytes() + left_out_.nbytes()) : 0; }

}  // namespace everlong::ops
