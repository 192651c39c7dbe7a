"""Trains for a few steps and lets TensorBoard read what came of it. Needs the package tensorboard; EVERLONG_PROGRAM is the program."""

import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
import tensorboard_check  # noqa: E402
import tiny_run  # noqa: E402


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        tiny_run.finish(tiny_run.prepare(folder, steps=40, checkpoint_every=40, eval_every=10), run)
        found = list(tensorboard_check.differences(run))
        print("\n".join(found) or "events and metrics.jsonl agree")
        if found:
            return 1
        # The comparison must notice one changed number.
        metrics = run / "metrics.jsonl"
        lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
        next(line for line in lines if line["kind"] == "train")["loss"] *= 1.0001
        metrics.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        if not list(tensorboard_check.differences(run)):
            print("a changed loss was not noticed")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
