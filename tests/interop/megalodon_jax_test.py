"""Lets megalodon-jax and everlong read each other's models: logits within 1e-5, every tensor bit-equal, and both read what the other writes for the release.

    EVERLONG_PROGRAM=build/release/bin/everlong .venv-interop/bin/python tests/interop/megalodon_jax_test.py
    python3 tests/interop/megalodon_jax_test.py --environment .venv-interop      makes that environment

Needs torch, safetensors and megalodon-jax 0.2.2, which follows the release in names, storage and numbers.
"""

import json
import os
import pathlib
import sys
import tempfile

from peer import everlong, make_environment_if_asked, status_of

PACKAGES = ["torch", "safetensors", "numpy", "megalodon-jax==0.2.2", "jax==0.10.2", "equinox==0.13.8"]
BOUND = 1e-5  # of the largest logit
TINY = dict(vocab_size=61, model_dim=24, num_layers=2, num_heads=1, z_dim=12, value_dim=40, ffn_hidden_dim=36, cema_ndim=4, chunk_size=8, norm_num_groups=4,
            bos_token_id=1, eos_token_id=2)
# Name, settings, length.
MODELS = [
    ("plain", dict(TINY), 16),
    ("swiglu_rescale", dict(TINY, swiglu=True, rescale_nffn=True, rope_base=1e5), 21),
    ("heads", dict(TINY, num_heads=2, z_dim=16, swiglu=True, pad_token_id=0), 19),
    ("tied", dict(TINY, scale_emb=True, share_emb=True, num_layers=1), 7),
    ("scaled", dict(TINY, scale_emb=True, rescale_nffn=True, norm_eps=1e-4, cema_ndim=3), 1),
    ("no_affine", dict(TINY, norm_affine=False, norm_num_groups=3, swiglu=True), 33),
    ("narrow_output", dict(TINY, output_size=17, num_heads=4, z_dim=24), 24),
    ("window", dict(TINY, attention_window=5, num_heads=2, z_dim=16), 27),
]

make_environment_if_asked(PACKAGES, "import torch, safetensors, importlib.metadata as m; assert m.version('megalodon-jax') == '0.2.2' and m.version('jax') == '0.10.2'")

os.environ["JAX_PLATFORMS"] = "cpu"
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import safetensors.torch  # noqa: E402
import torch  # noqa: E402
from megalodon_jax import MegalodonConfig, MegalodonForCausalLM  # noqa: E402
from megalodon_jax.checkpoint import apply_model_state_dict, load_checkpoint, model_state_dict, save_checkpoint  # noqa: E402
from megalodon_jax.convert import export_upstream_state_dict, load_upstream_checkpoint  # noqa: E402

KEY = jax.random.PRNGKey(0)


def scatter(model, seed):
    """Moves every weight away from its initial value."""
    generator, moved = np.random.default_rng(seed), {}
    for name, value in sorted(model_state_dict(model).items()):
        noise = generator.standard_normal(value.shape).astype(np.float32)
        spread = 0.8 if ".cema." in name else 0.2 if name.endswith((".bias", "norm.weight", ".gamma", ".beta", ".alpha")) else 0.3
        moved[name] = jnp.asarray(spread * noise, value.dtype)
    return apply_model_state_dict(model, moved)[0]


def tokens_of(settings, length):
    return np.random.default_rng(length).integers(0, settings["vocab_size"], (2, length))


def compute(model, tokens):
    return np.asarray(model(jnp.asarray(tokens, jnp.int32))[0], np.float32)


def distance(left, right):
    assert left.shape == right.shape, f"{left.shape} and {right.shape}"
    return float(np.abs(left - right).max() / np.abs(right).max())


def everlong_computes(folder, tokens, expected, dump):
    """What everlong computes of the model in a folder, which becomes a case for `everlong verify`."""
    safetensors.torch.save_file({"logits": torch.tensor(expected), "in.input_ids": torch.tensor(tokens)}, folder / "expected.safetensors")
    (folder / "case.json").write_text("{}")
    everlong("verify", folder, "--dtype", "f32", "--dump", dump, check=False)
    return safetensors.torch.load_file(dump)["logits"].numpy()


