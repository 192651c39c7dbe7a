"""Training for tasks, and the verbs that use what was trained."""

import json
import os
import shutil
import struct
import tempfile
import unittest

from support import HAS_MODULE, WithFolder, run


def byte_level_tokenizer():
    """vocab.json of a tokenizer of single bytes with RoBERTa's special tokens."""
    plain = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174]
    others = iter(range(256, 512))
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    vocabulary.update({chr(b if b in plain else next(others)): 4 + b for b in range(256)})
    vocabulary["<mask>"] = 260
    return json.dumps(vocabulary).encode()


TASK_CONFIG = """
[model]
hidden_size = 16
num_hidden_layers = 1
intermediate_size = 24
nffn_hidden_size = 24
shared_representation_size = 8
ema_projection_size = 4
initializer_range = 0.1
dropout_prob = 0.0
hidden_dropout_prob = 0.0
attention_probs_dropout_prob = 0.0
nffn_activation_dropout_prob = 0.0

[data]
tokenizer = "FOLDER/tokenizer"
batch_size = 8
max_len = 64

[optim]
lr = 1e-2
warmup_steps = 1

[train]
dtype = "f32"
eval_every = 0
"""
TASK_FILES = {
    "sequence-classification": ("reviews.tsv", "sentence\tlabel\n" + "it is good\tliked\nit is bad\tdisliked\nso good\tliked\nso bad\tdisliked\n" * 8),
    "token-classification": ("words.jsonl", '{"tokens": ["Anna", "sees", "Rome"], "tags": ["PER", "O", "LOC"]}\n' * 16),
    "multiple-choice": ("choices.jsonl", '{"context": "the sky is", "choices": ["blue", "square"], "label": 0}\n' * 16),
    "question-answering": ("answers.jsonl", '{"question": "who?", "context": "it was Anna today", "answers": {"text": ["Anna"], "answer_start": [7]}}\n' * 16),
    "masked-lm": ("text.txt", "the sea is calm tonight and so am I.\n" * 24),
}


