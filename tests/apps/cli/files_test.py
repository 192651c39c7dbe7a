"""Verbs that read and write files without computing: tokenize, inspect, plot."""

import json
import os
import struct
import subprocess

from support import PROGRAM, WithFolder, run, safetensors


class Tokenize(WithFolder):
    def test_bytes_to_ids_and_back_in_every_format(self):
        text = "Grüße\n\0 x".encode()
        self.assertEqual(self.ask("tokenize", "encode", stdin=b"Hi\n"), "72 105 10\n")
        self.assertEqual(json.loads(self.ask("tokenize", "encode", "--json", stdin=text)), list(text))
        for form in ["text", "json", "u16", "u32"]:
            ids = subprocess.run([PROGRAM, "tokenize", "encode", "--format", form], input=text, capture_output=True).stdout
            back = subprocess.run([PROGRAM, "tokenize", "decode", "--format", form, "-"], input=ids, capture_output=True)
            self.assertEqual((back.stdout, back.stderr), (text, b""), form)
        self.assertEqual(len(ids), 4 * len(text))

    def test_a_learned_vocabulary_encodes_what_it_was_learned_from_with_fewer_tokens(self):
        text = b"the cat sat on the mat and the cat ran after the other cat\n" * 20
        corpus, out = self.path("corpus.txt", text), self.path("made/here")
        report = json.loads(self.ask("tokenize", "train", corpus, "--vocab-size", "280", "-o", out, "--json"))
        self.assertEqual((report["tokenizer"], report["vocab_size"]), ("bpe", 280))
        self.assertEqual(json.loads(self.ask("tokenize", "info", out, "--json")), report)
        ids = self.ask("tokenize", "encode", "-t", out, corpus)
        self.assertLess(len(ids.split()), len(text) / 2)
        self.assertEqual(self.ask("tokenize", "decode", "--tokenizer", out, stdin=ids.encode()), text.decode())
        self.assertEqual(json.loads(self.ask("inspect", out, "--json"))["kind"], "tokenizer")

    def test_what_is_no_id_is_refused_with_its_place(self):
        self.refuse("tokenize", "decode", stdin=b"72 x 3", says="[standard input at 3] expected a token id in [0, 2147483648), got x.")
        self.refuse("tokenize", "decode", stdin=b"-1", says="[standard input at 0] expected a token id in [0, 2147483648), got -1")
        self.refuse("tokenize", "decode", stdin=b"99999999999", says="got 99999999999")
        self.refuse("tokenize", "decode", stdin=b"256", says="256")
        self.refuse("tokenize", "decode", "--format", "json", stdin=b"[1, 2.5]", says="[1]")
        self.refuse("tokenize", "decode", "--format", "json", stdin=b"{}", says="a JSON list")
        self.refuse("tokenize", "decode", "--format", "u16", stdin=b"abc", says="a multiple of 2 bytes")
        self.refuse("tokenize", "decode", "--format", "u32", stdin=b"\xff\xff\xff\xff", says="got 4294967295")

    def test_missing_files_are_named(self):
        self.refuse("tokenize", "encode", self.path("nothing"), says=self.path("nothing") + "] cannot")
        self.refuse("tokenize", "encode", "-t", self.path("nothing"), says=self.path("nothing"))
        self.refuse("tokenize", "train", self.path("nothing"), "--vocab-size", "300", "-o", self.path("out"), says="nothing")
        self.assertFalse(os.path.exists(self.path("out")))