def convert(source, target, *options):
    report = json.loads(everlong("convert", source, target, *options, "--json").stdout)
    complaint = {key: report[key] for key in ("missing", "unexpected") if report[key]}
    return f"convert {source.name} {' '.join(options)}: {complaint}" if complaint else None


def unlike(left, right):
    """Names of tensors that are not the same to the bit."""
    return sorted(name for name in left.keys() | right.keys()
                  if name not in left or name not in right or not np.array_equal(np.asarray(left[name]), np.asarray(right[name])))


def check_own_format(place, name, model, tokens, expected):
    """Files of megalodon-jax, both ways."""
    theirs, ours, again = place / f"{name}.safetensors", place / name, place / f"{name}-again.safetensors"
    save_checkpoint(model, theirs)
    yield convert(theirs, ours)
    yield convert(ours, again, "--to", "megalodon-jax")
    loaded = load_checkpoint(again, key=KEY)
    changed = unlike(model_state_dict(loaded), model_state_dict(model))
    yield f"{name}: {changed} changed on the way" if changed else None
    yield f"{name}: {loaded.config} is not {model.config}" if loaded.config != model.config else None
    read, written = distance(everlong_computes(ours, tokens, expected, place / "dump"), expected), distance(compute(loaded, tokens), expected)
    print(f"{name}: everlong reads megalodon-jax {read:.1e}, megalodon-jax reads everlong {written:.1e}")
    yield None if read <= BOUND and written <= BOUND else f"{name}: {read}, {written} are more than {BOUND}"


def check_release_format(place, name, settings, model, tokens, expected):
    """The release's folders, both ways: strict keys and shapes at the other end."""
    written = place / f"{name}-release"
    complaint = convert(place / name, written, "--to", "consolidated")
    if complaint:
        yield complaint
    far = distance(compute(load_upstream_checkpoint(written, model.config, key=KEY), tokens), expected)
    exported = place / f"{name}-exported"
    exported.mkdir()
    state = export_upstream_state_dict(model)
    torch.save(state, exported / "consolidated.pth")
    changed = unlike(state, {**torch.load(written / "consolidated.pth", weights_only=True), "rope.freqs": state["rope.freqs"]})
    if changed:
        yield f"{name}: {changed} of consolidated.pth differ"
    names = [key for key in settings if not key.endswith("_token_id")]
    (exported / "config.json").write_text(json.dumps({"model": {key: settings[key] for key in names}, "tokenizer": {}}))
    near = distance(everlong_computes(exported, tokens, expected, place / "dump"), expected)
    print(f"{name}: of the release's folders everlong reads theirs {near:.1e}, megalodon-jax reads everlong's {far:.1e}")
    if not (near <= BOUND and far <= BOUND):
        yield f"{name}, release: {near}, {far} are more than {BOUND}"


def check_model(place, index, name, settings, length):
    model = scatter(MegalodonForCausalLM(MegalodonConfig(**settings), key=KEY), index)
    tokens = tokens_of(settings, length)
    expected = compute(model, tokens)
    yield from filter(None, check_own_format(place, name, model, tokens, expected))
    if "attention_window" in settings:  # the release has no such key
        refused = everlong("convert", place / name, place / "refused", "--to", "consolidated", check=False)
        if refused.returncode == 0 or "attention_window" not in refused.stderr:
            yield f"{name}: written for the release: {refused.stderr}"
    else:
        yield from check_release_format(place, name, settings, model, tokens, expected)


def check_the_comparison(place):
    """One changed weight must be noticed."""
    name, settings, length = MODELS[0]
    tensors = safetensors.torch.load_file(place / name / "model.safetensors")
    expected = safetensors.torch.load_file(place / name / "expected.safetensors")["logits"].numpy()
    tensors["layers.1.mega.wz.weight"][0] += 0.01
    safetensors.torch.save_file(tensors, place / name / "model.safetensors", {"format": "pt"})
    if distance(everlong_computes(place / name, tokens_of(settings, length), expected, place / "dump"), expected) <= BOUND:
        yield "a changed weight was not noticed"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place, found = pathlib.Path(folder), []
        for index, entry in enumerate(MODELS):
            found += check_model(place, index, *entry)
        found += check_the_comparison(place)
    return status_of(found, f"megalodon-jax and everlong read {len(MODELS)} models of each other")


if __name__ == "__main__":
    sys.exit(main())
