"""Writes the tables of this folder: small tokenizers, texts, and the ids that Hugging Face's `tokenizers` and Google's `sentencepiece` give.

Run in the root of the repository, with both packages installed: python tests/data/text/generate.py
"""

import json
import pathlib

import sentencepiece
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = pathlib.Path(__file__).parent
PROSE = (
    "Emma Woodhouse, handsome, clever, and rich, with a comfortable home and happy disposition, seemed to unite some of the best blessings of "
    "existence; and had lived nearly twenty-one years in the world with very little to distress or vex her. She was the youngest of the two "
    "daughters of a most affectionate, indulgent father; and had, in consequence of her sister's marriage, been mistress of his house from a very "
    "early period. In 1815 the mother's death wasn't remembered; they'd 20 years, we'll see. caf\u00e9 na\u00efve \u4e2d\u6587 \u043f\u0440\u0438\u0432\u0435\u0442 "
)
TEXTS = [
    "", " ", "  ", "\n", "Hello", " Hello world", "Hello  world!!  ", "the\nhouse\r\n\r\nof  \t her", "It's we'll THEY'D 'tis", "In 1815, 20 years: 12345",
    "caf\u00e9 cafe\u0301 na\u00efve \ufb01ne \u212b", "\u4e2d\u6587\u6f22\u5b57", "\u043f\u0440\u0438\u0432\u0435\u0442", "\U0001f600\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\u00a0\u2003x\u3000\u2028y\u0085z", "a\x00b\x01\x7f", "\u2581a\u2581\u2581b \u2581", "<s>house</s> <unk><0x0A>", "\u0120the \u010a", "  <s>  x", "\ufeffthe\ufffd",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", " " * 70, "she sheshe sisters' house\u00b2\u2167\u0663", "handsome\U0001d400",
    "housewife house, ahouse house_ (house)", "the  sister  ", PROSE,
]


def cases(tokenizer):
    rows = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        rows.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids)})
    return rows


def gpt2():
    folder = HERE.parents[2] / "assets" / "gpt2"
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True, normalized=False)])
    return tokenizer


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, min_frequency=2, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator([PROSE], trainer)
    return json.loads(tokenizer.to_str())


def llama():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"] + bytes_, show_progress=False)
    tokenizer.train_from_iterator([PROSE.split("caf")[0]], trainer)
    j = json.loads(tokenizer.to_str())
    j["added_tokens"] = j["added_tokens"][:3]
    j["pre_tokenizer"] = None
    j["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    j["decoder"] = {
        "type": "Sequence",
        "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}],
    }
    j["post_processor"] = template(["<s>"], [], {"<s>": 1})
    return j


def template(before, after, ids):
    special = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [special(name) for name in before] + [{"Sequence": {"id": "A", "type_id": 0}}] + [special(name) for name in after],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in ids.items()},
    }


def variants():
    level = lambda **other: dict({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, **other)
    sequence = lambda *steps: {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}
    split = lambda pattern, behavior, invert=False: {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}
    llama3 = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    first = len(byte_level()["model"]["vocab"])
    added = lambda **flags: {
        "added_tokens": [
            dict({"id": first + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}, **flags)
            for i, content in enumerate(["house", "  ", "\u00e9 n", "house,"])
        ]
    }
    yield "byte_level", "plain", {}
    yield "byte_level", "prefix space", {"pre_tokenizer": level(add_prefix_space=True)}
    yield "byte_level", "digits alone", sequence({"type": "Digits", "individual_digits": True}, level())
    yield "byte_level", "digits together", sequence({"type": "Digits", "individual_digits": False}, level())
    yield "byte_level", "llama 3 pattern", sequence(split({"Regex": llama3}, "Isolated"), level(use_regex=False))
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        yield "byte_level", f"split {behavior}", sequence(split({"String": " "}, behavior), level(use_regex=False))
        yield "byte_level", f"split {behavior} inverted", sequence(split({"Regex": "(?=[a-e])| *"}, behavior, True), level(use_regex=False))
    for form in ["NFC", "NFD", "NFKC", "NFKD"]:
        yield "byte_level", form, {"normalizer": {"type": form}}
    yield "byte_level", "strip", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}}
    yield "byte_level", "replace by regex", {"normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}| *e"}, "content": "_"}}
    yield "byte_level", "ignore merges", {"model": {"ignore_merges": True, "merges": byte_level()["model"]["merges"][:40]}}
    yield "byte_level", "template", {"post_processor": {"type": "Sequence", "processors": [level(), template(["<s>"], ["</s>"], {"<s>": 0, "</s>": 1})]}}
    for flags in [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True}, {"single_word": True}, {"normalized": True}, {"special": True}]:
        yield "byte_level", "added tokens " + " ".join(flags), added(**flags)
    yield "byte_level", "added tokens under NFKC", {"normalizer": {"type": "NFKC"}, **added(normalized=True)}
    yield "llama", "plain", {}
    yield "llama", "no byte fallback", {"model": {"byte_fallback": False}}
    yield "llama", "no byte fallback, unknowns apart", {"model": {"byte_fallback": False, "fuse_unk": False}}
    yield "llama", "nothing for unknowns", {"model": {"byte_fallback": False, "unk_token": None}}
    for scheme in ["always", "first", "never"]:
        for splits in [True, False]:
            metaspace = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": splits}
            yield "llama", f"metaspace {scheme} {splits}", {"normalizer": None, "pre_tokenizer": metaspace, "decoder": metaspace}


