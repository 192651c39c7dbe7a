#!/usr/bin/env python3
"""Measures what README.md shows and writes it: docs/images/memory.svg, docs/images/numbers.json, and the block between the `numbers` marks of README.md.

    tools/make_readme_figures.py [--build build/release] [--max-context 65536] [--threads 0] [--check]

It needs the built program and models_test. --check measures nothing: exit status 1 if the block in README.md is not what numbers.json says.
"""
import argparse
import json
import math
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/images"
BEGIN, END = "<!-- numbers -->", "<!-- /numbers -->"
SEGMENT_LIMIT = {"mega": 1, "transformer": 4}  # the transformer reads in quadratic time: it is measured up to a fourth of the longest context
RUN = """[model]
architecture = "{architecture}"
preset = "{preset}"
[data]
train = ["{text}"]
tokenizer = "bytes"
batch_size = 2
seq_len = 64
[optim]
warmup_steps = 5
[train]
steps = {steps}
dtype = "f32"
checkpoint_every = {every}
log_every = 5
"""


def call(program, *arguments, cwd):
    done = subprocess.run([program, *map(str, arguments)], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def write_run(folder, name, architecture, preset, steps, every):
    text = ROOT / "assets/austen/emma.txt"
    (folder / f"{name}.toml").write_text(RUN.format(architecture=architecture, preset=preset, text=text, steps=steps, every=every))


def measure_memory(program, threads, folder, longest):
    """State and process memory after reading contexts of growing length."""
    novels = b"".join(p.read_bytes() for p in sorted((ROOT / "assets/austen").glob("*.txt")))
    series = {}
    for architecture, preset in (("mega", "mega-small"), ("transformer", "transformer-small")):
        write_run(folder, architecture, architecture, preset, 1, 1)
        call(program, "--threads", threads, "train", f"{architecture}.toml", "--out", architecture, cwd=folder)
        points, length = [], 256
        while length <= longest // SEGMENT_LIMIT[architecture]:
            (folder / "prompt.txt").write_bytes(novels[:length])
            said = json.loads(call(program, "--threads", threads, "generate", architecture, "--prompt-file", "prompt.txt", "--max-tokens", 0, "--json", cwd=folder))
            points.append({"tokens": said["position"], "state_bytes": said["state_bytes"]})
            length *= 4
        series[architecture] = {"preset": preset, "points": points}
    return series


def measure_golden(program, threads):
    cases = sorted(c for c in (ROOT / "tests/golden").glob("*/*/case.json") if c.parents[1].name != "encoder_decoder")  # pairs: seq2seq_test
    said = json.loads(call(program, "--threads", threads, "verify", *[c.parent for c in cases], "--dtype", "f64", "--json", cwd=ROOT))
    tensors = [item for case in said for item in case["items"]]
    return {"cases": len(cases), "tensors": len(tensors), "worst_rel_rms": max(item["rel_rms"] for item in tensors)}


def measure_conformance(build):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "report.json"
        subprocess.run([build / "bin/models_test", "--gtest_filter=*Conformance*", f"--gtest_output=json:{report}"], cwd=ROOT, capture_output=True)
        suites = [s for s in json.loads(report.read_text())["testsuites"] if "Conformance" in s["name"]]
    tests = [t["name"].split("/") for s in suites for t in s["testsuite"]]
    bound = re.search(r"kExact = ([0-9e.-]+)", (ROOT / "tests/models/conformance_test.cpp").read_text()).group(1)
    return {"variants": len({t[1] for t in tests}), "tests": len({t[0] for t in tests}), "runs": len(tests), "failures": sum(s["failures"] for s in suites), "bound": float(bound)}


def measure_resume(program, threads, folder):
    """Trains twice; one of the runs is killed between checkpoints and resumed. Compares the last checkpoints byte by byte."""
    steps, every = 80, 10
    write_run(folder, "resume", "mega", "mega-small", steps, every)
    train = [program, "--threads", str(threads), "train", "resume.toml"]
    call(program, "--threads", threads, "train", "resume.toml", "--out", "straight", cwd=folder)
    killed = subprocess.Popen([*train, "--out", "killed"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while killed.poll() is None and not (folder / f"killed/checkpoints/step-{3 * every}").exists():
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    if (folder / f"killed/checkpoints/step-{steps}").exists():
        sys.exit("the run was over before it could be killed")
    call(program, "--threads", threads, "train", "killed/config.toml", "--out", "killed", "--resume", cwd=folder)
    bytes_compared = differing = 0
    for file in sorted((folder / f"straight/checkpoints/step-{steps}").iterdir()):
        one, other = file.read_bytes(), (folder / f"killed/checkpoints/step-{steps}" / file.name).read_bytes()
        bytes_compared += len(one)
        differing += abs(len(one) - len(other)) + sum(a != b for a, b in zip(one, other)) if one != other else 0
    return {"steps": steps, "bytes_compared": bytes_compared, "bytes_differing": differing}


def human(count, unit="B"):
    for prefix in ("", "k", "M", "G"):
        if count < 1000 or prefix == "G":
            return f"{count:.3g} {prefix}{unit}".replace(" ", "\u00a0")
        count /= 1000


def draw(series):
    """Bytes of carried state per token read, over the context: two straight lines on logarithmic axes."""
    width, height, left, right, top, bottom = 720, 380, 76, 130, 46, 52
    lines = {name: [(p["tokens"], p["state_bytes"] / p["tokens"]) for p in s["points"]] for name, s in series.items()}
    xs, ys = [x for line in lines.values() for x, _ in line], [y for line in lines.values() for _, y in line]
    low_x, high_x = math.log10(min(xs)), math.log10(max(xs))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    px = lambda x: left + (math.log10(x) - low_x) / (high_x - low_x) * (width - left - right)
    py = lambda y: top + (high_y - math.log10(y)) / (high_y - low_y) * (height - top - bottom)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Bytes of carried state a token, over the context">',
           "<style>text{fill:#333}.grid{stroke:#ddd}.mega{stroke:#1668b8}.transformer{stroke:#c2571a}text.mega{fill:#1668b8;stroke:none}text.transformer{fill:#c2571a;stroke:none}"
           "circle.mega{fill:#1668b8}circle.transformer{fill:#c2571a}@media(prefers-color-scheme:dark){text{fill:#ccc}.grid{stroke:#444}}</style>",
           f'<text x="{left}" y="24" font-size="15">Carried state per token of context (fp32, one sequence)</text>']
    for power in range(low_y, high_y + 1):
        y = py(10**power)
        out += [f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>', f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{human(10**power)}</text>']
    for x in sorted(set(xs)):
        out.append(f'<text x="{px(x):.1f}" y="{height - bottom + 20}" text-anchor="middle">{x:,}</text>')
    out.append(f'<text x="{(left + width - right) / 2:.0f}" y="{height - 10}" text-anchor="middle">context (tokens)</text>')
    for name, line in lines.items():
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in line)
        out.append(f'<polyline class="{name}" points="{path}" fill="none" stroke-width="2.5"/>')
        out += [f'<circle class="{name}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="3.5"/>' for x, y in line]
        x, y = line[-1]
        out.append(f'<text class="{name}" x="{px(x) + 9:.1f}" y="{py(y) + 4:.1f}">{"MEGA" if name == "mega" else "transformer"}</text>')
    return "\n".join(out) + "\n</svg>\n"


def block(n):
    mega, transformer = n["memory"]["mega"]["points"], n["memory"]["transformer"]["points"][-1]
    golden, conformance, resume = n["golden"], n["conformance"], n["resume"]
    return f"""{BEGIN}
MEGA (`{n["memory"]["mega"]["preset"]}`) carries {human(mega[0]["state_bytes"])} after {mega[0]["tokens"]:,} tokens and {human(mega[-1]["state_bytes"])} after {mega[-1]["tokens"]:,}; the transformer
(`{n["memory"]["transformer"]["preset"]}`) carries {human(transformer["state_bytes"])} after {transformer["tokens"]:,}.

| proof | measured |
|---|---|
| **Same numbers as the authors' code**: {golden["cases"]} golden cases, {golden["tensors"]} tensors (logits, gradients, states, optimizer steps) in fp64 | worst relative error {golden["worst_rel_rms"]:.1e} |
| **[Streaming](docs/contracts/streaming.md) changes nothing**: any cut into calls, padding, packing, saved states; {conformance["variants"]} model variants x {conformance["tests"]} tests in fp64 | {conformance["runs"]} runs, {conformance["failures"]} failures; results that must agree differ by less than {conformance["bound"]:.0e} |
| **Killed and resumed is not interrupted**: SIGKILL during training, resume, compare the checkpoints after {resume["steps"]} steps | {resume["bytes_differing"]} of {resume["bytes_compared"]:,} bytes differ |

Written by `tools/make_readme_figures.py`.
{END}"""


def replace_block(n, check):
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    new = text[: text.index(BEGIN)] + block(n) + text[text.index(END) + len(END) :]
    if check:
        if new != text:
            print("README.md: the numbers are not those of docs/images/numbers.json", file=sys.stderr)
        return 1 if new != text else 0
    path.write_text(new, encoding="utf-8")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--max-context", type=int, default=65536)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    if options.check:
        return replace_block(json.loads((IMAGES / "numbers.json").read_text()), True)
    build = options.build.resolve()
    program = str(build / "bin/everlong")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        numbers = {"program": call(program, "--version", cwd=ROOT).strip(),
                   "memory": measure_memory(program, options.threads, folder, options.max_context),
                   "golden": measure_golden(program, options.threads),
                   "conformance": measure_conformance(build),
                   "resume": measure_resume(program, options.threads, folder)}
    IMAGES.mkdir(parents=True, exist_ok=True)
    (IMAGES / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    (IMAGES / "memory.svg").write_text(draw(numbers["memory"]), encoding="utf-8")
    return replace_block(numbers, False)


if __name__ == "__main__":
    sys.exit(main())
