#!/usr/bin/env python3
"""MEGA here against MEGA in Hugging Face transformers, in one run, as a table in Markdown.

    peer/bin/python tools/peers/compare_mega.py [--rows train-1k,train-4k,train-16k,prefill-4k,decode-122m,decode-7m] [--repeat N] [--rounds N] [--losses]

Run it with the Python of the peer's environment (README.md). First both compute the logits of the same small-16k encoder weights, and the largest
difference must stay within 1e-4 of the largest logit; then each row times the peer in fp32 and under bf16 autocast and everlong in fp32 and bf16, one
process at a time, and compares the better of each. Times are medians; "spread" is median over best."""
import argparse, json, pathlib, subprocess, sys, tempfile

from comparison import HERE, everlong, peer, print_row, same_outputs

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
        same_outputs(folder, logits)


def time_peer(arguments, dtype, repeat):
    return peer([sys.executable, HERE / "peer_mega.py", "--dtype", dtype, "--threads", "2", "--steps", repeat, "--warmup", "1", *arguments])


def time_ours(preset, row, options, dtype, repeat):
    plain = [o for o in options if o != "--decoder"]
    return everlong(preset, row, plain + (sum((["--set", s] for s in DECODER), []) if "--decoder" in options else []), dtype, repeat)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="run all programs of a row in turn so often")
    parser.add_argument("--losses", action="store_true", help="also train both for 30 steps and print their losses, as losses_mega.py does")
    options = parser.parse_args()
    check_outputs()
    print("| row | peer fp32 ms | peer bf16 ms | everlong fp32 ms | everlong bf16 ms | ratio of the better | memory peer / everlong GB |\n|---|---|---|---|---|---|---|")
    for name in options.rows.split(","):
        arguments, preset, row, more = ROWS[name]
        print_row(name, lambda: [time_peer(arguments, dtype, options.repeat) for dtype in ("f32", "bf16")],
                  lambda: [time_ours(preset, row, more, dtype, options.repeat) for dtype in ("f32", "bf16")], options.rounds)
    if options.losses:
        print(flush=True)
        subprocess.run([sys.executable, str(HERE / "losses_mega.py")], check=True)


if __name__ == "__main__":
    main()