def merge_patch(value, patch):
    for key, new in patch.items():
        if new is None:
            value.pop(key, None)
        elif isinstance(new, dict) and isinstance(value.get(key), dict) and key == "model":
            merge_patch(value[key], new)
        else:
            value[key] = new


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def sentencepiece_tables():
    (HERE / "prose.tmp").write_text("\n".join(s + "." for s in PROSE.split(".")) + "\n", encoding="utf-8")
    settings = {
        "bpe_bytes": dict(model_type="bpe", vocab_size=420, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False),
        "unigram_nfkc": dict(model_type="unigram", vocab_size=110, user_defined_symbols=["<sep>"], pad_id=3),
    }
    table = []
    for name, options in settings.items():
        sentencepiece.SentencePieceTrainer.train(input=str(HERE / "prose.tmp"), model_prefix=str(HERE / name), minloglevel=2, **options)
        (HERE / f"{name}.vocab").unlink()
        processor = sentencepiece.SentencePieceProcessor(model_file=str(HERE / f"{name}.model"))
        rows = [{"text": text, "ids": processor.encode(text), "decoded": processor.decode(processor.encode(text))} for text in TEXTS]
        table.append({"model": f"{name}.model", "cases": rows})
    (HERE / "prose.tmp").unlink()
    write("sentencepiece.json", table)


def digest(ids):
    """Hash of a list of ids that any language computes in a line: h = h * 1000003 + id + 1, modulo 2^64."""
    value = 0
    for id in ids:
        value = (value * 1000003 + id + 1) % 2**64
    return f"{value:016x}"


def released_tables():
    """The vocabularies in assets/: the texts, and the digest of a whole novel's ids."""
    assets = HERE.parents[2] / "assets"
    novel = "assets/austen/northanger_abbey.txt"
    text = (HERE.parents[2] / novel).read_text(encoding="utf-8")
    megalodon = Tokenizer.from_file(str(assets / "megalodon" / "tokenizer.json"))
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(assets / "pg19" / "pg19_bpe_32000.model"))
    table = [{"tokenizer": "assets/megalodon/tokenizer.json", "vocab_size": megalodon.get_vocab_size(), "cases": cases(megalodon), "novel": megalodon.encode(text).ids}]
    rows = [{"text": row, "ids": pieces.encode(row), "decoded": pieces.decode(pieces.encode(row))} for row in TEXTS]
    table.append({"tokenizer": "assets/pg19/pg19_bpe_32000.model", "vocab_size": len(pieces), "cases": rows, "novel": pieces.encode(text)})
    for entry in table:
        entry["novel"] = {"file": novel, "count": len(entry["novel"]), "digest": digest(entry["novel"])}
    write("released.json", table)


def main():
    write("gpt2.json", cases(gpt2()))
    released_tables()
    bases = {"byte_level": byte_level(), "llama": llama()}
    table = []
    for base, name, patch in variants():
        definition = json.loads(json.dumps(bases[base]))
        merge_patch(definition, patch)
        table.append({"name": name, "base": base, "patch": patch, "cases": cases(Tokenizer.from_str(json.dumps(definition)))})
    for base, definition in bases.items():
        write(f"{base}.json", definition)
    write("variants.json", table)
    sentencepiece_tables()


if __name__ == "__main__":
    main()
