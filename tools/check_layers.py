#!/usr/bin/env python3
"""Holds the sources against the rules of the house. Prints each breach; exit status 1 if there is one.

Rooms     every #include and every CMake link between rooms against tools/layers.toml
Registry  every architecture has its line, folder, test and page
Sizes     header <= 200 lines, source <= 400, kernel <= 500, function <= 60 (tests: functions only)

    tools/check_layers.py [ROOT]      ROOT: the tree to check; default: the one this file stands in
"""
import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent).resolve()
TORCH = re.compile(r"^(ATen|c10|torch)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.M)
SOURCES = {".h", ".cpp", ".cu", ".cuh", ".def"}
LIMITS = {".h": 200, ".cpp": 400, ".cu": 500}
KERNEL_LIMIT = 500
FUNCTION_LIMIT = 60
# Longer for a reason: the arrays of the CUDA scan live in registers, and only a measurement on a GPU can say what a split would cost.
LONGEST_FUNCTION = {"everlong/kernels/cuda/ema.cu": 64}
# What braces do not count in: comments, preprocessor lines, raw strings, strings, characters.
NO_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|^[ \t]*#(?:[^\n\\]|\\.)*|R"(\w*)\(.*?\)\1"|"(?:[^"\\\n]|\\.)*"|(?<![0-9a-fA-F])\'(?:[^\'\\\n]|\\.)+\'', re.S | re.M)
CONTAINER = re.compile(r"^\s*(?:template\s*<.*>\s*)?(?:inline\s+)?(?:namespace|class|struct|union|enum|extern)\b", re.S)


def includes(path):
    return INCLUDE.findall(path.read_text(encoding="utf-8"))


def architecture_of(path):
    """Name of the architecture whose folder holds the path, or None."""
    parts = path.parts
    return parts[2] if len(parts) > 3 and parts[:2] == ("everlong", "models") and parts[2] != "heads" else None


def check_source(path, layers, breaches):
    relative = path.relative_to(ROOT)
    room = relative.parts[1]
    if room not in layers:
        breaches.append(f"{relative}: the room {room} is not in tools/layers.toml")
        return
    row = layers[room]
    own_architecture = architecture_of(relative)
    for name in includes(path):
        if TORCH.match(name) and not row["torch"]:
            breaches.append(f"{relative}: includes {name}; the room {room} is torch-free")
        if name.startswith(("tests/", "apps/", "bench/", "examples/")):
            breaches.append(f"{relative}: includes {name}; the library must not")
        if not name.startswith("everlong/"):
            continue
        target = name.split("/")[1]
        if target != room and target not in row["may_include"]:
            breaches.append(f"{relative}: includes {name}; {room} may include only {', '.join(row['may_include']) or 'nothing'}")
        other = architecture_of(pathlib.Path(name))
        if own_architecture and other and other != own_architecture:
            breaches.append(f"{relative}: includes {name}; an architecture never includes another")


def check_size(path, breaches):
    relative = path.relative_to(ROOT)
    limit = KERNEL_LIMIT if "kernels" in relative.parts else LIMITS.get(path.suffix)
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if limit and lines > limit:
        breaches.append(f"{relative}: {lines} lines; at most {limit}")


def functions(text):
    """Header text, first line and number of lines of every function body at namespace or class level."""
    text = NO_CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)
    inside, opened, begin = [], None, 0
    for found in re.finditer(r"[;{}]", text):
        if found.group() == "{":
            header = text[begin : found.start()]
            outside = all(inside)
            inside.append(outside and bool(CONTAINER.match(header)))
            if outside and not inside[-1] and "(" in header:
                opened = (len(inside), header.strip(), begin + len(header) - len(header.lstrip()))
        elif found.group() == "}" and inside:
            if opened and opened[0] == len(inside):
                first, last = text.count("\n", 0, opened[2]) + 1, text.count("\n", 0, found.start()) + 1
                yield opened[1], first, last - first + 1
                opened = None
            inside.pop()
        if not opened:
            begin = found.end()


def check_functions(path, breaches):
    relative = path.relative_to(ROOT)
    limit = LONGEST_FUNCTION.get(str(relative), FUNCTION_LIMIT)
    for header, line, lines in functions(path.read_text(encoding="utf-8")):
        if lines > limit:
            breaches.append(f"{relative}:{line}: {' '.join(header.split())[:80]}: {lines} lines; at most {limit}")


def check_links(layers, breaches):
    text = (ROOT / "everlong/CMakeLists.txt").read_text(encoding="utf-8")
    for room, links in re.findall(r"everlong_room\((\w+)[^)]*?LINK([^)]*)\)", text):
        for target in re.findall(r"everlong_(\w+)", links):
            if target in layers and target not in layers[room]["may_include"]:
                breaches.append(f"everlong/CMakeLists.txt: {room} links {target}, which its row does not list")


def check_architectures(breaches):
    """Every line of models.def has its folder, test and page, and every folder its line."""
    listed = re.findall(r"^EVERLONG_MODEL\((\w+),", (ROOT / "everlong/models/models.def").read_text(encoding="utf-8"), re.M)
    folders = {p.name for p in (ROOT / "everlong/models").iterdir() if p.is_dir() and p.name != "heads"}
    for name in sorted(set(listed) | folders):
        if name not in listed:
            breaches.append(f"everlong/models/{name}: no line in models.def")
        for needed in (f"everlong/models/{name}", f"tests/models/{name}_test.cpp", f"docs/models/{name}.md"):
            if not (ROOT / needed).exists():
                breaches.append(f"models.def: {name} needs {needed}")


def main():
    layers = tomllib.loads((ROOT / "tools/layers.toml").read_text(encoding="utf-8"))
    breaches = []
    sources = sorted(p for p in (ROOT / "everlong").rglob("*") if p.suffix in SOURCES)
    for path in sources:
        check_source(path, layers, breaches)
    beside = sorted(p for folder in ("apps", "bench", "examples", "fuzz", "tests") for p in (ROOT / folder).rglob("*") if p.suffix in SOURCES)
    everywhere = sources + beside
    for path in everywhere:
        if "tests" not in path.relative_to(ROOT).parts:
            check_size(path, breaches)
        check_functions(path, breaches)
    check_links(layers, breaches)
    check_architectures(breaches)
    for breach in breaches:
        print(breach)
    print(f"{len(everywhere)} files checked, {len(breaches)} breaches", file=sys.stderr)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
