"""Packed corpora and made data."""

import json
import os
import pathlib
import shutil
import struct
import unittest

from support import HAS_MODULE, TEXT, WithFolder, run


class PackedCorpus(WithFolder):
    def test_a_corpus_is_described_from_its_headers(self):
        report = json.loads(self.ask("data", "info", "tests/data/megatron_sample", "--json"))
        self.assertEqual((report["kind"], report["format"]), ("corpus", "megatron"))
        self.assertEqual(report["token_bytes"], os.path.getsize("tests/data/megatron_sample.bin"))
        self.assertIsNone(report["tokenizer"])
        for name in ("tests/data/megatron_sample.bin", "tests/data/megatron_sample.idx"):
            other = json.loads(self.ask("inspect", name, "--json"))
            self.assertEqual({**other, "path": ""}, {**report, "path": ""})
        self.assertRegex(self.ask("data", "info", "tests/data/megatron_sample"), r"\ndtype +u?int\d+\n")

    def test_bare_tokens_are_nanogpt(self):
        report = json.loads(self.ask("data", "info", self.path("x.bin", bytes(14)), "--json"))
        self.assertEqual((report["format"], report["tokens"], report["documents"], report["dtype"]), ("nanogpt", 7, 1, "uint16"))
        self.refuse("data", "info", self.path("odd.bin", bytes(3)), says="an even number of bytes")
        self.refuse("data", "info", self.path("nothing"), says="nothing] cannot open")
        self.refuse("inspect", self.path("model.bin", b"PK\3\4 a checkpoint"), says="expected the end record of a zip archive")

    def test_files_of_torch_save_are_listed_and_never_run(self):
        report = json.loads(self.ask("inspect", "tests/data/torch_files/fairseq.pt", "--json"))
        self.assertEqual((report["kind"], report["num_tensors"]), ("pytorch", 7))
        self.assertEqual(report["tensors"][0], {"name": "model.0.weight", "dtype": "F32", "shape": [2, 3], "bytes": 24})
        self.assertEqual(report["values"]["args.arch"], "mega_lra")
        self.assertRegex(self.ask("inspect", "tests/data/torch_files/legacy.pt"), r"\nmodel\.0\.weight +F32 +\[2,3\] +24 B\n")
        self.refuse("inspect", "tests/data/torch_files/os_system.pt", says="posix.system")

    def test_files_that_do_not_belong_together_are_refused(self):
        shutil.copy("tests/data/megatron_sample.idx", self.path("x.idx"))
        self.path("x.bin", bytes(2))
        self.refuse("data", "info", self.path("x"), says="x.bin")
        self.path("x.idx", b"MMIDIDX")
        self.refuse("inspect", self.path("x.idx"), says="x.idx")

    @unittest.skipUnless(HAS_MODULE, "built without torch")
    def test_text_is_packed_and_described(self):
        text = self.path("a.txt", b"one\n--\nthree\n")
        jsonl = self.path("b.jsonl", b'{"text": "hello"}\n')
        for form, documents in (("megatron", 3), ("nanogpt", 1)):
            prefix = self.path(f"out/{form}")
            words = ["-t", "bytes", "-o", prefix, "--format", form, "--document-separator", "--"]
            packed = self.answer("data", "pack", text, jsonl, *words, "--json")
            self.assertEqual((packed["documents"], packed["tokens"], packed["text_bytes"]), (3, 13, 13))
            report = json.loads(self.ask("data", "info", prefix, "--json"))
            self.assertEqual((report["format"], report["documents"], report["tokens"]), (form, documents, 13))
            self.assertEqual((report["tokenizer"], report["bytes_per_token"]), (packed["tokenizer"], 1))
            self.assertEqual(json.loads(self.ask("inspect", prefix + ".bin", "--json"))["sources"], ["a.txt", "b.jsonl"])
            with open(prefix + ".bin", "rb") as file:
                self.assertEqual(bytes(file.read()[0::2]), b"onethreehello")

    @unittest.skipUnless(HAS_MODULE, "built without torch")
    def test_nothing_is_left_of_a_corpus_that_cannot_be_packed(self):
        status, out, err = run("data", "pack", self.path("a.txt", TEXT), self.path("nothing.txt"), "-t", "bytes", "-o", self.path("out/x"))
        self.assertEqual((status, out), (1, ""))
        self.assertIn("nothing.txt] cannot open", err)
        self.assertEqual(os.listdir(self.path("out")), [])
        self.refuse("data", "pack", self.path("a.pdf", TEXT), "-t", "bytes", "-o", self.path("out/x"), says="a.pdf")
        self.refuse("data", "pack", self.path("a.txt"), "-t", "bytes", "-o", self.path("out/x"), "--end-of-document", says="an end token")

    def test_listops_are_made_as_tsv_and_jsonl(self):
        words = ["data", "make", "listops", "--seed", "3", "--min-len", "5", "--max-len", "60"]
        report = json.loads(self.ask(*words, "--count", "20", "--out", self.path("new/a.tsv"), "--json"))
        self.assertEqual((report["kind"], report["count"], sum(report["classes"])), ("listops", 20, 20))
        lines = pathlib.Path(self.path("new/a.tsv")).read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[0], "Source\tTarget")
        self.assertEqual(len(lines), 21)
        self.ask(*words, "--count", "5", "--first", "15", "--out", self.path("b.jsonl"))
        rows = [json.loads(line) for line in pathlib.Path(self.path("b.jsonl")).read_text(encoding="utf-8").splitlines()]
        self.assertEqual([f"{row['text']}\t{row['label']}" for row in rows], lines[16:])
        self.refuse(*words, "--count", "5", "--out", self.path("b.csv"), says=".tsv or .jsonl")
        self.refuse(*words, "--count", "5", "--out", self.path("x.tsv"), "--max-depth", "2", "--max-args", "2", says="widen the lengths")
        self.assertEqual(sorted(os.listdir(self.path("new"))), ["a.tsv"])
        self.assertFalse(os.path.exists(self.path("x.tsv")))

    def test_pathfinder_is_drawn_into_idx_files(self):
        text = self.ask("data", "make", "pathfinder", "--count", "30", "--out", self.path("pf/train"))
        self.assertIn("train: 30 examples in 2 classes of ", text)
        images = pathlib.Path(self.path("pf/train-images-idx3-ubyte")).read_bytes()
        labels = pathlib.Path(self.path("pf/train-labels-idx1-ubyte")).read_bytes()
        self.assertEqual(struct.unpack(">4I", images[:16]), (0x803, 30, 32, 32))
        self.assertEqual((len(images), len(labels)), (16 + 30 * 32 * 32, 8 + 30))
        self.assertEqual(set(labels[8:]), {0, 1})
        self.assertEqual(len(os.listdir(self.path("pf"))), 2)
        self.refuse("data", "make", "pathfinder", "--count", "1", "--dashes", "900", "--out", self.path("pf/x"), says="draw fewer or shorter curves")
        self.assertEqual(len(os.listdir(self.path("pf"))), 2)
