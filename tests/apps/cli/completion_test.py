"""Completion in shells, and streams that end early."""

import os
import shutil
import subprocess
import tempfile
import unittest

from support import PROGRAM, VERBS, Cli, run


class Completion(Cli):
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


class Streams(Cli):
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
