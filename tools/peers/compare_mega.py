#!/usr/bin/env python3
"""MEGA here against MEGA in Hugging Face transformers, in one run, as a table in Markdown.

    peer/bin/python tools/peers/compare_mega.py [--rows train-1k,train-4k,train-16k,prefill-4k,decode-122m,decode-7m] [--repeat N] [--losses]

Run it with the Python of the peer's environment (README.md). First both compute the logits of the same small-16k encoder weights, and the largest
difference must stay within 1e-4 of the largest logit; then each row times the peer in fp32 and under bf16 autocast and everlong in fp32 and bf16, one
process at a time, and compares the better of each. Times are medians; "spread" is median over best."""
import argparse, json, os, pathlib, subprocess, sys, tempfile

HERE = pathlib.Path(__file__).resolve().parent
EVERLONG = os.environ.get("EVERLONG_PROGRAM", str(HERE.parents[1] / "build/release/bin/everlong"))
DECODER = ["is_decoder=true", "bidirectional=false", "use_chunking=false", "chunk_size=-1"]
# name: (peer arguments, preset, everlong's row, everlong options)
ROWS = {
    "train-1k": (["--mode", "train", "--length", "1024"], "mega-encoder-small-16k", "train step", ["--seq-len", "1024"]),
    "train-4k": (["--mode", "train", "--length", "4096"], "mega-encoder-small-16k", "train step", ["--seq-len", "4096"]),
    "train-16k": (["--mode", "train", "--length", "16384", "--checkpointing", "1"], "mega-encoder-small-16k", "train step",
                  ["--seq-len", "16384", "--activation-checkpointing"]),
    "prefill-4k": (["--mode", "forward", "--length", "4096"], "mega-encoder-small-16k", "forward", ["--seq-len", "4096"]),
    "decode-122m": (["--mode", "generate", "--length", "1024", "--new", "32"], "mega-encoder-small-16k", "decode", ["--seq-len", "1024", "--decoder"]),
    "decode-7m": (["--mode", "generate", "--length", "1024", "--new", "64", "--config", "tiny7m"], "mega-base-wikitext", "decode",
                  ["--seq-len", "1024", "--decoder", "--decode-tokens", "64"]),
}


def peer(arguments, dtype, repeat):
    command = [sys.executable, str(HERE / "peer_mega.py"), "--dtype", dtype, "--threads", "2", "--steps", str(repeat), "--warmup", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"}
    found = json.loads(done.stdout.splitlines()[-1])
    return {"ms": found["ms_median"], "best": found["ms_min"], "memory": found["peak_rss_mb"] * 2**20}


def ours(preset, row, options, dtype, repeat):
    options = [o for o in options if o != "--decoder"] + (sum((["--set", s] for s in DECODER), []) if "--decoder" in options else [])
    command = [EVERLONG, "bench", preset, "--dtype", dtype, "--threads", "2", "--repeat", str(repeat), "--json", *options]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = next(r for r in rows if r["what"] == row)
    scale = found["ms_per_token"] / found["median_ms"] if row == "decode" else 1
    return {"ms": found["median_ms"] * scale, "best": found["best_ms"] * scale, "memory": found["peak_memory_bytes"]}


def check_outputs():
    """The same weights in both: logits of the peer against `everlong verify`."""
    import torch
    from safetensors.torch import save_file
    from transformers.models.mega import configuration_mega as hfc, modeling_mega as hf
    import peer_mega
    torch.manual_seed(0)
    sizes = dict(peer_mega.CONFIGS["small122m"], vocab_size=50265, num_hidden_layers=2, bidirectional=True, use_chunking=True, chunk_size=1024)
    model = hf.MegaForMaskedLM(hfc.MegaConfig(**sizes)).eval()
    ids = torch.randint(3, 50000, (1, 256))
    with torch.no_grad():
        logits = model(ids).logits
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, safe_serialization=True)
        save_file({"in.input_ids": ids, "logits": logits.contiguous()}, f"{folder}/expected.safetensors")
        pathlib.Path(folder, "case.json").write_text(json.dumps({"model_class": "MegaForMaskedLM"}))
        done = subprocess.run([EVERLONG, "verify", folder, "--dtype", "f32", "--json"], capture_output=True, text=True)
        item = next(i for i in json.loads(done.stdout)[0]["items"] if i["name"] == "logits")
    share = item["max_abs"] / logits.abs().max().item()
    print(f"same weights, fp32: largest difference of a logit {item['max_abs']:.1e}, {share:.1e} of the largest\n", flush=True)
    if share > 1e-4:
        sys.exit("the outputs differ: no speed is compared")


def text(one):
    return one.get("error", "") or f"{one['ms']:,.1f} (spread {one['ms'] / one['best']:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--losses", action="store_true", help="also train both for 30 steps and print their losses, as losses_mega.py does")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    check_outputs()
    print("| row | peer fp32 ms | peer bf16 ms | everlong fp32 ms | everlong bf16 ms | ratio of the better | memory peer / everlong GB |\n|---|---|---|---|---|---|---|")
    for name in options.rows.split(","):
        arguments, preset, row, more = ROWS[name]
        theirs = [peer(arguments, dtype, options.repeat) for dtype in ("f32", "bf16")]
        mine = [ours(preset, row, more, dtype, options.repeat) for dtype in ("f32", "bf16")]
        good = [t for t in theirs if "ms" in t]
        ratio = f"{min(t['ms'] for t in good) / min(m['ms'] for m in mine):.1f}" if good else "peer failed"
        memory = f"{min((t['memory'] for t in good), default=0) / 1e9:.2f} / {min(m['memory'] for m in mine) / 1e9:.2f}"
        print(f"| {name} | {text(theirs[0])} | {text(theirs[1])} | {text(mine[0])} | {text(mine[1])} | {ratio} | {memory} |", flush=True)
    if options.losses:
        print(flush=True)
        subprocess.run([sys.executable, str(HERE / "losses_mega.py")], check=True)


if __name__ == "__main__":
    main()
