"""Megalodon from outside: a novel as a prompt, what context is worth, and tuning on conversations."""

import json
import os
import shutil
import tempfile
import unittest
import xml.dom.minidom

from support import HAS_MODULE, ROOT, TEXT, WithFolder, run

CONFIG = """
[model]
architecture = "megalodon"
model_dim = 16
num_layers = 2
z_dim = 8
value_dim = 16
num_heads = 1
ffn_hidden_dim = 16
cema_ndim = 4
chunk_size = 64
norm_num_groups = 4
swiglu = true

[data]
train = ["FOLDER/train.txt"]
eval = []
tokenizer = "bytes"
batch_size = 2
seq_len = 32

[optim]
lr = 1e-2
warmup_steps = 1
decay = "all"

[train]
steps = 3
dtype = "f32"
eval_every = 0
log_every = 1
"""
NOVEL = os.path.join(ROOT, "assets/austen/northanger_abbey.txt")


@unittest.skipUnless(HAS_MODULE, "built without torch")
class Megalodon(WithFolder):
    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.home)
        for name, content in [("train.txt", TEXT), ("tiny.toml", CONFIG.replace("FOLDER", cls.home).encode())]:
            with open(os.path.join(cls.home, name), "wb") as file:
                file.write(content)
        cls.run_folder = os.path.join(cls.home, "run")
        status, _, err = run("train", os.path.join(cls.home, "tiny.toml"), "-o", cls.run_folder, "--json")
        if status != 0:
            raise AssertionError(err)

    def test_a_novel_as_a_prompt_is_continued_bit_for_bit_from_its_saved_state(self):
        for dtype in ("f32", "bf16"):
            with self.subTest(dtype):
                model = ("generate", self.run_folder, "--json", "--dtype", dtype, "--seed", "7")
                whole = self.answer(*model, "--prompt-file", NOVEL, "-n", "24", "--state-out", self.path("whole"))
                read = self.answer(*model, "--prompt-file", NOVEL, "-n", "0", "--state-out", self.path("read"))
                rest = self.answer(*model, "--state-in", self.path("read"), "-n", "24", "--state-out", self.path("rest"))
                self.assertEqual(len(whole["tokens"]), 24)
                self.assertEqual(rest["tokens"], whole["tokens"])
                self.assertEqual(read["position"], os.path.getsize(NOVEL))
                self.assertEqual(rest["position"], whole["position"])
                self.assertEqual(read["state_bytes"], rest["state_bytes"])  # as large after 430,000 tokens as after 24 more
                difference = self.answer("state", "diff", self.path("whole"), self.path("rest"), "--json")
                self.assertEqual((difference["same"], difference["max_abs"]), (True, 0))

    def test_the_size_of_a_state_is_said_in_all_and_a_layer(self):
        done = run("--verbose", "generate", self.run_folder, "--prompt", "a", "-n", "1", "--state-out", self.path("s"))
        self.assertRegex(done[2], r"state [\d.]+ KiB, [\d.]+ KiB a layer after 2 tokens")
        info = json.loads(self.ask("state", "info", self.path("s"), "--json"))
        # count, mean and variance of the norm; averages; keys and values of a chunk
        self.assertEqual(info["layer_bytes"], 8 + 16 * 4 + 8 * 16 * 4 + 4 * 64 * (8 + 16))
        self.assertRegex(self.ask("state", "info", self.path("s")), r"\nlayer bytes +6\.\d+ KiB\n")

    def test_context_lengths_score_the_same_tokens(self):
        picture = self.path("context.svg")
        answer = self.answer("eval", self.run_folder, NOVEL, "--context-lengths", "0,1,1k,20k", "--windows", "3", "--window", "40", "--plot", picture, "--json")
        found = answer["files"][0]
        self.assertEqual((answer["windows"], answer["window"], found["tokens"], found["bytes"]), (3, 40, 120, 120))
        self.assertEqual([row["history"] for row in found["lengths"]], [0, 1, 1024, 20480])
        self.assertEqual([row["repeated"] for row in found["lengths"]], [0, 0, 0, 0])
        for row in found["lengths"]:
            self.assertAlmostEqual(row["gain"], found["lengths"][0]["nats_per_token"] - row["nats_per_token"], places=9)
        self.assertEqual(xml.dom.minidom.parse(picture).documentElement.tagName, "svg")
        words = ("eval", self.run_folder, NOVEL, "--context-lengths", "0,1k", "--windows", "2", "--window", "40")
        status, text, _ = run(*words)  # progress goes to stderr
        self.assertEqual(status, 0)
        self.assertRegex(text, r"the same 80 tokens \(80 bytes\)\nhistory +nats/token .*\n0 .* -\n1k .*[+-]0\.\d{4} \+- \d")

    def test_history_is_repeated_where_it_is_too_short(self):
        before, text = self.path("before.txt", TEXT), self.path("text.txt", TEXT[:200])
        answer = self.answer("eval", self.run_folder, text, "--history", before, "--context-lengths", "100,2k", "--windows", "2", "--window", "50", "--json")
        self.assertEqual([row["repeated"] for row in answer["files"][0]["lengths"]], [0, 2048 // len(TEXT)])
        self.refuse("eval", self.run_folder, text, "--context-lengths", "2k", says="--history")
        self.refuse("eval", self.run_folder, text, "--context-lengths", "1k,x", says="got 'x'")
        self.refuse("eval", self.run_folder, text, "--plot", "x", says="--context-lengths")

    def test_tuning_on_conversations_keeps_their_template_with_the_model(self):
        chats = self.path("chats.jsonl", b'{"prompt": "Who?", "response": "Jane Austen."}\n{"messages": [{"role": "user", "content": "Sure?"}, '
                          b'{"role": "assistant", "content": "Yes."}]}\n')
        config = self.path("chat.toml", f"""
[model]
init = "{self.run_folder}"
[data]
format = "chats"
train = ["{chats}"]
eval = ["{chats}"]
batch_size = 2
seq_len = 16
[optim]
lr = 1e-2
warmup_steps = 1
[train]
steps = 8
dtype = "f32"
eval_every = 0
log_every = 1
""".encode())
        out = self.path("tuned")
        before = self.answer("train", config, "-o", self.path("none"), "--set", "optim.lr=0", "--json")["evaluations"][0]
        after = self.answer("train", config, "-o", out, "--json")["evaluations"][0]
        self.assertLess(after["nats_per_token"], before["nats_per_token"])
        with open(os.path.join(out, "checkpoints/step-8/chat_template.jinja"), encoding="utf-8") as file:
            self.assertIn("Assistant:", file.read())
        template = self.path("t.jinja", b"a\n{% macro x() %}{% endmacro %}")
        self.refuse("train", config, "-o", self.path("x"), "--set", f"data.chat_template={template}",
                    says="t.jinja:2] expected a chat template in the supported subset of Jinja, got the statement 'macro'")


if __name__ == "__main__":
    unittest.main()
