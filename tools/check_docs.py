#!/usr/bin/env python3
"""Checks the documentation: links, the excerpt and numbers of README.md, rooms, headers, words. Prints each breach; exit status 1 if there is one.

    tools/check_docs.py [--self-test]

--self-test plants a fault of each kind in a copy of the documents and demands that each is seen.
"""
import pathlib
import re
import subprocess
import sys
import textwrap
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
HEADER_PATH = re.compile(r"\b(?:everlong|tests|tools|examples|configs|docs|fuzz|bench|assets|apps)/[\w./-]*\.(?:h|cpp|def|py|toml|sh|md|cu)\b")
# Paths of one machine, and words that belong to a workplace or an advertisement.
FORBIDDEN = re.compile(r"(?<![\w.])/(?:work|root|home|mnt|Users)/[\w.]|\b(?:blazing|revolutionary|cutting-edge|seamless(?:ly)?|state-of-the-art|world-class)\b", re.I)
EXAMPLE = "examples/01_stream_a_million_tokens/main.cpp"


def documents():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md", "*.cff", "NOTICE"], cwd=ROOT, capture_output=True, text=True, check=True)
    paths = [p for p in listed.stdout.split("\n") if p and not p.startswith(("third_party/", "tests/golden/")) and (ROOT / p).exists()]
    return {p: (ROOT / p).read_text(encoding="utf-8") for p in sorted(paths)}


def anchors(text):
    """The anchors that GitHub gives to headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", CODE.sub("", text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


def check_links(texts, breaches):
    for path, text in texts.items():
        for target in LINK.findall(CODE.sub("", text)):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            place = (ROOT / path).parent / file if file else ROOT / path
            if not place.exists():
                breaches.append(f"{path}: the link {target} leads nowhere")
            elif anchor and place.suffix == ".md":
                name = str(place.resolve().relative_to(ROOT))
                if anchor not in anchors(texts.get(name, "")):
                    breaches.append(f"{path}: {name} has no heading #{anchor}")


def check_excerpt(texts, breaches):
    source = (ROOT / EXAMPLE).read_text(encoding="utf-8")
    excerpt = textwrap.dedent(source.split("// [readme]\n")[1].split("// [/readme]")[0].rstrip()).strip("\n")
    blocks = re.findall(r"^```cpp\n(.*?)\n```$", texts["README.md"], re.M | re.S)
    if excerpt not in blocks:
        breaches.append(f"README.md: the C++ block is not the part of {EXAMPLE} between its marks")
    if excerpt.count("\n") > 16:
        breaches.append(f"{EXAMPLE}: the part between the marks has {excerpt.count(chr(10)) + 1} lines; about fifteen are meant")


def check_rooms(texts, breaches):
    page = texts["docs/architecture.md"]
    for room in tomllib.loads((ROOT / "tools/layers.toml").read_text(encoding="utf-8")):
        if f"### `everlong/{room}/`" not in page:
            breaches.append(f"docs/architecture.md: no section for the room {room}")
    every = "\n".join(texts.values())
    for op in sorted(p for p in (ROOT / "everlong/ops").iterdir() if p.is_dir()):
        if not (ROOT / f"docs/ops/{op.name}.md").exists():
            breaches.append(f"docs/ops/{op.name}.md: missing")
        if f"everlong/ops/{op.name}/{op.name}.h" not in every:
            breaches.append(f"docs/ops/{op.name}.md: does not name its header")


def check_paths(texts, breaches):
    """Files that are named in running text or code exist. Names with <...> or * are patterns; the changelog may name what is gone."""
    for path, text in texts.items():
        for named in set(HEADER_PATH.findall(text)) if path != "CHANGELOG.md" else ():
            if not (ROOT / named).exists() and not re.search(r"[<*{]" + r"[^\s`]*" + re.escape(named), text):
                breaches.append(f"{path}: names {named}, which is not there")


def check_words(texts, breaches):
    for path, text in texts.items():
        for number, line in enumerate(text.split("\n"), 1):
            found = FORBIDDEN.search(line)
            if found:
                breaches.append(f"{path}:{number}: {found.group(0)!r} does not belong into a document")
            if re.search(r"@[A-Z]+@", line):
                breaches.append(f"{path}:{number}: a place that was to be filled in")


def breaches_of(texts):
    breaches = []
    for check in (check_links, check_excerpt, check_rooms, check_paths, check_words):
        check(texts, breaches)
    return breaches


def self_test(texts):
    readme, page = texts["README.md"], texts["docs/architecture.md"]
    faults = {
        "a broken link": {"README.md": readme + "\n[x](docs/nowhere.md)\n"},
        "a broken anchor": {"README.md": readme + "\n[x](docs/architecture.md#nowhere)\n"},
        "another excerpt": {"README.md": readme.replace("session.read_tokens(", "session.read(", 1)},
        "a room without its section": {"docs/architecture.md": page.replace("### `everlong/verify/`", "### verify")},
        "a file that is not there": {"README.md": readme + "\nSee everlong/nn/nowhere.h.\n"},
        "a machine path": {"README.md": readme + "\n/ho" + "me/somebody/x\n"},
        "a place to be filled in": {"README.md": readme + "\n@TAB" + "LE@\n"},
    }
    unseen = [name for name, changed in faults.items() if len(breaches_of({**texts, **changed})) <= len(breaches_of(texts))]
    for name in unseen:
        print(f"self-test: {name} was not seen")
    print(f"{len(faults)} planted faults, {len(unseen)} not seen", file=sys.stderr)
    return 1 if unseen else 0


def main():
    texts = documents()
    if "--self-test" in sys.argv:
        return self_test(texts)
    breaches = breaches_of(texts)
    for breach in breaches:
        print(breach)
    print(f"{len(texts)} documents checked, {len(breaches)} breaches", file=sys.stderr)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