class Inspect(WithFolder):
    TENSORS = [("a.weight", "F32", [2, 3], bytes(24)), ("b", "I64", [1], struct.pack("<q", 7))]

    def test_a_safetensors_file_whatever_its_name(self):
        path = self.path("weights.bin", safetensors(self.TENSORS, format="pt"))
        report = json.loads(self.ask("inspect", path, "--json"))
        self.assertEqual((report["kind"], report["num_tensors"], report["num_elements"], report["tensor_bytes"]), ("safetensors", 2, 7, 32))
        self.assertEqual(report["metadata"], {"format": "pt"})
        self.assertEqual(report["tensors"][0], {"name": "a.weight", "dtype": "F32", "shape": [2, 3], "bytes": 24})
        self.assertRegex(self.ask("inspect", path), r"\na\.weight +F32 +\[2,3\] +24 B\n")

    def test_a_state_file_and_its_positions(self):
        tensors = [("layers.0.h", "F32", [2, 1], bytes(8)), ("position", "I64", [2], struct.pack("<qq", 5, 1 << 40))]
        path = self.path("s", safetensors(tensors, schema="everlong-state-1", config="model_type=mega\n"))
        report = json.loads(self.ask("state", "info", path, "--json"))
        self.assertEqual((report["kind"], report["positions"], report["layer_bytes"]), ("state", [5, 1 << 40], 4))
        self.assertEqual(json.loads(self.ask("inspect", path, "--json")), report)
        self.refuse("state", "info", self.path("w", safetensors(self.TENSORS)), says="expected a state file, got safetensors")
        self.refuse("inspect", self.path("d", safetensors(self.TENSORS, schema="everlong-state-1")), says="position")

    def test_a_model_directory(self):
        self.path("m/config.json", b'{"model_type": "mega", "hidden_size": 24}')
        self.path("m/model.safetensors", safetensors(self.TENSORS))
        report = json.loads(self.ask("inspect", self.path("m"), "--json"))
        self.assertEqual((report["kind"], report["num_elements"], report["config"]["hidden_size"]), ("model", 7, 24))
        self.assertEqual(report["files"], [{"file": "model.safetensors", "in_model": True, "num_tensors": 2, "tensor_bytes": 32}])
        self.path("shards/only.safetensors", safetensors(self.TENSORS))
        self.assertEqual(json.loads(self.ask("inspect", self.path("shards"), "--json"))["num_elements"], 7)

    def test_what_stands_beside_a_model_is_listed_and_not_counted(self):
        for folder, weights in (("whole", ["model.safetensors"]), ("sharded", ["model-1.safetensors", "model-2.safetensors"])):
            for name in weights:
                self.path(f"{folder}/{name}", safetensors([(name, "F32", [2, 3], bytes(24))]))
            self.path(f"{folder}/trainer.safetensors", safetensors(self.TENSORS))
            if len(weights) > 1:
                self.path(f"{folder}/model.safetensors.index.json", json.dumps({"weight_map": {name: name for name in weights}}).encode())
            report = json.loads(self.ask("inspect", self.path(folder), "--json"))
            self.assertEqual(report["num_elements"], 6 * len(weights))
            self.assertEqual([tensor["file"] for tensor in report["tensors"]], weights)
            self.assertEqual({file["file"]: file["in_model"] for file in report["files"]}, {**dict.fromkeys(weights, True), "trainer.safetensors": False})
            self.assertRegex(self.ask("inspect", self.path(folder)), r"\ntrainer.safetensors +false +2 ")

    def test_damage_is_a_failure_that_names_the_file(self):
        whole = safetensors(self.TENSORS)
        for cut in (0, 7, 8, 20, len(whole) - 1):
            self.refuse("inspect", self.path("x.safetensors", whole[:cut]), says="x.safetensors")
        self.refuse("inspect", self.path("huge.safetensors", b"\xff" * 8 + b"{}"), says="huge.safetensors")
        self.refuse("inspect", self.path("note.txt", b"hello"), says="expected a safetensors or state file")
        self.refuse("inspect", self.path("nothing"), says="No such file or directory")
        self.refuse("inspect", self.folder, says=".safetensors")

    def test_names_of_tensors_cannot_steer_the_terminal(self):
        out = self.ask("inspect", self.path("x", safetensors([("\x1b[31mred", "U8", [1], b"0")])))
        self.assertNotIn("\x1b", out)
        self.assertIn("\\x1b[31mred", out)


class Plot(WithFolder):
    def setUp(self):
        super().setUp()
        lines = [{"kind": "train", "step": step, "loss": 2.0 / step} for step in range(1, 6)]
        self.path("run/config.toml", b"[optim]\nlr = 0.1\n")
        self.path("run/metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode())

    def test_a_run_becomes_a_page(self):
        page = self.ask("plot", self.path("run"), "-o", "-", "--title", "A <title>")
        self.assertTrue(page.startswith("<!DOCTYPE html>"))
        self.assertIn("A &lt;title&gt;", page)
        status, out, err = run("plot", self.path("run"), "--out", self.path("report.html"), "--title", "A <title>")
        self.assertEqual((status, out), (0, ""))
        self.assertIn("report.html", err)
        with open(self.path("report.html"), encoding="utf-8") as file:
            self.assertEqual(file.read(), page)
        self.assertEqual(run("plot", self.path("run"), "-o", self.path("report.html"), "--quiet")[1:], ("", ""))

    def test_a_run_can_be_inspected(self):
        report = json.loads(self.ask("inspect", self.path("run"), "--json"))
        self.assertEqual((report["kind"], report["last_step"], report["loss"]), ("run", 5, 0.4))
        self.assertEqual(report["settings"], {"optim.lr": "0.1"})

    def test_what_is_no_run_is_refused_and_nothing_is_written(self):
        self.refuse("plot", self.path("nothing"), "-o", self.path("report.html"), says="nothing")
        self.path("run/metrics.jsonl", b"{broken\n{}\n")
        self.refuse("plot", self.path("run"), "-o", self.path("report.html"), says="metrics.jsonl")
        self.assertFalse(os.path.exists(self.path("report.html")))
