#!/usr/bin/env python3
"""Speed and memory of MEGA in Hugging Face transformers (the peer), one measurement per process, printed as JSON.

    python3 -m venv peer
    peer/bin/pip install torch numpy transformers==4.40.2 tokenizers==0.19.1 huggingface-hub==0.36.2 safetensors

    peer_mega.py --mode train|causal|forward|generate --config tiny7m|small122m|quickstart --length 1024 --batch 1
                 --dtype f32|bf16 --checkpointing 0|1 --threads 2
    peer_mega.py --mode causal --config quickstart --batch 8 --length 512 --chunk 256 --dtype bf16 --dropout 0 --steps 10

train: one masked-LM step = forward, backward, AdamW.  causal: one step of a decoder with chunks on random tokens, loss over the next
token: forward, backward, clipping at norm 1, AdamW; --length must be a multiple of --chunk, and no state is carried, as transformers has it.  forward: masked-LM logits without gradients.  generate: greedy
decoding with the cache after a prompt of --length tokens, with the unidirectional, unchunked decoder of the same
sizes (transformers cannot decode with chunking).  bf16 means torch.autocast, the way trainers use it.
cpu_ms_mean is processor time over all threads: on a shared machine it says more than the wall clock.
transformers has no gradient checkpointing for MEGA; --checkpointing 1 wraps every block in torch.utils.checkpoint.
"""
import argparse, json, os, resource, time
import torch, transformers
from torch.utils.checkpoint import checkpoint
try:
    from transformers.models.mega import modeling_mega as hf, configuration_mega as hfc
except ImportError:
    from transformers.models.deprecated.mega import modeling_mega as hf, configuration_mega as hfc

CONFIGS = {
    "tiny7m": dict(hidden_size=128, num_hidden_layers=4, intermediate_size=256, nffn_hidden_size=256, ema_projection_size=16,
                   shared_representation_size=64, max_positions=2048, relative_positional_bias="rotary"),
    "small122m": dict(hidden_size=768, num_hidden_layers=8, intermediate_size=2304, nffn_hidden_size=2304, ema_projection_size=32,
                      shared_representation_size=192, max_positions=16384, relative_positional_bias="simple"),
    # preset mega-small under configs/quickstart.toml
    "quickstart": dict(hidden_size=256, num_hidden_layers=4, intermediate_size=512, nffn_hidden_size=512, ema_projection_size=16,
                       shared_representation_size=64, max_positions=2048, relative_positional_bias="rotary", vocab_size=2048),
}


def build(a):
    sizes = dict(dict(vocab_size=50265), **CONFIGS[a.config], dropout_prob=a.dropout, hidden_dropout_prob=a.dropout,
                 attention_probs_dropout_prob=a.dropout, nffn_activation_dropout_prob=a.dropout)
    torch.manual_seed(0)
    if a.mode == "generate":
        return hf.MegaForCausalLM(hfc.MegaConfig(**sizes, is_decoder=True, bidirectional=False)).eval()
    chunk = dict(use_chunking=True, chunk_size=a.chunk) if a.chunk > 0 else {}
    if a.mode == "causal":
        model = hf.MegaForCausalLM(hfc.MegaConfig(**sizes, is_decoder=True, bidirectional=False, **chunk))
    else:
        model = hf.MegaForMaskedLM(hfc.MegaConfig(**sizes, bidirectional=True, **chunk))
    if a.checkpointing:
        for block in model.mega.layers:
            block.forward = (lambda f: lambda **kw: checkpoint(f, use_reentrant=False, **kw))(block.forward)
    return model.train() if a.mode in ("train", "causal") else model.eval()


def timed(f, warmup, steps):
    for _ in range(warmup): f()
    t, c = [], time.process_time()
    for _ in range(steps):
        s = time.perf_counter(); f(); t.append((time.perf_counter() - s) * 1e3)
    return t, (time.process_time() - c) * 1e3 / steps


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--mode", choices=("train", "causal", "forward", "generate"), default="train")
    ap.add_argument("--config", choices=CONFIGS, default="small122m")
    ap.add_argument("--length", type=int, default=1024); ap.add_argument("--batch", type=int, default=1)
    ap.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    ap.add_argument("--checkpointing", type=int, default=0); ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--steps", type=int, default=3); ap.add_argument("--warmup", type=int, default=1)
    ap.add_argument("--chunk", type=int, default=1024, help="0 = no chunking"); ap.add_argument("--dropout", type=float, default=0.1)
    ap.add_argument("--new", type=int, default=64, help="tokens to generate")
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    transformers.logging.set_verbosity_error()
    model = build(a)
    rss0 = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    B, L = a.batch, a.length
    ids = torch.randint(3, model.config.vocab_size, (B, L))
    labels = torch.where(torch.rand(B, L) < 0.15, ids, -100)
    amp = torch.autocast("cpu", torch.bfloat16, enabled=a.dtype == "bf16")
    r = dict(mode=a.mode, config=a.config, parameters=sum(p.numel() for p in model.parameters()), length=L, batch=B, dtype=a.dtype,
             checkpointing=a.checkpointing, threads=a.threads, chunk=a.chunk if a.mode != "generate" else 0, dropout=a.dropout)
    if a.mode == "causal":
        opt = torch.optim.AdamW(model.parameters(), lr=1e-4)
        def step():
            with amp: loss = model(ids, labels=ids).loss   # shifted inside
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step(); opt.zero_grad(set_to_none=True)
        t, cpu = timed(step, a.warmup, a.steps)
    elif a.mode == "train":
        opt = torch.optim.AdamW(model.parameters(), lr=1e-4)
        def step():
            with amp: loss = model(ids, labels=labels).loss
            loss.backward(); opt.step(); opt.zero_grad(set_to_none=True)
        t, cpu = timed(step, a.warmup, a.steps)
    elif a.mode == "forward":
        def step():
            for m in model.modules():                          # the EMA kernel is otherwise kept from the call before
                if isinstance(m, hf.MegaMultiDimensionDampedEma): m._kernel = m._coeffs = None
            with torch.no_grad(), amp: model(ids)
        t, cpu = timed(step, a.warmup, a.steps)
    else:
        with torch.no_grad(), amp:
            model(ids[:, :8], use_cache=True)                  # warm-up
            s = time.perf_counter()
            o = model(ids, use_cache=True)
            r["prefill_ms"] = round((time.perf_counter() - s) * 1e3, 1)
            t, c = [], time.process_time()
            for _ in range(a.new):
                token = o.logits[:, -1:].argmax(-1)
                s = time.perf_counter()
                o = model(token, past_key_values=o.past_key_values, use_cache=True)
                t.append((time.perf_counter() - s) * 1e3)
            cpu = (time.process_time() - c) * 1e3 / a.new
    t.sort()
    ms, per = t[len(t) // 2], B * (1 if a.mode == "generate" else L)
    r.update(ms_median=round(ms, 2), ms_min=round(t[0], 2), cpu_ms_mean=round(cpu, 2), repeats=len(t), tokens_per_s=round(per / ms * 1e3, 1),
             peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), rss_after_build_mb=round(rss0),
             load_average=round(os.getloadavg()[0], 2), transformers=transformers.__version__, torch=torch.__version__)
    print(json.dumps(r))


if __name__ == "__main__":
    main()
