"""Drives the built `everlong`: exit statuses, what goes to which stream, JSON, completion, manual, the compute module.

EVERLONG_PROGRAM is the program; EVERLONG_FOREIGN_MODULE a compute module of another build. Standard library only.
"""

import glob
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

PROGRAM = os.environ.get("EVERLONG_PROGRAM", "build/release/bin/everlong")
FOREIGN_MODULE = os.environ.get("EVERLONG_FOREIGN_MODULE", "")
GOLDEN = "tests/golden/mega/clm_rotary_softmax"
MODULE = "libeverlong_compute.so"
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
HAS_MODULE = os.path.exists(os.path.join(os.path.dirname(PROGRAM), MODULE))

VERBS = ["train", "eval", "generate", "fill-mask", "predict", "embed", "tokenize", "data", "inspect", "state", "convert", "verify", "bench", "plot", "doctor", "completion", "man"]


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


class Help(unittest.TestCase):
    def test_version_is_one_line_on_stdout(self):
        status, out, err = run("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertRegex(out, r"^everlong \d+\.\d+\.\d+\n$")

    def test_verbs_without_torch_start_in_less_than_50_ms(self):
        sanitized = json.loads(run("doctor", "--json")[1])["build"]["address sanitizer"]
        bound = 1.0 if sanitized else 0.050  # a sanitizer slows everything, not only what is wrong
        gpt2, model = "assets/gpt2", GOLDEN + "/model.safetensors"
        for words in (["--version"], ["train", "--help"], ["man"], ["inspect", model], ["tokenize", "encode", "-t", gpt2], ["tokenize", "decode", "-t", gpt2],
                      ["data", "info", "tests/data/megatron_sample"]):
            self.assertLess(min(processor_seconds(*words) for _ in range(7)), bound, words)

    def test_the_program_is_not_linked_to_torch(self):
        libraries = subprocess.run(["ldd", PROGRAM], capture_output=True, text=True).stdout
        self.assertIn("libc.so", libraries)
        self.assertNotIn("torch", libraries)
        self.assertNotIn("libc10", libraries)

    def test_help_names_every_verb_and_goes_to_stdout(self):
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        for verb in VERBS:
            self.assertRegex(out, rf"\n  {verb} ")

    def test_every_verb_has_help(self):
        for words in [[verb] for verb in VERBS] + [["tokenize", "encode"], ["data", "pack"], ["data", "make", "listops"], ["state", "diff"]]:
            status, out, err = run(*words, "--help")
            self.assertEqual((status, err), (0, ""), words)
            self.assertIn("Usage: everlong " + " ".join(words), out)

    def test_examples_name_files_that_are_in_the_repository(self):
        named = set(re.findall(r"(?:apps|assets|bench|configs|docs|examples|tests|tools)/[^\s'\"]+", "".join(run(verb, "--help")[1] for verb in VERBS)))
        self.assertIn("configs/quickstart.toml", named)
        for pattern in named:
            self.assertTrue(glob.glob(pattern), pattern)

    def test_no_words_at_all_is_a_usage_error_that_prints_help_on_stderr(self):
        status, out, err = run()
        self.assertEqual((status, out), (2, ""))
        self.assertIn("Usage: everlong", err)


class Usage(unittest.TestCase):
    def refuse(self, *words, says, **variables):
        status, out, err = run(*words, **variables)
        self.assertEqual((status, out), (2, ""), (words, err))
        self.assertIn(says, err)

    def test_an_unknown_verb_is_answered_with_the_nearest(self):
        self.refuse("evl", "model", "file", says="everlong: unknown verb 'evl'. Did you mean eval?")
        self.refuse("tokenize", "encod", "file", says="everlong tokenize: unknown verb 'encod'. Did you mean encode?")
        self.refuse("help", says="Did you mean --help?")

    def test_an_unknown_option_is_answered_with_the_nearest(self):
        self.refuse("eval", "--jsno", "m", "f", says="everlong eval: unknown option --jsno. Did you mean --json?")
        self.refuse("generate", "m", "--temprature=1", says="Did you mean --temperature?")
        self.refuse("eval", "m", "f", "--thread", "2", says="Did you mean --threads?")

    def test_a_word_that_means_nothing_gets_no_suggestion(self):
        self.refuse("xyzzy", says="everlong: unknown verb 'xyzzy'\n")

    def test_escape_sequences_in_words_do_not_reach_the_terminal(self):
        self.refuse("\x1b[31mx", says="unknown verb '\\x1b[31mx'")

    def test_missing_and_surplus_arguments(self):
        self.refuse("eval", says="everlong eval: MODEL is required")
        self.refuse("eval", "m", says="FILE")
        self.refuse("tokenize", says="everlong tokenize: a verb is required")
        self.refuse("--quiet", says="everlong: a verb is required")
        self.refuse("doctor", "surplus", says="everlong doctor: unexpected argument 'surplus'")
        self.refuse("plot", "run", says="--out is required")
        self.refuse("generate", "m", "--max-tokens", says="--max-tokens")

    def test_numbers_are_checked_against_their_range(self):
        self.refuse("eval", "m", "f", "--segment", "0", says="--segment: expected integer >= 1, got '0'")
        self.refuse("generate", "m", "--temperature", "nan", says="expected number >= 0, got 'nan'")
        self.refuse("generate", "m", "--temperature", "-1", says="expected number >= 0, got '-1'")
        self.refuse("generate", "m", "--top-p", "1.5", says="expected number in [0, 1], got '1.5'")
        self.refuse("generate", "m", "--seed", "99999999999999999999", says="expected integer >= 0")
        self.refuse("generate", "m", "--max-tokens", "0x10", says="got '0x10'")
        self.refuse("doctor", "--threads", "-1", says="expected integer in [0, 4096], got '-1'")

    def test_names_are_checked_on_the_command_line_and_in_the_environment(self):
        self.refuse("eval", "m", "f", "--context", "keep", says="--context: expected one of carry|reset, got 'keep'")
        self.refuse("eval", "m", "f", says="--device: expected one of auto|cpu|cuda, got 'tpu'", EVERLONG_DEVICE="tpu")
        self.refuse("doctor", says="--threads: expected integer in [0, 4096], got 'many'", EVERLONG_THREADS="many")

    def test_options_that_contradict_each_other_are_refused(self):
        self.refuse("doctor", "-q", "-v", says="excludes")
        self.refuse("generate", "m", "--prompt", "a", "--prompt-file", "b", says="excludes")
        self.refuse("generate", "m", "--source", "a", "--prompt", "b", says="excludes")
        self.refuse("generate", "m", "--num-beams", "0", says="expected integer >= 1")

    def test_a_file_may_be_called_like_a_verb(self):
        status, _, err = run("inspect", "train")
        self.assertNotEqual(status, 2, err)
        self.assertNotIn("Usage", err)


class Doctor(unittest.TestCase):
    def test_json_is_one_valid_object(self):
        status, out, err = run("doctor", "--json")
        report = json.loads(out)
        self.assertEqual(report["compute module"]["usable"], HAS_MODULE)
        self.assertEqual(status, 0 if HAS_MODULE else 1, err)
        self.assertIn(report["build"]["everlong"], run("--version")[1])
        self.assertGreaterEqual(report["machine"]["processors available"], 1)
        if HAS_MODULE:
            self.assertRegex(report["libtorch"]["version"], r"^\d+\.\d+")

    @unittest.skipUnless(HAS_MODULE, "built without torch")
    def test_threads_come_from_the_flag_before_the_environment(self):
        def threads(*words, **variables):
            return json.loads(run("doctor", "--json", *words, **variables)[1])["libtorch"]["threads"]

        self.assertEqual(threads(EVERLONG_THREADS="3"), 3)
        self.assertEqual(threads("--threads", "2", EVERLONG_THREADS="3"), 2)


class ComputeModule(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        self.program = shutil.copy(PROGRAM, self.folder)

    def test_a_missing_module_is_reported_with_the_places_looked_at(self):
        status, out, err = run("bench", "ema", program=self.program)
        self.assertEqual((status, out), (1, ""))
        self.assertIn(os.path.join(self.folder, MODULE), err)
        self.assertIn("/everlong/" + MODULE, err)

    def test_a_module_of_another_build_is_refused(self):
        shutil.copy(FOREIGN_MODULE, os.path.join(self.folder, MODULE))
        status, _, err = run("bench", "ema", program=self.program)
        self.assertEqual(status, 1)
        self.assertIn("expected a module of the same build", err)
        self.assertIn("got 0.0.1 (another build)", err)

    def test_a_file_that_is_no_module_is_refused(self):
        for content in [b"", b"\x7fELF not really", b"text"]:
            with open(os.path.join(self.folder, MODULE), "wb") as file:
                file.write(content)
            status, _, err = run("bench", "ema", program=self.program)
            self.assertEqual(status, 1)
            self.assertIn("expected a module that the system can load", err)

    def test_doctor_still_reports_without_it(self):
        status, out, _ = run("doctor", "--json", program=self.program)
        self.assertEqual(status, 1)
        self.assertIn(MODULE, json.loads(out)["compute module"]["reason"])


class Streams(unittest.TestCase):
    def test_a_full_disk_is_an_error(self):
        for words in (["man"], ["--version"]):  # more and less than a buffer
            with open("/dev/full", "wb") as full:
                done = subprocess.run([PROGRAM, *words], stdout=full, stderr=subprocess.PIPE)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"cannot write: No space left on device", done.stderr)

    def test_a_reader_that_leaves_is_no_news(self):
        for start in ("", 'trap "" PIPE; '):  # ended by the signal, or told by the failing write
            script = start + '"$0" tokenize encode /dev/stdin | exec head -c 10; echo ${PIPESTATUS[0]}'
            done = subprocess.run(["bash", "-c", script, PROGRAM], input=bytes(1 << 20), capture_output=True)
            self.assertEqual(done.stderr, b"")
            self.assertEqual(done.stdout, b"0 0 0 0 0 " + (b"1" if start else b"141") + b"\n")

    def test_help_is_wrapped_to_the_terminal(self):
        for columns in (60, 100):
            status, out, _ = run("eval", "--help", COLUMNS=str(columns))
            self.assertLessEqual(max(map(len, out.splitlines())), columns + 12)  # example lines are never broken


class Completion(unittest.TestCase):
    def complete(self, *words):
        """What bash offers after `words`, of which the last is being typed."""
        script = 'source <("$EVERLONG_PROGRAM" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _everlong; printf "%s\\n" "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", script, "bash", *words], capture_output=True, text=True, env={**os.environ, "EVERLONG_PROGRAM": PROGRAM})
        self.assertEqual(done.stderr, "")
        return done.stdout.split("\n")[:-1]

    def test_bash_completes_verbs(self):
        self.assertEqual(self.complete("everlong", ""), VERBS)
        self.assertEqual(self.complete("everlong", "t"), ["train", "tokenize"])
        self.assertEqual(self.complete("everlong", "-q", "tokenize", ""), ["encode", "decode", "train", "info"])

    def test_bash_completes_options_of_the_verb_and_global_ones(self):
        self.assertEqual(self.complete("everlong", "eval", "--by"), ["--by-position"])
        self.assertEqual(self.complete("everlong", "tokenize", "encode", "x", "--f"), ["--format"])
        self.assertEqual(self.complete("everlong", "eval", "--th"), ["--threads"])

    def test_bash_completes_values(self):
        self.assertEqual(self.complete("everlong", "eval", "--context", ""), ["carry", "reset"])
        self.assertEqual(self.complete("everlong", "eval", "--device", "=", "c"), ["cpu", "cuda"])
        self.assertEqual(self.complete("everlong", "eval", "--device", "="), ["auto", "cpu", "cuda"])
        self.assertEqual(self.complete("everlong", "completion", "z"), ["zsh"])
        self.assertEqual(self.complete("everlong", "generate", "m", "--seed", ""), [""])

    def test_bash_completes_files_with_spaces(self):
        with tempfile.TemporaryDirectory() as folder:
            open(os.path.join(folder, "a b.txt"), "w").close()
            self.assertEqual(self.complete("everlong", "inspect", folder + "/a"), [folder + "/a b.txt"])

    def test_the_scripts_are_valid_for_their_shells(self):
        for shell, command in [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]), ("fish", ["fish", "--no-execute"])]:
            status, out, err = run("completion", shell)
            self.assertEqual((status, err), (0, ""))
            if shutil.which(command[0]):
                with tempfile.NamedTemporaryFile("w", suffix="." + shell) as file:
                    file.write(out)
                    file.flush()
                    done = subprocess.run([*command, file.name], capture_output=True, text=True)
                self.assertEqual((done.returncode, done.stderr), (0, ""), shell)

    @unittest.skipUnless(shutil.which("fish"), "fish is not installed")
    def test_fish_completes_verbs_options_and_values(self):
        def complete(line):
            script = f'{PROGRAM} completion fish | source; complete -C "{line}"'
            out = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True).stdout
            return [entry.split("\t")[0] for entry in out.splitlines()]

        self.assertEqual(sorted(complete("everlong ")), sorted(VERBS))
        self.assertEqual(sorted(complete("everlong tokenize ")), ["decode", "encode", "info", "train"])
        self.assertEqual(complete("everlong eval --by"), ["--by-position"])
        self.assertEqual(complete("everlong eval --context "), ["carry", "reset"])

    def test_an_unknown_shell_is_refused(self):
        status, _, err = run("completion", "tcsh")
        self.assertEqual(status, 2)
        self.assertIn("expected one of bash|zsh|fish", err)


