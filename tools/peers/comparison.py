"""What the comparisons share: one program a measurement, in a process of its own, and the rows of their tables."""
import json, os, pathlib, statistics, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
EVERLONG = os.environ.get("EVERLONG_PROGRAM", str(HERE.parents[1] / "build/release/bin/everlong"))


def peer(command):
    """Times a runner of this folder: {"ms", "best", "memory" in bytes}, or {"error"}."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"}
    found = json.loads(done.stdout.splitlines()[-1])
    return {"ms": found.get("ms_median", found.get("ms")), "best": found.get("ms_min", found.get("ms_best")),
            "memory": found.get("peak_rss_mb", found.get("peak_rss_mib")) * 2**20}


def everlong(target, row, options, dtype, repeat):
    """Times one row of `everlong bench`, decoding a token at a time, as peer() does."""
    command = [EVERLONG, "bench", target, "--only", "train" if row == "train step" else "infer", "--dtype", dtype, "--threads", "2", "--repeat", str(repeat), "--json", *options]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = next(r for r in rows if r["what"] == row)
    scale = found["ms_per_token"] / found["median_ms"] if row == "decode" else 1
    return {"ms": found["median_ms"] * scale, "best": found["best_ms"] * scale, "memory": found["peak_memory_bytes"]}


def same_outputs(folder, logits):
    """Runs `everlong verify` on a case with these logits; ends the program if they differ by more than 1e-4 of the largest."""
    done = subprocess.run([EVERLONG, "verify", folder, "--dtype", "f32", "--json"], capture_output=True, text=True)
    if not done.stdout:
        sys.exit(f"everlong verify: {done.stderr}")
    item = next(i for i in json.loads(done.stdout)[0]["items"] if i["name"] == "logits")
    share = item["max_abs"] / logits.abs().max().item()
    print(f"same weights, fp32: largest difference of a logit {item['max_abs']:.1e}, {share:.1e} of the largest\n", flush=True)
    if share > 1e-4:
        sys.exit("the outputs differ: no speed is compared")


def cell(one):
    return one.get("error", "") or f"{one['ms']:,.1f} (spread {one['ms'] / one['best']:.2f})"


def over_rounds(times):
    """One program's times of several rounds as one: the median of the medians, the best of all."""
    good = [t for t in times if "ms" in t]
    if not good:
        return times[0]
    return {"ms": statistics.median(t["ms"] for t in good), "best": min(t["best"] for t in good), "memory": max(t["memory"] for t in good)}


def ratio_of(theirs, mine):
    return min(t["ms"] for t in theirs if "ms" in t) / min(m["ms"] for m in mine)


def print_row(name, time_theirs, time_mine, rounds=1):
    """A row of the table: every time, the ratio of the better of each side (of several rounds the median, the least and the most), and the smaller
    memory of each. In a round all programs run in turn, so that each ratio is of one moment of the machine."""
    both = [(time_theirs(), time_mine()) for _ in range(rounds)]
    theirs, mine = ([over_rounds(times) for times in zip(*side)] for side in zip(*both))
    good = [t for t in theirs if "ms" in t]
    ratios = [ratio_of(*one) for one in both] if good else []
    ratio = f"{statistics.median(ratios):.1f}" + (f" ({min(ratios):.1f} to {max(ratios):.1f})" if rounds > 1 else "") if good else "peer failed"
    memory = f"{min((t['memory'] for t in good), default=0) / 1e9:.2f} / {min(m['memory'] for m in mine) / 1e9:.2f}"
    print(f"| {name} | " + " | ".join(cell(one) for one in [*theirs, *mine]) + f" | {ratio} | {memory} |", flush=True)
