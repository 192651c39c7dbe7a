// Times chunk attention and linear cross-entropy beside the matrix products they consist of.
// Usage: attention_bench [threads]

#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "everlong/ops/chunk_attention/chunk_attention.h"
#include "everlong/ops/linear_cross_entropy/linear_cross_entropy.h"
#include "everlong/tensor/torch.h"

namespace {

using everlong::ops::AttentionFunction;

/// Best of several runs, in ms.
double best_ms(const std::function<void()>& body, int runs = 7) {
  double best = 1e30;
  for (int i = 0; i < runs + 2; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
    if (i >= 2) best = std::min(best, elapsed.count());
  }
  return best;
}

const char* name_of(at::ScalarType dtype) { return dtype == at::kFloat ? "fp32" : "bf16"; }

struct Size {
  int64_t batch_size, seq_len, chunk_size, z_dim, value_dim;
};

void bench_attention(const Size& size, at::ScalarType dtype, AttentionFunction function, bool causal) {
  const auto random = [&](int64_t width) { return at::randn({size.batch_size, size.seq_len, width}).to(dtype); };
  at::Tensor q = random(size.z_dim), k = random(size.z_dim), v = random(size.value_dim), bias = at::randn({2 * size.chunk_size - 1});
  const at::Tensor incoming = random(size.value_dim);
  const auto plan = everlong::ops::plan_chunks(size.batch_size, size.seq_len, {.chunk_size = size.chunk_size});
  const everlong::ops::ChunkAttentionOptions options{.function = function, .causal = causal};
  const auto forward = [&] { return everlong::ops::chunk_attention(q, k, v, bias, plan.pieces, options); };

  double forward_ms, bare_forward_ms, bare_both_ms;
  {
    const at::NoGradGuard no_grad;
    forward_ms = best_ms([&] { forward(); });
    const int64_t chunks = size.batch_size * size.seq_len / size.chunk_size,
                  at_once = std::max<int64_t>(1, (1 << 20) / (size.chunk_size * size.chunk_size));
    const auto as_chunks = [&](const at::Tensor& x) { return x.view({chunks, size.chunk_size, x.size(2)}).split(at_once); };
    const auto qs = as_chunks(q), ks = as_chunks(k), vs = as_chunks(v), gs = as_chunks(incoming);
    const at::Tensor scores = at::empty({at_once, size.chunk_size, size.chunk_size}, q.options());
    const auto bare_forward = [&](size_t i) {
      at::Tensor s = scores.narrow(0, 0, qs[i].size(0));
      at::bmm_out(s, qs[i], ks[i].transpose(1, 2));
      at::bmm(s, vs[i]);
    };
    bare_forward_ms = best_ms([&] {
      for (size_t i = 0; i < qs.size(); ++i) bare_forward(i);
    });
    bare_both_ms = bare_forward_ms + best_ms([&] {
                     for (size_t i = 0; i < qs.size(); ++i) {
                       at::Tensor s = scores.narrow(0, 0, qs[i].size(0));
                       at::bmm_out(s, qs[i], ks[i].transpose(1, 2));
                       at::bmm(s.transpose(1, 2), gs[i]);
                       at::bmm_out(s, gs[i], vs[i].transpose(1, 2));
                       at::bmm(s, ks[i]);
                       at::bmm(s.transpose(1, 2), qs[i]);
                     }
                   });
  }
  for (at::Tensor* x : {&q, &k, &v, &bias}) x->requires_grad_(true);
  const double both_ms = best_ms([&] { torch::autograd::grad({forward()}, {q, k, v, bias}, {incoming}); });

  const double scores = static_cast<double>(size.batch_size * size.seq_len) * static_cast<double>(size.chunk_size);
  const double forward_gflop = 2e-9 * scores * static_cast<double>(size.z_dim + size.value_dim);
  const double both_gflop = forward_gflop + 2e-9 * scores * static_cast<double>(3 * size.z_dim + 2 * size.value_dim);
  const char* functions[] = {"softmax", "relu2", "laplace"};
  std::printf(
      "attention B=%ld T=%ld C=%ld Z=%ld U=%ld %s %-7s %-13s forward %8.2f ms %6.0f GFLOP/s (products alone %8.2f ms)   both %8.2f ms %6.0f GFLOP/s "
      "(products alone %8.2f ms)\n",
      size.batch_size, size.seq_len, size.chunk_size, size.z_dim, size.value_dim, name_of(dtype), functions[static_cast<int>(function)],
      causal ? "causal" : "bidirectional", forward_ms, forward_gflop / forward_ms * 1e3, bare_forward_ms, both_ms, both_gflop / both_ms * 1e3,
      bare_both_ms);
}

void bench_decode(at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  const int64_t past = 1023, z_dim = 128, value_dim = 1024;
  const at::Tensor q = at::randn({1, 1, z_dim}).to(dtype), k = at::randn({1, past + 1, z_dim}).to(dtype),
                   v = at::randn({1, past + 1, value_dim}).to(dtype);
  const at::Tensor bias = at::randn({2 * past + 1});
  const auto plan = everlong::ops::plan_chunks(1, 1, {.past_len = {past}});
  const double ms = best_ms([&] { everlong::ops::chunk_attention(q, k, v, bias, plan.pieces); }, 300);
  const at::Tensor weights = at::rand({1, 1, past + 1}).to(dtype);
  const double bare_ms = best_ms(
      [&] {
        at::bmm(q, k.transpose(1, 2));
        at::bmm(weights, v);
      },
      300);
  std::printf("decode, 1024 keys, Z=128 U=1024 %s: %.1f us (products alone %.1f us)\n", name_of(dtype), ms * 1e3, bare_ms * 1e3);
}

void bench_cross_entropy(int64_t num_tokens, int64_t model_dim, int64_t vocab_size, at::ScalarType dtype) {
  at::Tensor hidden = at::randn({num_tokens, model_dim}).to(dtype), weight = (at::randn({vocab_size, model_dim}) / 16).to(dtype);
  const at::Tensor targets = at::randint(vocab_size, {num_tokens}, at::kLong);
  double forward_ms, bare_forward_ms, bare_both_ms;
  {
    const at::NoGradGuard no_grad;
    forward_ms = best_ms([&] { everlong::ops::linear_cross_entropy(hidden, weight, {}, targets); });
    const at::Tensor logits = at::mm(hidden, weight.t());
    bare_forward_ms = best_ms([&] { at::mm(hidden, weight.t()); });
    bare_both_ms = bare_forward_ms + best_ms([&] {
                     at::mm(logits, weight);
                     at::mm(logits.t(), hidden);
                   });
  }
  for (at::Tensor* x : {&hidden, &weight}) x->requires_grad_(true);
  const double both_ms = best_ms([&] {
    torch::autograd::grad({everlong::ops::linear_cross_entropy(hidden, weight, {}, targets).loss}, {hidden, weight});
  });
  const double torch_ms = best_ms([&] {
    torch::autograd::grad({at::cross_entropy_loss(at::matmul(hidden, weight.t()).to(at::kFloat), targets)}, {hidden, weight});
  });
  const double gflop = 2e-9 * static_cast<double>(num_tokens * model_dim) * static_cast<double>(vocab_size);
  std::printf(
      "linear cross-entropy N=%ld D=%ld V=%ld %s forward %.2f ms %.0f GFLOP/s (product alone %.2f ms)   both %.2f ms %.0f GFLOP/s "
      "(products alone %.2f ms; torch linear + cross_entropy %.2f ms)\n",
      num_tokens, model_dim, vocab_size, name_of(dtype), forward_ms, gflop / forward_ms * 1e3, bare_forward_ms, both_ms, 3 * gflop / both_ms * 1e3,
      bare_both_ms, torch_ms);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) at::set_num_threads(std::atoi(argv[1]));
  at::manual_seed(1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // freed memory is used again, as in a training loop, rather than faulted in anew
  mallopt(M_TRIM_THRESHOLD, -1);
  std::printf("%d threads\n", at::get_num_threads());
  const Size small{8, 512, 256, 64, 512}, large{1, 16384, 1024, 192, 2304};
  for (const auto function : {AttentionFunction::softmax, AttentionFunction::laplace, AttentionFunction::relu2}) {
    bench_attention(small, at::kBFloat16, function, true);
  }
  bench_attention(small, at::kBFloat16, AttentionFunction::softmax, false);
  for (const auto dtype : {at::kBFloat16, at::kFloat}) bench_attention(large, dtype, AttentionFunction::softmax, true);
  for (const auto dtype : {at::kBFloat16, at::kFloat}) bench_decode(dtype);
  for (const auto dtype : {at::kBFloat16, at::kFloat}) bench_cross_entropy(4096, 256, 2048, dtype);
  bench_cross_entropy(2048, 768, 50265, at::kBFloat16);
}