class Manual(unittest.TestCase):
    def test_troff_has_nothing_to_complain_about(self):
        status, out, err = run("man")
        self.assertEqual((status, err), (0, ""))
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=out.encode(), capture_output=True)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        page = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout.decode())
        for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "VERBS", "EXAMPLES", "ENVIRONMENT", "EXIT STATUS"]:
            self.assertIn(title, page)
        for verb in VERBS:
            self.assertIn("everlong " + verb, page)


def safetensors(tensors, **metadata):
    """The bytes of a safetensors file of (name, dtype, shape, data)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, shape, content in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


class WithFolder(unittest.TestCase):
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

    def ask(self, *words, stdin=b""):
        status, out, err = run(*words, stdin=stdin)
        self.assertEqual((status, err), (0, ""), words)
        return out

    def answer(self, *words):
        """The JSON that the words print; messages are allowed."""
        status, out, err = run(*words)
        self.assertEqual(status, 0, (words, err))
        return json.loads(out)

    def refuse(self, *words, says, stdin=b""):
        status, out, err = run(*words, stdin=stdin)
        self.assertEqual((status, out), (1, ""), (words, err))
        self.assertTrue(err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err)
        self.assertIn(says, err)


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
        self.assertEqual((report["kind"], report["positions"]), ("state", [5, 1 << 40]))
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


def tensor_names(path):
    with open(path, "rb") as file:
        return set(json.loads(file.read(struct.unpack("<Q", file.read(8))[0])))


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

    def pair(self):
        """A tiny encoder-decoder model with a tokenizer of its size: special tokens, letters, and a space."""
        folder = self.path("pair")
        shutil.copytree(ROOT / "tests/golden/encoder_decoder/mega_mega", folder)
        spellings = ["<s>", "<pad>", "</s>"] + list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJK") + ["\u0120"]
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
        self.refuse("bench", "mega-smal", says="mega-small")


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


@unittest.skipUnless(HAS_MODULE, "built without torch")
class Verify(WithFolder):
    def test_a_golden_case_is_met(self):
        status, out, err = run("verify", GOLDEN, "--dump", self.path("dump.safetensors"), "--json")
        self.assertEqual(status, 0, err)
        (case,) = json.loads(out)
        self.assertEqual((case["case"], case["ok"], case["path"]), ("clm_rotary_softmax", True, GOLDEN))
        self.assertTrue(all(item["ok"] and item["max_abs"] <= 1 for item in case["items"]))
        self.assertIn("logits", {item["name"] for item in case["items"]})
        self.assertEqual(set(case["items"][0]), {"name", "max_abs", "rel_rms", "tolerance", "ok"})
        self.assertIn("logits", tensor_names(self.path("dump.safetensors")))

    def test_one_wrong_number_is_a_failure(self):
        case = self.path("case")
        shutil.copytree(GOLDEN, case)
        with open(os.path.join(case, "expected.safetensors"), "r+b") as file:
            size = struct.unpack("<Q", file.read(8))[0]
            entry = json.loads(file.read(size))["logits"]
            self.assertEqual(entry["dtype"], "F64")
            file.seek(8 + size + entry["data_offsets"][0])
            file.write(struct.pack("<d", 5.0))
        status, out, _ = run("verify", case, "--json")
        self.assertEqual(status, 1)
        self.assertIn("logits", [item["name"] for item in json.loads(out)[0]["items"] if not item["ok"]])
        self.assertEqual(run("verify", GOLDEN, case)[0], 1)

    def test_a_missing_case_is_named(self):
        self.refuse("verify", self.path("nothing"), says="nothing")


if __name__ == "__main__":
    unittest.main()
