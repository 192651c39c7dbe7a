"""Kills a training run at random moments and resumes it: the last checkpoint must equal that of a run that nobody disturbed, byte for byte.

EVERLONG_PROGRAM is the program, EVERLONG_KILL_SEED chooses the moments. Standard library only.
"""

import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
import tiny_run  # noqa: E402

SEED = int(os.environ.get("EVERLONG_KILL_SEED", "1"))
STEPS = 600
CHECKPOINT_EVERY = 7  # often, so that many kills fall into the writing of one
EVAL_EVERY = 10       # no multiple: most evaluations are not followed by a checkpoint of their own step
KILLS = 10


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def checkpoint_steps(run):
    folder = run / "checkpoints"
    return sorted(int(p.name[5:]) for p in folder.glob("step-*") if p.name[5:].isdigit()) if folder.exists() else []


class Kill(unittest.TestCase):
    prepare = staticmethod(tiny_run.prepare)

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        cls.config = cls.prepare(cls.root, STEPS, CHECKPOINT_EVERY, EVAL_EVERY)
        tiny_run.finish(cls.config, cls.root / "whole")
        cls.expected = contents(cls.root / "whole/checkpoints" / f"step-{STEPS}")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def expect_equal(self, run):
        found = contents(run / "checkpoints" / f"step-{STEPS}")
        self.assertEqual(sorted(found), sorted(self.expected))
        for name, content in self.expected.items():
            self.assertTrue(found[name] == content, f"{name} differs")
        self.assertEqual((run / "latest").read_text(), f"step-{STEPS}\n")
        self.assertEqual((run / "best").read_text(), (self.root / "whole/best").read_text())
        self.assertEqual([p.name for p in (run / "checkpoints").iterdir() if ".tmp-" in p.name], [])
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
        steps = [line["step"] for line in lines if line["kind"] == "train"]
        self.assertEqual(steps, sorted(set(steps)), "a step stands in metrics.jsonl twice")
        self.assertEqual(steps[-1], STEPS)

    def expect_whole_checkpoints(self, run):
        """Whatever moment the kill came at, a folder with a checkpoint's name holds all of its files."""
        for step in checkpoint_steps(run):
            folder = run / "checkpoints" / f"step-{step}"
            self.assertEqual(sorted(contents(folder)), sorted(self.expected), f"step-{step} is not whole")

    def wait_for_checkpoint_after(self, run, step, process):
        """Waits for progress, not for a time: how long a step takes changes with what else the machine does."""
        deadline = time.monotonic() + 120
        while max(checkpoint_steps(run), default=0) <= step and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)

    def test_ten_kills_change_no_byte_of_the_last_checkpoint(self):
        moments, run, reached = random.Random(SEED), self.root / "killed", []
        for kill in range(KILLS):
            before = max(checkpoint_steps(run), default=0)
            process = tiny_run.start(self.config, run)
            if kill % 3 == 0:
                time.sleep(moments.uniform(0.0, 1.0))  # while it prepares, or soon after
            else:
                self.wait_for_checkpoint_after(run, before + CHECKPOINT_EVERY * moments.randrange(7), process)
                time.sleep(moments.uniform(0.0, 0.06))  # about what the steps between two checkpoints take
            process.send_signal(signal.SIGKILL)
            output = process.communicate()[0]
            self.assertEqual(process.returncode, -signal.SIGKILL, f"the run ended before it was killed:\n{output}")
            self.expect_whole_checkpoints(run)
            reached.append(max(checkpoint_steps(run), default=0))
        print(f"killed with checkpoints at {reached}", file=sys.stderr)
        self.assertGreaterEqual(len(set(reached) - {0}), 6, "too few kills came after a new checkpoint")
        tiny_run.finish(self.config, run)
        self.expect_equal(run)

    def test_asked_to_stop_it_leaves_a_checkpoint_and_continues_from_it(self):
        run = self.root / "stopped"
        for stop in (signal.SIGTERM, signal.SIGINT):
            process = tiny_run.start(self.config, run)
            before = max(checkpoint_steps(run), default=0)
            self.wait_for_checkpoint_after(run, before, process)
            process.send_signal(stop)
            output = process.communicate(timeout=60)[0]
            self.assertEqual(process.returncode, 130, output)
            self.assertGreater(max(checkpoint_steps(run)), before)
            self.expect_whole_checkpoints(run)
        tiny_run.finish(self.config, run)
        self.expect_equal(run)


class KillTask(Kill):
    """The same for a run that learns a task from labelled examples."""

    prepare = staticmethod(tiny_run.prepare_task)


if __name__ == "__main__":
    unittest.main()
