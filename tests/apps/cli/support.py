"""What the tests of the command share: the program, a folder that goes away, and failures that show the whole call.

EVERLONG_PROGRAM is the program; EVERLONG_FOREIGN_MODULE a compute module of another build. Standard library only.
"""

import json
import os
import pathlib
import shlex
import shutil
import struct
import subprocess
import tempfile
import unittest

PROGRAM = os.environ.get("EVERLONG_PROGRAM", "build/release/bin/everlong")
FOREIGN_MODULE = os.environ.get("EVERLONG_FOREIGN_MODULE", "")
GOLDEN = "tests/golden/mega/clm_rotary_softmax"
MODULE = "libeverlong_compute.so"
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent.parent
HAS_MODULE = os.path.exists(os.path.join(os.path.dirname(PROGRAM), MODULE))

VERBS = ["train", "eval", "generate", "fill-mask", "predict", "embed", "tokenize", "data", "inspect", "state", "convert", "verify", "bench", "plot",
         "doctor", "completion", "man"]

TEXT = b"It is a truth universally acknowledged, that a single man in possession of a good fortune must be in want of a wife.\n" * 8
CONFIG = """
[model]
architecture = "mega"
is_decoder = true
bidirectional = false
use_chunking = true
chunk_size = 16
hidden_size = 16
num_hidden_layers = 1
intermediate_size = 24
nffn_hidden_size = 24
shared_representation_size = 8
ema_projection_size = 4
dropout_prob = 0.0
hidden_dropout_prob = 0.0
attention_probs_dropout_prob = 0.0
nffn_activation_dropout_prob = 0.0

[data]
train = ["FOLDER/train.txt"]
eval = ["FOLDER/eval.txt"]
tokenizer = "bytes"
batch_size = 2
seq_len = 16

[optim]
lr = 1e-2
warmup_steps = 1

[train]
steps = 1000000
dtype = "f32"
eval_every = 0
log_every = 1
"""


def run(*words, stdin=b"", program=PROGRAM, **variables):
    """Runs the program with a clean environment; returns status, stdout and stderr as text."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **variables}
    done = subprocess.run([program, *words], input=stdin, capture_output=True, env=environment, timeout=120)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def processor_seconds(*words):
    """What one run costs, whatever else the machine does meanwhile."""
    process = subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise AssertionError(words)
    return usage.ru_utime + usage.ru_stime


def safetensors(tensors, **metadata):
    """The bytes of a safetensors file of (name, dtype, shape, data)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, shape, content in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor_names(path):
    with open(path, "rb") as file:
        return set(json.loads(file.read(struct.unpack("<Q", file.read(8))[0])))


class Cli(unittest.TestCase):
    maxDiff = None

    def expect(self, words, done, status, holds=True):
        """Fails with the whole call unless it ended with that status and what else was asked of it holds."""
        if done[0] == status and holds:
            return
        texts = "".join(f"\n--- {name}:\n{text if len(text) < 4000 else text[:4000] + '...'}" for name, text in zip(("stdout", "stderr"), done[1:]))
        self.fail(f"everlong {shlex.join(map(str, words))}\nended with {done[0]}, expected {status} and what the test says{texts}")

    def ask(self, *words, stdin=b""):
        """What the words print on stdout; messages are not allowed."""
        done = run(*words, stdin=stdin)
        self.expect(words, done, 0, done[2] == "")
        return done[1]

    def answer(self, *words):
        """The JSON that the words print; messages are allowed."""
        done = run(*words)
        self.expect(words, done, 0)
        return json.loads(done[1])

    def refuse(self, *words, says, stdin=b""):
        """The words fail with one line on stderr that holds `says`."""
        done = run(*words, stdin=stdin)
        self.expect(words, done, 1, done[1] == "" and done[2].startswith("error: ") and done[2].endswith("\n") and done[2].count("\n") == 1)
        self.assertIn(says, done[2])

    def refuse_usage(self, *words, says, **variables):
        """The words cannot be meant: nothing runs, and stderr holds `says`."""
        done = run(*words, **variables)
        self.expect(words, done, 2, done[1] == "")
        self.assertIn(says, done[2])


class WithFolder(Cli):
    """Tests that write: `folder` is empty at first and removed at the end."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name, content=None):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path