@unittest.skipUnless(HAS_MODULE, "built without torch")
class Tasks(WithFolder):
    """Training for each task, and the verbs that use what was trained."""

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.home)
        os.mkdir(os.path.join(cls.home, "tokenizer"))
        files = [("tokenizer/vocab.json", byte_level_tokenizer()), ("tokenizer/merges.txt", b"#version: 0.2\n"),
                 ("task.toml", TASK_CONFIG.replace("FOLDER", cls.home).encode())]
        for name, content in files + [(name, text.encode()) for name, text in TASK_FILES.values()]:
            with open(os.path.join(cls.home, name), "wb") as file:
                file.write(content)
        cls.trained = {}
        for task in TASK_FILES:
            status, out, err = cls.train(task, cls.run_of(task), "--set", "train.steps=60")
            if status != 0:
                raise AssertionError(err)
            cls.trained[task] = json.loads(out)["evaluations"][0]

    @classmethod
    def file_of(cls, task):
        return os.path.join(cls.home, TASK_FILES[task][0])

    @classmethod
    def run_of(cls, task):
        return os.path.join(cls.home, "run-" + task)

    @classmethod
    def train(cls, task, out, *words):
        data = cls.file_of(task)
        return run("train", os.path.join(cls.home, "task.toml"), "-o", out, "--set", f"train.task={task}", "--set", f"data.train={data}", "--set",
                   f"data.eval={data}", *words, "--json")

    def test_eval_agrees_with_the_evaluation_of_the_training(self):
        for task, trained in self.trained.items():
            found = self.answer("eval", self.run_of(task), self.file_of(task), "--task", task, "--max-len", "64", "--json")
            self.assertEqual(found["task"], task)
            self.assertEqual(set(found["files"][0]), set(trained))
            for name, value in trained.items():
                if name not in ("file", "loss", "perplexity") and task != "masked-lm":
                    self.assertAlmostEqual(found["files"][0][name], value, places=6, msg=(task, name))
        status, out, err = run("eval", self.run_of("multiple-choice"), self.file_of("multiple-choice"), "--task", "multiple-choice")
        self.assertEqual(status, 0, err)
        self.assertRegex(out, r"^file +examples +accuracy +loss\n")

    def test_what_is_easy_is_learned(self):
        self.assertEqual(self.trained["sequence-classification"]["accuracy"], 1.0)
        self.assertEqual(self.trained["token-classification"]["accuracy"], 1.0)
        self.assertEqual(self.trained["question-answering"]["exact_match"], 1.0)
        self.assertLess(self.trained["masked-lm"]["loss"], 3.5)

    def predictions(self, task, content):
        file = self.path("new" + os.path.splitext(TASK_FILES[task][0])[1], content.encode())
        out = self.path("out.jsonl")
        self.assertEqual(self.answer("predict", self.run_of(task), file, "-o", out, "--json"), {"out": out, "task": task, "examples": content.count("\n") - file.endswith("tsv")})
        with open(out, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def test_classes_are_predicted_by_name(self):
        found = self.predictions("sequence-classification", "sentence\nit is bad\nit is good\n")
        self.assertEqual([(one["line"], one["label"]) for one in found], [(2, "disliked"), (3, "liked")])
        self.assertAlmostEqual(sum(found[0]["scores"].values()), 1, places=6)

    def test_words_choices_and_answers_are_predicted_without_labels(self):
        (words,) = self.predictions("token-classification", '{"tokens": ["Anna", "sees", "Rome"]}\n')
        self.assertEqual((words["words"], words["labels"]), (["Anna", "sees", "Rome"], ["PER", "O", "LOC"]))
        (choice,) = self.predictions("multiple-choice", '{"context": "the sky is", "choices": ["blue", "square"]}\n')
        self.assertEqual((choice["choice"], len(choice["scores"])), (0, 2))
        (answer,) = self.predictions("question-answering", '{"question": "who?", "context": "it was Anna today"}\n')
        self.assertEqual(answer["answer"], "Anna")

    def test_the_order_of_predictions_is_that_of_the_file_whatever_the_batches(self):
        lines = "sentence\n" + "".join("it is " + word * (i % 5 + 1) + "\n" for i, word in enumerate(["good ", "bad ", "so ", "bad bad "] * 3))
        file = self.path("new.tsv", lines.encode())
        one, all_ = ([json.loads(line) for line in run("predict", self.run_of("sequence-classification"), file, "--batch-size", size)[1].splitlines()]
                     for size in ("1", "64"))
        self.assertEqual([p["line"] for p in all_], list(range(2, 14)))
        for a, b in zip(one, all_):
            self.assertAlmostEqual(a["scores"]["liked"], b["scores"]["liked"], places=4)

    def test_masks_are_filled(self):
        model = self.run_of("masked-lm")
        found = self.answer("fill-mask", model, "--text", "the s<mask>a is <mask>alm", "--text", "<mask>", "--top-k", "3", "--json")
        self.assertEqual([len(text["masks"]) for text in found], [2, 1])
        scores = [token["score"] for token in found[0]["masks"][0]]
        self.assertEqual((len(scores), scores), (3, sorted(scores, reverse=True)))
        self.assertLessEqual(sum(scores), 1)
        self.assertRegex(self.ask("fill-mask", model, "--text", "the sea is c<mask>lm"), r"score +id +token\n")
        self.refuse("fill-mask", model, "--text", "no mask here", says="<mask>")

    def test_lines_become_vectors(self):
        model, lines, out = self.run_of("masked-lm"), self.path("lines.txt", b"the sea\n\nis calm tonight\nthe sea\n"), self.path("v.npy")
        for pooling in ("mean", "first", "last"):
            self.assertEqual(self.answer("embed", model, lines, "-o", out, "--pooling", pooling, "--json"), {"out": out, "vectors": 4, "dimensions": 16})
            with open(out, "rb") as file:
                content = file.read()
            self.assertTrue(content.startswith(b"\x93NUMPY"))
            size = struct.unpack("<H", content[8:10])[0]
            self.assertIn(b"'<f4'", content[10:10 + size])
            rows = [struct.unpack("<16f", content[10 + size + 64 * i:][:64]) for i in range(4)]
            for a, b in zip(rows[0], rows[3]):
                self.assertAlmostEqual(a, b, places=5)
            self.assertNotEqual(rows[0], rows[2])
        self.refuse("embed", model, lines, "-o", out, "--pooling", "pooler", says="pooler")

    def test_a_run_starts_from_another_and_a_file_without_labels_has_no_score(self):
        status, out, err = self.train("sequence-classification", self.path("run"), "--set", f"model.init={self.run_of('masked-lm')}", "--set", "train.steps=2")
        self.assertEqual(status, 0, err)
        self.assertIn("freshly initialised", err)
        bare = self.path("bare.tsv", b"sentence\nit is good\n")
        self.refuse("eval", self.run_of("sequence-classification"), bare, "--task", "sequence-classification", says="labels")
        self.refuse("predict", self.run_of("masked-lm"), bare, says="masked-lm")

    def test_a_run_of_a_task_can_be_plotted_and_inspected(self):
        self.ask("inspect", self.run_of("sequence-classification"))
        self.assertEqual(run("plot", self.run_of("sequence-classification"), "-o", self.path("report.html"))[0], 0)
