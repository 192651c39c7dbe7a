"""Reads an event file or folder as TensorBoard itself does (package tensorboard).

    python tests/interop/tensorboard_check.py PATH          prints scalars and texts as JSON
    python tests/interop/tensorboard_check.py --run RUN     compares a run's events with its metrics.jsonl; exit status 1 if they differ
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

# Tag of TensorBoard -> kind and key of metrics.jsonl. The file rounds the last one to whole tokens.
TAGS = {
    "train/loss": ("train", "loss", 0),
    "train/bits_per_byte": ("train", "bits_per_byte", 0),
    "train/lr": ("train", "lr", 0),
    "train/gradient_norm": ("train", "grad_norm", 0),
    "eval/bits_per_byte": ("eval", "bits_per_byte", 0),
    "train/tokens_per_s": ("train", "tokens_per_s", 0.5),
}
SINGLE = 2.0**-23  # events hold single precision


def read(path):
    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {tag: [{"step": e.step, "wall_time": e.wall_time, "value": e.value} for e in events.Scalars(tag)] for tag in tags["scalars"]}
    texts = {}
    for tag in tags["tensors"]:
        if events.SummaryMetadata(tag).plugin_data.plugin_name == "text":
            texts[tag] = [{"step": e.step, "text": [part.decode() for part in e.tensor_proto.string_val]} for e in events.Tensors(tag)]
    return {"file_version": events.file_version, "scalars": scalars, "texts": texts}


def differences(run):
    lines = [json.loads(line) for line in (pathlib.Path(run) / "metrics.jsonl").open(encoding="utf-8")]
    scalars = read(run)["scalars"]
    for tag in sorted(set(scalars) - set(TAGS)):
        yield f"{tag}: a tag that metrics.jsonl does not have"
    for tag, (kind, key, rounding) in TAGS.items():
        expected = [(line["step"], line[key]) for line in lines if line["kind"] == kind]
        found = [(point["step"], point["value"]) for point in scalars.get(tag, [])]
        if not expected:
            yield f"{tag}: metrics.jsonl has no {kind} line to compare with"
        if [step for step, _ in found] != [step for step, _ in expected]:
            yield f"{tag}: steps {[step for step, _ in found]} are not {[step for step, _ in expected]}"
            continue
        for (step, value), (_, want) in zip(found, expected):
            if not math.isclose(value, want, rel_tol=SINGLE, abs_tol=rounding):
                yield f"{tag}: {value} at step {step}, metrics.jsonl has {want}"


def main() -> int:
    if len(sys.argv) == 2 and not sys.argv[1].startswith("-"):
        json.dump(read(sys.argv[1]), sys.stdout, indent=2)
        print()
        return 0
    if len(sys.argv) == 3 and sys.argv[1] == "--run":
        found = list(differences(sys.argv[2]))
        print("\n".join(found) or "events and metrics.jsonl agree")
        return 1 if found else 0
    print(__doc__.strip(), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
