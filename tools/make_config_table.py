#!/usr/bin/env python3
"""Writes docs/configuration.md from the program: every key with its default, type and sentence, as `everlong train` writes them into config.toml.

    tools/make_config_table.py [--check] [path of the program]

--check writes nothing; exit status 1 if the page is not what the program says.
"""
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/configuration.md"
ARCHITECTURES = {"mega": "is_decoder = true\nbidirectional = false", "transformer": ""}
SMALL = {"mega": "vocab_size=256 hidden_size=4 num_hidden_layers=1", "transformer": "hidden_size=4 num_hidden_layers=1 num_attention_heads=1 intermediate_size=4"}
HEAD = """# Configuration

What `everlong train` reads: a TOML file with the sections `[model]`, `[data]`, `[optim]`, `[train]`; `--set section.key=value` overrides a key. `"none"`
is null. `model.architecture` and `model.preset` take effect before all other model keys. Written by `tools/make_config_table.py` from the program.
"""


def run_config(program, architecture):
    """The resolved config.toml of a one-step run of an architecture."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "text.txt").write_text("abcdefgh" * 40)
        (folder / "run.toml").write_text(
            f'[model]\narchitecture = "{architecture}"\n{ARCHITECTURES[architecture]}\n[data]\ntrain = ["text.txt"]\ntokenizer = "bytes"\nbatch_size = 1\nseq_len = 8\n[train]\nsteps = 1\ndtype = "f32"\n')
        small = [word for pair in SMALL[architecture].split() for word in ("--set", "model." + pair)]
        subprocess.run([program, "--threads", "1", "train", "run.toml", "--out", "run", *small], cwd=folder, check=True, capture_output=True)
        return (folder / "run/config.toml").read_text(encoding="utf-8")


def defaults(header):
    """Default of each key from the initialisers of the struct that holds it: the run above had to change some of them."""
    text = {}
    for line in (ROOT / header).read_text(encoding="utf-8").splitlines():
        code = line.split("//")[0].strip()
        words = code.rstrip(";").split("=")
        if not (line.startswith("  ") and code.endswith(";")) or "(" in words[0] or len(words[0].split()) < 2:
            continue
        value = words[1].strip() if len(words) == 2 else "null" if "optional" in words[0] else "[]" if "vector" in words[0] else '""'
        text.setdefault(words[0].split()[-1], value.split("::")[-1])
    return text


def rows(config, architecture):
    run, model = defaults("everlong/train/config.h"), defaults(f"everlong/models/{architecture}/config.h")
    classifier = defaults("everlong/models/task.h")
    run |= {f"classifier_{key}": classifier[key] for key in ("pooling", "activation", "hidden_size", "pairs")}
    model = {"architecture": run["architecture"], "preset": run["preset"], "init": run["init"], **model, "vocab_size": "the tokenizer's"}
    sections, section, comment = {}, None, ""
    for line in config.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            sections[section] = []
        elif line.startswith("# "):
            comment = line[2:]
        elif " = " in line:
            key = line.split(" = ")[0]
            depth, cut = 0, 0
            for place in range(len(comment) - 1, -1, -1):
                depth += (comment[place] == ")") - (comment[place] == "(")
                if depth == 0:
                    cut = place
                    break
            doc, kind = comment[:cut].strip(), comment[cut + 1 : -1]
            sections[section].append((key, (model if section == "model" else run)[key], kind, doc))
    return sections


def table(entries):
    lines = ["| key | default | type | what |", "|---|---|---|---|"]
    lines += [f"| `{key}` | `{default}` | {kind} | {doc} |" for key, default, kind, doc in entries]
    return "\n".join(lines) + "\n"


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    program = str(pathlib.Path(arguments[0] if arguments else ROOT / "build/release/bin/everlong").resolve())
    page, common = HEAD, None
    for architecture in ARCHITECTURES:
        sections = rows(run_config(program, architecture), architecture)
        if common is None:
            common = sections
            for name in ("data", "optim", "train"):
                page += f"\n## [{name}]\n\n" + table(sections[name])
            page += "\n## [model]\n\n" + table(sections["model"][:2])
        page += f"\n### [model] with architecture = \"{architecture}\"\n\n" + table(sections["model"][2:])
    if "--check" in sys.argv:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == page
        print("docs/configuration.md is " + ("what the program says" if same else "stale: run tools/make_config_table.py"), file=sys.stderr)
        return 0 if same else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
