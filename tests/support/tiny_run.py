"""A training run of seconds for the tests that drive the built program. Standard library only."""

import os
import pathlib
import subprocess

PROGRAM = os.environ.get("EVERLONG_PROGRAM", "build/release/bin/everlong")

CONFIG = """\
[model]
architecture = "mega"
hidden_size = 32
num_hidden_layers = 2
intermediate_size = 48
ema_projection_size = 4
shared_representation_size = 16
nffn_hidden_size = 48
bidirectional = false
is_decoder = true
use_chunking = true
chunk_size = 16
pad_token_id = -1
bos_token_id = -1
eos_token_id = -1

[data]
train = ["{folder}/train.txt"]
eval = ["{folder}/eval.txt"]
tokenizer = "bpe"
vocab_size = 300
batch_size = 2
seq_len = 40

[optim]
lr = 3e-3
warmup_steps = 10

[train]
steps = {steps}
dtype = "bf16"
average_decay = 0.9
checkpoint_every = {checkpoint_every}
eval_every = {eval_every}
log_every = 5
"""


def sentences(first, count):
    names = ["Anna", "Ben", "Clara", "David", "Emma", "Fritz", "Greta"]
    verbs = ["sees", "draws", "forgets", "counts", "paints"]
    things = ["the sea", "a tall tower", "seven ships", "her old garden", "no one at all"]
    for i in range(first, first + count):
        yield f"{names[i % 7]} {verbs[i * i % 5]} {things[(i * 3 + i // 7) % 5]}, {i * 37 % 101} times.\n"


def prepare(folder, steps, checkpoint_every, eval_every):
    """Writes texts and configuration into a folder; returns the path of the configuration."""
    folder = pathlib.Path(folder)
    (folder / "train.txt").write_text("".join(sentences(0, 400)), encoding="utf-8")
    (folder / "eval.txt").write_text("".join(sentences(400, 20)), encoding="utf-8")
    config = folder / "config.toml"
    config.write_text(CONFIG.format(folder=folder, steps=steps, checkpoint_every=checkpoint_every, eval_every=eval_every), encoding="utf-8")
    return config


def prepare_task(folder, steps, checkpoint_every, eval_every):
    """The same for a classifier of sentences, with dropout."""
    config = prepare(folder, steps, checkpoint_every, eval_every)
    folder = pathlib.Path(folder)
    for name, first, count in (("train", 0, 200), ("eval", 200, 20)):
        rows = [f"{text.strip()}\t{text.split()[0]}\n" for text in sentences(first, count)]
        (folder / f"{name}.tsv").write_text("sentence\tlabel\n" + "".join(rows), encoding="utf-8")
    text = config.read_text(encoding="utf-8").replace("bidirectional = false\nis_decoder = true\n", "").replace(".txt", ".tsv")
    config.write_text(text.replace("[train]\n", '[train]\ntask = "sequence-classification"\n'), encoding="utf-8")
    return config


def start(config, run):
    """Starts training in a process of its own, resuming if there is a run already."""
    words = [PROGRAM, "train", str(config), "--out", str(run)]
    if (pathlib.Path(run) / "config.toml").exists():
        words.append("--resume")
    # One thread: a model this small gains nothing from more, and two wait for each other on a busy machine.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def finish(config, run):
    """Trains to the end; fails with the program's output if it does not get there."""
    process = start(config, run)
    output = process.communicate(timeout=300)[0]
    if process.returncode != 0:
        raise AssertionError(f"training ended with status {process.returncode}:\n{output}")
