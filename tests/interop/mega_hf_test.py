"""Lets Hugging Face's own MEGA and everlong read each other's models: every head, every container, logits within 1e-5, no missing or unexpected keys.

    EVERLONG_PROGRAM=build/release/bin/everlong .venv-interop/bin/python tests/interop/mega_hf_test.py
    python3 tests/interop/mega_hf_test.py --environment .venv-interop      makes that environment

Needs torch, safetensors and transformers 4.40.2, the last release that documents MEGA.
"""

import json
import pathlib
import sys
import tempfile

from peer import everlong, make_environment_if_asked, status_of

PACKAGES = ["torch", "transformers==4.40.2", "safetensors", "numpy"]
BOUND = 1e-5
TINY = dict(vocab_size=53, hidden_size=24, num_hidden_layers=2, intermediate_size=36, nffn_hidden_size=40, ema_projection_size=4,
            shared_representation_size=12, max_positions=32)
ENCODER = dict(TINY, bidirectional=True)
DECODER = dict(TINY, bidirectional=False, is_decoder=True, use_cache=False)
# Name, class, configuration, length, shape of the input.
MODELS = [
    ("mlm", "MegaForMaskedLM", dict(ENCODER), 11),
    ("mlm_chunk_simple", "MegaForMaskedLM", dict(ENCODER, relative_positional_bias="simple", use_chunking=True, chunk_size=8, attention_activation="laplace",
                                                 normalization_type="layernorm"), 16),
    ("mlm_batchnorm", "MegaForMaskedLM", dict(ENCODER, normalization_type="batchnorm", normalize_before_mega=False, truncation=5), 14),
    ("mlm_rmsnorm", "MegaForMaskedLM", dict(ENCODER, normalization_type="rmsnorm", attention_activation="relu2"), 9),
    ("mlm_untied", "MegaForMaskedLM", dict(ENCODER, tie_word_embeddings=False, add_lm_hidden_dense_layer=False, use_normalized_ffn=False,
                                           add_token_type_embeddings=True), 10),
    ("clm_chunk", "MegaForCausalLM", dict(DECODER, use_chunking=True, chunk_size=8), 24),
    ("clm_simple", "MegaForCausalLM", dict(DECODER, relative_positional_bias="simple", attention_activation="laplace", normalize_before_mega=False,
                                           normalize_before_ffn=False, activation="gelu"), 13),
    ("clm_cross", "MegaForCausalLM", dict(DECODER, add_cross_attention=True, activation="gelu_accurate"), 7),
    ("seqcls", "MegaForSequenceClassification", dict(ENCODER, num_labels=3), 12),
    ("tokcls", "MegaForTokenClassification", dict(ENCODER, num_labels=5, norm_affine=False), 12),
    ("choice", "MegaForMultipleChoice", dict(ENCODER), 9),
    ("qa", "MegaForQuestionAnswering", dict(ENCODER, use_chunking=True, chunk_size=4), 12),
    ("base", "MegaModel", dict(ENCODER, use_chunking=True, chunk_size=4, relative_positional_bias="simple"), 12),
]
SAVED = [dict(safe_serialization=True), dict(safe_serialization=False), dict(safe_serialization=True, max_shard_size="20KB"),
         dict(safe_serialization=False, max_shard_size="20KB")]
WRITTEN = [["--to", "hf"], ["--format", "bin"], ["--max-shard-size", "20KB"], ["--format", "bin", "--max-shard-size", "20KB"]]

make_environment_if_asked(PACKAGES, "import torch, safetensors, transformers; assert transformers.__version__ == '4.40.2'")

