#!/usr/bin/env python3
"""Megalodon here against megalodon-jax and megalodon-hf, and against a transformer of its size, in one run, as tables in Markdown.

    EVERLONG_PROGRAM=build/release/bin/everlong jax/bin/python tools/peers/compare_megalodon.py --hf-python hf/bin/python --hf-path megalodon-hf
        [--rows train-2k,train-8k,prefill-2k,prefill-8k,decode,transformer-4k,transformer-32k] [--repeat N] [--rounds N] [--peers jax,hf]

Run it with the Python of megalodon-jax's environment (README.md). First everlong computes the logits of weights of megalodon-jax, and the largest
difference must stay within 1e-4 of the largest logit. megalodon-hf is a peer for speed only: its timestep norm leaves out the variance within a token.
Then each row times each peer in fp32 and bf16 and everlong in fp32 and bf16, one process at a time, and compares the better of each. Times are
medians; "spread" is median over best. Decoding is a time a token, after a prompt of 128 tokens."""
import argparse, json, pathlib, sys, tempfile

from comparison import HERE, everlong, peer, print_row, same_outputs

# The configuration "40m" of peer_megalodon.py.
SIZES = dict(num_layers=10, model_dim=512, num_heads=2, z_dim=128, value_dim=1024, ffn_hidden_dim=1280, cema_ndim=16, chunk_size=1024, norm_num_groups=32,
             share_emb=True, vocab_size=16000)
OURS = sum((["--set", f"{key}={str(value).lower()}"] for key, value in dict(SIZES, swiglu=False, rescale_nffn=False).items()), [])
# A Llama block of width D and feed-forward width F has 4 D^2 + 3 D F weights: 8.2 M in the vocabulary, as above, and 10 blocks of 3.2 M.
TRANSFORMER = sum((["--set", f"{key}={value}"] for key, value in dict(vocab_size=16000, hidden_size=512, num_hidden_layers=10, num_attention_heads=8,
                                                                     intermediate_size=1440, tie_word_embeddings="true").items()), [])
PEERS = {"train-2k": ("train", 2048), "train-8k": ("train", 8192), "prefill-2k": ("prefill", 2048), "prefill-8k": ("prefill", 8192), "decode": ("decode", 32)}
TRANSFORMERS = {"transformer-4k": 4096, "transformer-32k": 32768}


def check_outputs():
    import jax, jax.numpy as jnp, numpy as np, torch
    from safetensors.torch import save_file
    from megalodon_jax import MegalodonConfig, MegalodonForCausalLM
    from megalodon_jax.convert import export_upstream_state_dict
    model = MegalodonForCausalLM(MegalodonConfig(**dict(SIZES, num_layers=2)), key=jax.random.PRNGKey(0))
    ids = np.random.default_rng(0).integers(3, SIZES["vocab_size"], (1, 1500))
    logits = torch.tensor(np.asarray(model(jnp.asarray(ids, jnp.int32))[0], np.float32))
    with tempfile.TemporaryDirectory() as folder:
        torch.save(export_upstream_state_dict(model), f"{folder}/consolidated.pth")
        pathlib.Path(folder, "config.json").write_text(json.dumps({"model": dict(SIZES, num_layers=2), "tokenizer": {}}))
        save_file({"in.input_ids": torch.tensor(ids), "logits": logits}, f"{folder}/expected.safetensors")
        pathlib.Path(folder, "case.json").write_text("{}")
        same_outputs(folder, logits)


def time_peers(options, mode, length):
    """fp32 and bf16 of each peer."""
    found = []
    commands = {"jax": ([sys.executable], []), "hf": ([options.hf_python], ["--hf-path", options.hf_path or ""])}
    for name in options.peers.split(","):
        python, more = commands[name]
        for dtype in ([], ["--bf16"]):
            one = peer([*python, HERE / "peer_megalodon.py", "--impl", name, "--mode", mode, "--length", length, "--repeat", options.repeat, *more, *dtype])
            if mode == "decode" and "ms" in one:
                one["ms"], one["best"] = one["ms"] / length, one["best"] / length
            found.append(one)
    return found


def time_ours(row, length, repeat):
    what = {"train": "train step"}.get(row, row)
    shape = ["--seq-len", "128", "--decode-tokens", str(length)] if row == "decode" else ["--seq-len", str(length), "--decode-tokens", "1"]
    return [everlong("megalodon-40m", what, [*OURS, *shape], dtype, repeat) for dtype in ("f32", "bf16")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default=",".join([*PEERS, *TRANSFORMERS]))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=1, help="run all programs of a row in turn so often")
    parser.add_argument("--hf-python", default=sys.executable, help="Python of megalodon-hf's environment")
    parser.add_argument("--hf-path", help="a checkout of megalodon-hf")
    parser.add_argument("--peers", default="jax,hf")
    options = parser.parse_args()
    rows = options.rows.split(",")
    if any(row in PEERS for row in rows):
        check_outputs()
        names = [f"{name} {dtype} ms" for name in [*options.peers.split(","), "everlong"] for dtype in ("fp32", "bf16")]
        print("| row | " + " | ".join(names) + " | ratio of the better | memory peer / everlong GB |\n|" + "---|" * (len(names) + 3), flush=True)
    for row in rows:
        if row in PEERS:
            mode, length = PEERS[row]
            print_row(row, lambda: time_peers(options, mode, length), lambda: time_ours(mode, length, options.repeat), options.rounds)
    if any(row in TRANSFORMERS for row in rows):
        print("\n| train step, bf16 | transformer ms | megalodon ms | ratio | memory GB |\n|---|---|---|---|---|", flush=True)
    for row in rows:
        if row in TRANSFORMERS:
            shape = ["--seq-len", str(TRANSFORMERS[row]), "--decode-tokens", "1", "--activation-checkpointing"]
            print_row(row, lambda: [everlong("transformer-small", "train step", [*TRANSFORMER, *shape], "bf16", options.repeat)],
                      lambda: [everlong("megalodon-40m", "train step", [*OURS, *shape], "bf16", options.repeat)], options.rounds)


if __name__ == "__main__":
    main()
