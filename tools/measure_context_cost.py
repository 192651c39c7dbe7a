#!/usr/bin/env python3
"""Measures what a token costs after much context: tokens a second of decoding, memory, and the state's size after two lengths of prompt.

    tools/measure_context_cost.py MODEL BOOK [--program everlong] [--contexts 1000,1000000] [--tokens 256] [--rounds 5]

The book is repeated until it is long enough. Each length is read once and its state saved; then rounds of generation from the saved states take turns,
so that a machine that is now faster, now slower, treats both alike. Medians are compared. Prints JSON. Standard library only.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import tempfile


def generate(arguments, *words):
    command = [arguments.program, "generate", arguments.model, "--json", "--temperature", "0", "--seed", "1", *words]
    child = subprocess.run(["/usr/bin/env", "python3", __file__, "--child", *command], capture_output=True, text=True, check=True)
    return json.loads(child.stdout)


def child(command):
    """Runs the program and adds the peak of its resident memory."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    answer = json.loads(done.stdout)
    answer["peak_resident_bytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps(answer))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("book", type=pathlib.Path)
    parser.add_argument("--program", default="everlong")
    parser.add_argument("--contexts", default="1000,1000000")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    book = arguments.book.read_bytes()
    count = subprocess.run([arguments.program, "tokenize", "encode", "-t", arguments.model, str(arguments.book)], capture_output=True, text=True)
    tokens_a_byte = len(count.stdout.split()) / len(book) if count.returncode == 0 else 0.3
    contexts = [int(text) for text in arguments.contexts.split(",")]
    found = {context: {"tokens_per_s": [], "peak_resident_bytes": []} for context in contexts}
    with tempfile.TemporaryDirectory() as folder:
        for context in contexts:
            needed = round(context / tokens_a_byte)
            prompt = pathlib.Path(folder, "prompt.txt")
            prompt.write_bytes((book * (needed // len(book) + 1))[:needed])
            read = generate(arguments, "--prompt-file", str(prompt), "-n", "0", "--state-out", f"{folder}/{context}.state")
            found[context].update(position=read["position"], state_bytes=read["state_bytes"], prompt_peak_resident_bytes=read["peak_resident_bytes"])
        for _ in range(arguments.rounds):
            for context in contexts:
                answer = generate(arguments, "--state-in", f"{folder}/{context}.state", "-n", str(arguments.tokens))
                found[context]["tokens_per_s"].append(round(answer["tokens_per_s"], 1))
                found[context]["peak_resident_bytes"].append(answer["peak_resident_bytes"])
    rows = [{"context": context, **row, "median_tokens_per_s": statistics.median(row["tokens_per_s"]), "median_peak_resident_bytes": statistics.median(row["peak_resident_bytes"])}
            for context, row in found.items()]
    speeds = [row["median_tokens_per_s"] for row in rows]
    memory = [row["median_peak_resident_bytes"] for row in rows]
    print(json.dumps({"contexts": rows, "speed_ratio": round(speeds[-1] / speeds[0], 4), "memory_ratio": round(memory[-1] / memory[0], 4)}, indent=1))


if __name__ == "__main__":
    import sys

    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main()
