#include "everlong/nn/token_places.h"

#include "everlong/tensor/torch.h"

namespace everlong::nn {

at::Tensor token_positions(const SequencePlan& plan) {
  if (plan.uniform()) return at::arange(plan.start_position.front(), plan.start_position.front() + plan.seq_len, at::kLong).unsqueeze(0);
  at::Tensor positions = at::zeros({plan.batch_size, plan.seq_len}, at::kLong);
  for (const Segment& segment : plan.segments)
    positions[segment.row].narrow(0, segment.begin, segment.len).copy_(at::arange(segment.position, segment.position + segment.len, at::kLong));
  return positions;
}

std::optional<at::Tensor> visible_keys(const SequencePlan& plan, const ChunkWindow& window, at::Device device) {
  if (window.uniform && !window.valid && (window.past == 0 || plan.seq_len == 1)) return std::nullopt;
  at::Tensor mask = at::zeros({plan.batch_size, plan.seq_len, window.past + plan.seq_len}, at::kBool);
  for (const ops::AttentionPiece& piece : window.pieces) {
    const at::Tensor rows = piece.row < 0 ? mask : mask.narrow(0, piece.row, 1);
    const at::Tensor causal = at::ones({piece.query_len, piece.key_len}, at::kBool).tril(piece.first_place());
    rows.narrow(1, piece.query_begin, piece.query_len).narrow(2, piece.key_begin, piece.key_len).copy_(causal.unsqueeze(0));
  }
  if (window.valid) mask = mask.logical_and(window.valid->to(at::kCPU).unsqueeze(1));
  mask.diagonal(window.past, 1, 2).logical_or_(mask.any(-1).logical_not());
  return mask.unsqueeze(1).to(device);
}

}  // namespace everlong::nn
