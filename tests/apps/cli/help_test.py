"""Help, the manual, and words that cannot be meant."""

import glob
import json
import re
import shutil
import subprocess

from support import GOLDEN, PROGRAM, VERBS, Cli, processor_seconds, run


class Help(Cli):
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


class Usage(Cli):
    def test_an_unknown_verb_is_answered_with_the_nearest(self):
        self.refuse_usage("evl", "model", "file", says="everlong: unknown verb 'evl'. Did you mean eval?")
        self.refuse_usage("tokenize", "encod", "file", says="everlong tokenize: unknown verb 'encod'. Did you mean encode?")
        self.refuse_usage("help", says="Did you mean --help?")

    def test_an_unknown_option_is_answered_with_the_nearest(self):
        self.refuse_usage("eval", "--jsno", "m", "f", says="everlong eval: unknown option --jsno. Did you mean --json?")
        self.refuse_usage("generate", "m", "--temprature=1", says="Did you mean --temperature?")
        self.refuse_usage("eval", "m", "f", "--thread", "2", says="Did you mean --threads?")

    def test_a_word_that_means_nothing_gets_no_suggestion(self):
        self.refuse_usage("xyzzy", says="everlong: unknown verb 'xyzzy'\n")

    def test_escape_sequences_in_words_do_not_reach_the_terminal(self):
        self.refuse_usage("\x1b[31mx", says="unknown verb '\\x1b[31mx'")

    def test_missing_and_surplus_arguments(self):
        self.refuse_usage("eval", says="everlong eval: MODEL is required")
        self.refuse_usage("eval", "m", says="FILE")
        self.refuse_usage("tokenize", says="everlong tokenize: a verb is required")
        self.refuse_usage("--quiet", says="everlong: a verb is required")
        self.refuse_usage("doctor", "surplus", says="everlong doctor: unexpected argument 'surplus'")
        self.refuse_usage("plot", "run", says="--out is required")
        self.refuse_usage("generate", "m", "--max-tokens", says="--max-tokens")

    def test_numbers_are_checked_against_their_range(self):
        self.refuse_usage("eval", "m", "f", "--segment", "0", says="--segment: expected integer >= 1, got '0'")
        self.refuse_usage("generate", "m", "--temperature", "nan", says="expected number >= 0, got 'nan'")
        self.refuse_usage("generate", "m", "--temperature", "-1", says="expected number >= 0, got '-1'")
        self.refuse_usage("generate", "m", "--top-p", "1.5", says="expected number in [0, 1], got '1.5'")
        self.refuse_usage("generate", "m", "--seed", "99999999999999999999", says="expected integer >= 0")
        self.refuse_usage("generate", "m", "--max-tokens", "0x10", says="got '0x10'")
        self.refuse_usage("doctor", "--threads", "-1", says="expected integer in [0, 4096], got '-1'")

    def test_names_are_checked_on_the_command_line_and_in_the_environment(self):
        self.refuse_usage("eval", "m", "f", "--context", "keep", says="--context: expected one of carry|reset, got 'keep'")
        self.refuse_usage("eval", "m", "f", says="--device: expected one of auto|cpu|cuda, got 'tpu'", EVERLONG_DEVICE="tpu")
        self.refuse_usage("doctor", says="--threads: expected integer in [0, 4096], got 'many'", EVERLONG_THREADS="many")

    def test_options_that_contradict_each_other_are_refused(self):
        self.refuse_usage("doctor", "-q", "-v", says="excludes")
        self.refuse_usage("generate", "m", "--prompt", "a", "--prompt-file", "b", says="excludes")
        self.refuse_usage("generate", "m", "--source", "a", "--prompt", "b", says="excludes")
        self.refuse_usage("generate", "m", "--num-beams", "0", says="expected integer >= 1")

    def test_a_file_may_be_called_like_a_verb(self):
        status, _, err = run("inspect", "train")
        self.assertNotEqual(status, 2, err)
        self.assertNotIn("Usage", err)


class Manual(Cli):
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
