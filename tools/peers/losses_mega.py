#!/usr/bin/env python3
"""Losses of MEGA here and in Hugging Face transformers after the same steps: the same initial weights, the same batches in the same order, the same
AdamW, no dropout. Both final models are also scored by transformers' code in fp32 on text that neither has read.

    peer/bin/python tools/peers/losses_mega.py [--steps 30] [--dtypes f32,bf16] [--config quickstart|tiny7m]

Run it with the Python of the peer's environment (README.md). everlong trains through its command; here the order of its windows is computed again
from the seed (Philox and a Feistel permutation, as in everlong/data/batches.cpp), so that both read the same tokens."""
import argparse, json, pathlib, subprocess, sys, tempfile

from comparison import EVERLONG, HERE

ROOT = HERE.parents[1]
TRAIN, HELD_OUT = ROOT / "assets/austen/emma.txt", ROOT / "assets/austen/persuasion.txt"
ROWS, LENGTH, CHUNK, VOCABULARY, LR = 8, 512, 256, 2048, 1e-3
M32, M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF


def philox(counter, key):
    counter, key = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & M32, (a >> 32) ^ counter[3] ^ key[1], a & M32]
        key = [(key[0] + 0x9E3779B9) & M32, (key[1] + 0xBB67AE85) & M32]
    return counter


class Rng:
    def __init__(self, seed, stream):
        self.seed, self.stream, self.index = seed, stream, 0

    def word(self):
        w = philox((self.index & M32, self.index >> 32, self.stream & M32, self.stream >> 32), (self.seed & M32, self.seed >> 32))
        self.index += 1
        return w[1] << 32 | w[0]

    def below(self, bound):
        while (word := self.word()) < ((1 << 64) - bound) % bound: pass
        return word % bound


def permuted(index, size, key):
    half = ((size - 1).bit_length() + 1) // 2
    mask, value = (1 << half) - 1, index
    while True:
        left, right = value >> half, value & mask
        for turn in range(8):
            left, right = right, left ^ (philox((right, turn, 0, 0), (key & M32, key >> 32))[0] & mask)
        value = left << half | right
        if value < size: return value


def window_begins(num_tokens, steps, seed):
    """Where the windows of the first epoch begin, in the order of the batches."""
    rng, count = Rng(seed, 0xDA7A0D3E << 32), num_tokens // LENGTH
    start, key = rng.below(num_tokens), rng.word()
    return [(start + permuted(i, count, key) * LENGTH) % num_tokens for i in range(steps * ROWS)]


def usable_seed(num_tokens, steps):
    """The first seed without a window around the end of the text: that one begins a document in its middle, which transformers has not."""
    if 2 * steps * ROWS * LENGTH > num_tokens: sys.exit("expected at most half an epoch of steps")
    return next(seed for seed in range(1, 1000) if all(b + LENGTH < num_tokens for b in window_begins(num_tokens, steps, seed)))


def windows(ids, steps, seed):
    """Batches of ROWS windows and their targets."""
    begins = window_begins(len(ids), steps, seed)
    for step in range(0, len(begins), ROWS):
        yield [ids[b:b + LENGTH] for b in begins[step:step + ROWS]], [ids[b + 1:b + LENGTH + 1] for b in begins[step:step + ROWS]]


def everlong(*arguments):
    done = subprocess.run([EVERLONG, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0: sys.exit(done.stderr)
    return done.stdout


def train_here(folder, init, tokenizer, dtype, steps, seed):
    config = folder / "run.toml"
    config.write_text(f"""[model]\ninit = "{init}"\n[data]\ntrain = ["{TRAIN}"]\ntokenizer = "{tokenizer}"\norder = "windows"\nbatch_size = {ROWS}
seq_len = {LENGTH}\n[optim]\nlr = {LR}\nschedule = "constant"\nwarmup_steps = 0\nbeta1 = 0.9\nbeta2 = 0.98\neps = 1e-8\nweight_decay = 0.01\ndecay = "all"
clip = 1.0\n[train]\nsteps = {steps}\nseed = {seed}\ndtype = "{dtype}"\ncheckpoint_every = {steps}\nlog_every = 1\n""")
    run = folder / f"run-{dtype}"
    everlong("train", config, "--out", run, "--threads", "2")
    losses = [line["loss"] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "loss" in line and "step" in line]
    return losses[:steps], run / f"checkpoints/step-{steps}"


def loss_of(torch, model, inputs, targets):
    logits = model(torch.tensor(inputs), use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), torch.tensor(targets).flatten())


def train_there(torch, model, batches, dtype):
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.01)
    losses = []
    model.train()
    for inputs, targets in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"): loss = loss_of(torch, model, inputs, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
    return losses


def held_out(torch, model, ids, count=16):
    model.eval()
    with torch.no_grad():
        found = [loss_of(torch, model, [ids[i:i + LENGTH]], [ids[i + 1:i + LENGTH + 1]]).item() for i in range(0, count * LENGTH, LENGTH)]
    return sum(found) / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--dtypes", default="f32,bf16")
    parser.add_argument("--config", choices=("quickstart", "tiny7m"), default="quickstart")
    options = parser.parse_args()
    import torch, peer_mega
    hf, hfc = peer_mega.hf, peer_mega.hfc
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        everlong("tokenize", "train", TRAIN, "--vocab-size", VOCABULARY, "--out", folder / "tokenizer")
        encode = lambda file: [int(i) for i in json.loads(everlong("tokenize", "encode", "-t", folder / "tokenizer", "--json", file))]
        ids, unseen = encode(TRAIN), encode(HELD_OUT)
        none = dict.fromkeys(("dropout_prob", "hidden_dropout_prob", "attention_probs_dropout_prob", "nffn_activation_dropout_prob"), 0.0)
        sizes = dict(peer_mega.CONFIGS[options.config], **none, vocab_size=VOCABULARY, use_chunking=True, chunk_size=CHUNK, is_decoder=True, bidirectional=False)
        torch.manual_seed(0)
        hf.MegaForCausalLM(hfc.MegaConfig(**sizes)).save_pretrained(folder / "init", safe_serialization=True)
        seed = usable_seed(len(ids), options.steps)
        print(f"{options.config}, {options.steps} steps of {ROWS} x {LENGTH} tokens of {len(ids)}, seed {seed}; nats a token\n")
        print("| dtype | step | transformers | everlong | held-out text: transformers | everlong |\n|---|---|---|---|---|---|", flush=True)
        for dtype in options.dtypes.split(","):
            peer = hf.MegaForCausalLM.from_pretrained(folder / "init")
            theirs = train_there(torch, peer, windows(ids, options.steps, seed), dtype)
            ours, checkpoint = train_here(folder, folder / "init", folder / "tokenizer", dtype, options.steps, seed)
            mine = hf.MegaForCausalLM.from_pretrained(checkpoint)
            scores = [held_out(torch, model, unseen) for model in (peer, mine)]
            for step in sorted({1, options.steps // 2, options.steps}):
                last = [f"{s:.4f}" for s in scores] if step == options.steps else ["", ""]
                print(f"| {dtype} | {step} | {theirs[step - 1]:.4f} | {ours[step - 1]:.4f} | {last[0]} | {last[1]} |", flush=True)
            print(f"| {dtype} | largest difference of a step | {max(abs(a - b) for a, b in zip(theirs, ours)):.1e} | | | |", flush=True)


if __name__ == "__main__":
    main()