import safetensors.torch  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def scatter(model, seed):
    """Moves every weight away from its initial value."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in sorted(model.state_dict().items()):
            if not tensor.is_floating_point() or name.endswith("_float_tensor"):
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.5 * noise.abs())
            elif "norm" in name and (name.endswith("weight") or name.endswith("scalar")):
                tensor.copy_(1 + 0.2 * noise)
            else:
                tensor.copy_(0.3 * noise)


def make_input(name, length, config):
    generator = torch.Generator().manual_seed(7)
    shape = (2, 3, length) if name == "choice" else (2, length)
    given = {"input_ids": torch.randint(3, config.vocab_size, shape, generator=generator), "attention_mask": torch.ones(shape, dtype=torch.long)}
    given["attention_mask"][..., -1, -3:] = 0
    if config.add_token_type_embeddings:
        given["token_type_ids"] = torch.randint(0, 2, shape, generator=generator)
    if config.add_cross_attention:
        given["encoder_hidden_states"] = torch.randn(2, 5, config.hidden_size, generator=generator)
        given["encoder_attention_mask"] = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    return given


def compute(model, given):
    model.eval()
    with torch.no_grad():
        output = model(**given)
    names = ("logits", "start_logits", "end_logits", "last_hidden_state", "pooler_output")
    return {name: output[name].contiguous() for name in names if name in output.keys()}


def farthest(left, right):
    assert left.keys() == right.keys(), f"{sorted(left)} and {sorted(right)}"
    return max((left[name].float() - right[name].float()).abs().max().item() for name in left)


def everlong_computes(folder, given, expected, dump):
    """What everlong computes of the model in a folder, which becomes a case for `everlong verify`."""
    safetensors.torch.save_file({**expected, **{"in." + name: value for name, value in given.items()}}, folder / "expected.safetensors")
    (folder / "case.json").write_text("{}")
    everlong("verify", folder, "--dtype", "f32", "--dump", dump, check=False)
    computed = safetensors.torch.load_file(dump)
    return {name: computed[name] for name in expected}


def load(kind, folder):
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    complaints = {key: value for key, value in info.items() if value}
    return model, f"Hugging Face says {complaints}" if complaints else None


def check_model(place, index, name, kind, settings, length):
    kind = getattr(transformers, kind)
    config = transformers.MegaConfig(**settings)
    model = kind(config)
    scatter(model, index)
    given = make_input(name, length, config)
    expected = compute(model, given)
    theirs = place / f"{name}-hf"
    model.save_pretrained(theirs, **SAVED[index % len(SAVED)])
    read = farthest(everlong_computes(theirs, given, expected, place / "dump"), expected)
    written = 0.0
    for turn, options in enumerate(WRITTEN):
        ours = place / f"{name}-{turn}"
        report = json.loads(everlong("convert", theirs, ours, *options, "--json").stdout)
        if report["missing"] or report["unexpected"]:
            yield f"{name}: everlong says missing {report['missing']}, unexpected {report['unexpected']}"
        again, complaint = load(kind, ours)
        if complaint:
            yield f"{name} {options}: {complaint}"
        written = max(written, farthest(compute(again, given), expected))
    print(f"{name}: everlong reads Hugging Face {read:.1e}, Hugging Face reads everlong {written:.1e}")
    if not (read <= BOUND and written <= BOUND):
        yield f"{name}: {read}, {written} are more than {BOUND}"


def check_decoder(place):
    """A decoder of an encoder, and the comparison itself: it must notice one changed weight."""
    decoder = place / "decoder"
    everlong("convert", place / "mlm-hf", decoder, "--decoder")
    model, complaint = load(transformers.MegaForCausalLM, decoder)
    if complaint:
        yield f"decoder of an encoder: {complaint}"
    model.config.use_cache = False
    given = make_input("mlm", 11, model.config)
    expected = compute(model, given)
    difference = farthest(everlong_computes(decoder, given, expected, place / "dump"), expected)
    print(f"decoder of an encoder: {difference:.1e}")
    if difference > BOUND:
        yield f"decoder of an encoder: {difference}"
    with torch.no_grad():
        model.mega.layers[1].mega_layer.v_proj.weight[0] += 0.01
    if farthest(compute(model, given), expected) <= BOUND:
        yield "a changed weight was not noticed"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        place, found = pathlib.Path(folder), []
        for index, entry in enumerate(MODELS):
            found += check_model(place, index, *entry)
        found += check_decoder(place)
    return status_of(found, f"transformers {transformers.__version__} and everlong read {len(MODELS)} models of each other")


if __name__ == "__main__":
    sys.exit(main())
