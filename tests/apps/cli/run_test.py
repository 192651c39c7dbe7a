"""Everything that one does with a language model, from its training on."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from support import CONFIG, GOLDEN, HAS_MODULE, PROGRAM, ROOT, TEXT, WithFolder, run, safetensors, tensor_names


@unittest.skipUnless(HAS_MODULE, "built without torch")
class TinyRun(WithFolder):
    """Everything that one does with a model, on one that was trained for three steps."""

    @classmethod
    def setUpClass(cls):
        cls.home = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.home)
        for name, content in [("train.txt", TEXT), ("eval.txt", TEXT[:100]), ("tiny.toml", CONFIG.replace("FOLDER", cls.home).encode())]:
            with open(os.path.join(cls.home, name), "wb") as file:
                file.write(content)
        cls.config, cls.eval_file, cls.run_folder = (os.path.join(cls.home, name) for name in ("tiny.toml", "eval.txt", "run"))
        status, cls.trained, err = run("train", cls.config, "-o", cls.run_folder, "--set", "train.steps=3", "--json")
        if status != 0:
            raise AssertionError(err)

    def generate(self, *words):
        return self.answer("generate", self.run_folder, "--temperature", "0", "--json", *words)

    def test_beams_search_for_the_likeliest_continuation(self):
        greedy = self.generate("--prompt", "It is a", "--max-tokens", "9")
        searched = self.answer("generate", self.run_folder, "--num-beams", "4", "--prompt", "It is a", "--max-tokens", "9", "--json")
        self.assertEqual((searched["num_beams"], searched["tokens_read"], searched["stop_reason"]), (4, 7, "length"))
        self.assertEqual(searched["tokens"], self.answer("generate", self.run_folder, "--num-beams", "4", "--prompt", "It is a", "-n", "9", "--json", "--seed", "5")["tokens"])
        self.assertEqual(len(greedy["tokens"]), 9)
        self.refuse("generate", self.run_folder, "--num-beams", "2", "--prompt", "a", "--state-out", self.path("s"), says="--state-out")
        self.refuse("generate", self.run_folder, "--source", "a", says="--prompt")
        self.refuse("generate", self.run_folder, "--num-beams", "2", says="--prompt")

    def test_an_encoder_decoder_model_writes_the_target_of_a_source(self):
        folder = self.pair()
        answers = [self.answer("generate", folder, *words, "-n", "6", "--num-beams", "3", "--json") for words in
                   (["--source", "a cab"], ["--source-file", self.path("source.txt", b"a cab")])]
        self.assertEqual(answers[0]["tokens"], answers[1]["tokens"])
        self.assertEqual((answers[0]["tokens_read"], answers[0]["num_beams"]), (5, 3))
        self.assertLess(answers[0]["score"], 0)
        self.assertEqual(self.ask("--quiet", "generate", folder, "--source", "a cab", "-n", "6", "--num-beams", "3"), answers[0]["text"] + "\n")
        drawn = [self.ask("--quiet", "generate", folder, "--source", "a cab", "-n", "9", "--seed", seed) for seed in ("1", "1", "2")]
        self.assertEqual(drawn[0], drawn[1])
        self.assertNotEqual(drawn[0], drawn[2])
        self.refuse("generate", folder, "--prompt", "a cab", says="--source")
        self.refuse("generate", folder, says="--source")
        self.refuse("generate", folder, "--source", "", says="nothing")
        words = ["generate", self.pair("larger", "!"), "--source", "a"]
        done = run(*words)
        self.expect(words, done, 1, f"[{self.path('larger')}] expected a tokenizer of at most 41 tokens" in done[2])

    def pair(self, name="pair", more=""):
        """A tiny encoder-decoder model with a tokenizer of its size, special tokens, letters and a space, or of one with more letters."""
        folder = self.path(name)
        shutil.copytree(ROOT / "tests/golden/encoder_decoder/mega_mega", folder)
        spellings = ["<s>", "<pad>", "</s>"] + list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJK") + ["\u0120", *more]
        tokenizer = {"version": "1.0", "added_tokens": [{"id": i, "content": spellings[i], "special": True} for i in range(3)],
                     "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}, "decoder": {"type": "ByteLevel"},
                     "model": {"type": "BPE", "vocab": {spelling: i for i, spelling in enumerate(spellings)}, "merges": []}}
        with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as file:
            json.dump(tokenizer, file)
        return folder

    def bits_per_byte(self, model):
        return self.answer("eval", model, self.eval_file, "--json")["total"]["bits_per_byte"]

    def test_a_run_leaves_what_its_summary_names(self):
        summary = json.loads(self.trained)
        self.assertEqual(summary["run"], self.run_folder)
        self.assertEqual(len(summary["evaluations"]), 1)
        self.assertEqual(os.listdir(os.path.join(self.run_folder, "checkpoints")), ["step-3"])
        self.assertEqual(json.loads(self.ask("inspect", self.run_folder, "--json"))["last_step"], 3)

    def test_eval_agrees_with_the_evaluation_of_the_training(self):
        trained = json.loads(self.trained)["evaluations"][0]["bits_per_byte"]
        self.assertAlmostEqual(self.bits_per_byte(self.run_folder), trained, places=5)
        by_position = self.answer("eval", self.run_folder, self.eval_file, "--by-position", "--json")["files"][0]["by_position"]
        self.assertEqual(by_position[0]["begin"], 0)

    def test_a_run_is_never_overwritten(self):
        before = os.stat(os.path.join(self.run_folder, "config.toml")).st_mtime_ns
        self.refuse("train", self.config, "-o", self.run_folder, says="--resume")
        self.assertEqual(os.stat(os.path.join(self.run_folder, "config.toml")).st_mtime_ns, before)

    def test_a_dry_run_prints_a_plan_and_writes_nothing(self):
        plan = self.answer("train", self.config, "-o", self.path("run"), "--dry-run", "--json")
        self.assertEqual(plan["tokens_per_step"], 32)
        self.assertGreater(plan["parameters"], 0)
        self.assertIn("memory: in all", self.ask("train", self.config, "-o", self.path("run"), "--dry-run"))
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_bad_configuration_is_refused_before_anything_is_written(self):
        def refuse(*words, says):
            self.refuse("train", *words, "-o", self.path("run"), says=says)
            self.assertFalse(os.path.exists(self.path("run")))

        refuse(self.config, "--set", "train.stepz=3", says="train.steps")
        refuse(self.config, "--set", "train.steps=many", says="train.steps")
        refuse(self.config, "--set", "model.architecture=rnn", says="mega")
        refuse(self.path("nothing.toml"), says="nothing.toml")
        refuse(self.path("key.toml", b"[optim]\nlearning = 1\n"), says="optim.learning")
        refuse(self.path("syntax.toml", b"[optim\n"), says="syntax.toml")

    def test_generation_continues_from_a_saved_state_as_if_never_interrupted(self):
        whole = self.generate("--prompt", "It is a", "--max-tokens", "12", "--state-out", self.path("whole"))
        first = self.generate("--prompt", "It is a", "--max-tokens", "5", "--state-out", self.path("half"))
        rest = self.generate("--state-in", self.path("half"), "--max-tokens", "7", "--state-out", self.path("both"))
        self.assertEqual(first["tokens"] + rest["tokens"], whole["tokens"])
        self.assertEqual(len(whole["tokens"]), 12)
        difference = self.answer("state", "diff", self.path("whole"), self.path("both"), "--tolerance", "1e-5", "--json")
        self.assertTrue(difference["same"])
        self.assertEqual(difference["metadata"], [])
        self.assertEqual(len(difference["slots"]), len(tensor_names(self.path("whole"))) - 2)  # the position, the metadata

    def test_a_chat_is_the_text_of_its_template(self):
        def same(chat, text, *more):
            answers = [self.generate(*words, *more, "--max-tokens", "3", "--state-out", self.path(name))
                       for name, words in (("chat", ("--chat", "--prompt", chat)), ("text", ("--prompt", text)))]
            for key in ("tokens", "position"):
                self.assertEqual(answers[0][key], answers[1][key])

        same("Who?", "User: Who?\nAssistant:")
        os.rename(self.path("chat"), self.path("talk"))
        same("And?", "\nUser: And?\nAssistant:", "--state-in", self.path("talk"))
        self.refuse_usage("generate", self.run_folder, "--chat", "--prompt", "Who?", "--num-beams", "2", says="--num-beams")

    def test_states_that_differ_are_told_apart(self):
        for name, prompt in (("a", "It is a"), ("b", "It is b"), ("c", "It is")):
            self.generate("--prompt", prompt, "--max-tokens", "1", "--state-out", self.path(name))
        self.assertEqual(run("state", "diff", self.path("a"), self.path("a"))[0], 0)
        status, out, err = run("state", "diff", self.path("a"), self.path("b"), "--json")
        difference = json.loads(out)
        self.assertEqual((status, err, difference["same"]), (1, "", False))
        self.assertGreater(difference["max_abs"], 0)
        self.assertEqual(difference["positions"]["left"], difference["positions"]["right"])
        status, out, _ = run("state", "diff", self.path("a"), self.path("c"), "--tolerance", "1e9")
        self.assertEqual(status, 1)
        self.assertRegex(out, r"\npositions: \[\d+\] and \[\d+\]\n")
        self.refuse("state", "diff", self.path("a"), self.path("x", safetensors([("t", "U8", [1], b"0")])), says="expected a state file")

    def test_an_interrupted_training_saves_a_checkpoint_and_says_130(self):
        out = self.path("run")
        words = [PROGRAM, "train", self.config, "-o", out]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]})
        metrics, deadline = os.path.join(out, "metrics.jsonl"), time.monotonic() + 100
        while not (os.path.exists(metrics) and os.path.getsize(metrics) > 0) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
        self.assertEqual(process.returncode, 130, err)
        steps = os.listdir(os.path.join(out, "checkpoints"))
        self.assertEqual(len(steps), 1)
        self.assertGreater(self.bits_per_byte(out), 0)
        last = int(steps[0].removeprefix("step-"))
        self.answer("train", os.path.join(out, "config.toml"), "--resume", "--set", f"train.steps={last + 1}", "--json")
        self.assertIn(f"step-{last + 1}", os.listdir(os.path.join(out, "checkpoints")))

    def test_a_converted_run_is_the_same_model(self):
        report = self.answer("convert", self.run_folder, self.path("new/model"), "--json")
        self.assertEqual((report["unexpected"], report["renamed"], report["dialect"]), ([], [], "hf"))
        self.assertEqual(report["copied"], ["everlong_tokenizer.json"])
        self.assertEqual(sorted(os.listdir(self.path("new/model"))), ["config.json", "everlong_tokenizer.json", "model.safetensors"])
        self.assertEqual(self.bits_per_byte(self.path("new/model")), self.bits_per_byte(self.run_folder))
        self.refuse("convert", self.run_folder, self.path("new/model"), says="a new or empty folder")
        os.mkdir(self.path("empty"))
        self.answer("convert", self.run_folder, self.path("empty") + "/", "--dtype", "bf16", "--json")
        dtypes = {tensor["dtype"] for tensor in json.loads(self.ask("inspect", self.path("empty"), "--json"))["tensors"]}
        self.assertEqual(dtypes, {"BF16"})

    def test_a_converted_public_model_keeps_keys_and_gains_what_its_authors_expect(self):
        model = self.path("model")
        shutil.copytree(GOLDEN, model)
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["task_specific_params"] = {"note": "kept"}
        self.path("model/config.json", json.dumps(config).encode())
        report = self.answer("convert", model, self.path("out"), "--json")
        self.assertIn("task_specific_params", report["kept_keys"])
        with open(self.path("out/config.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["task_specific_params"], {"note": "kept"})
        self.assertIn("mega.layers.0.mega_layer.rel_pos_bias._float_tensor", tensor_names(self.path("out/model.safetensors")))
        self.assertNotEqual(run("convert", self.path("nothing"), self.path("other"))[0], 0)
        self.assertFalse(os.path.exists(self.path("other")))
        self.assertEqual(run("convert", model, self.path("other"), "--to", "own")[0], 2)

    def test_bench_of_operations(self):
        rows = self.answer("bench", "roofs", "ema", "--seq-len", "64", "--repeat", "2", "--threads", "1", "--json")
        self.assertEqual([row["target"] for row in rows].count("roofs"), 1)
        ema = [row for row in rows if row["target"] == "ema"]
        self.assertEqual({(row["what"], row["dtype"], row["threads"]) for row in ema if not row["what"].startswith("op ")},
                         {(what, dtype, 1) for what in ("forward", "backward") for dtype in ("f32", "bf16")})
        for row in ema:
            self.assertGreater(row["gb_per_s"], 0)
            self.assertLess(0, row["of_peak"])
            self.assertLessEqual(row["best_ms"], row["median_ms"])
        rows = self.answer("bench", "attention", "--seq-len", "32", "--repeat", "1", "--dtype", "f32", "--json")
        self.assertEqual([(row["what"], row["dtype"]) for row in rows], [("forward", "f32"), ("forward and backward", "f32")])
        self.refuse("bench", "cross-entropy", "--dtype", "f64", says="f32 or bf16")

    def test_bench_of_a_model(self):
        rows = self.answer("bench", self.run_folder, "--seq-len", "24", "--batch-size", "2", "--repeat", "2", "--json")
        self.assertEqual([(row["what"], row["dtype"]) for row in rows],
                         [(what, dtype) for dtype in ("f32", "bf16") for what in ("prefill", "decode", "train step")])
        for row in rows:
            self.assertGreater(row["peak_memory_bytes"], 1 << 20)
            self.assertGreater(row["tokens_per_s"], 0)
        self.assertRegex(self.ask("bench", self.run_folder, "--seq-len", "8", "--repeat", "1", "--dtype", "f32"), r"\ndecode +f32 ")
        rows = self.answer("bench", self.run_folder, "--seq-len", "24", "--repeat", "1", "--dtype", "f32", "--only", "encode", "--json")
        self.assertEqual([(row["what"], row["dtype"]) for row in rows], [("encode", "f32")])
        for phase, expected in (("infer", ["prefill", "decode"]), ("train", ["train step"])):
            rows = self.answer("bench", self.run_folder, "--seq-len", "8", "--repeat", "1", "--dtype", "f32", "--only", phase, "--json")
            self.assertEqual([row["what"] for row in rows], expected)
        self.refuse("bench", "mega-smal", says="mega-small")
