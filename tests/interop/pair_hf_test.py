"""Lets Hugging Face's EncoderDecoderModel read pairs that everlong writes: MEGA with MEGA, MEGA with BART's decoder. Logits within 1e-5, no key too many or
too few.

    EVERLONG_MODELS_TEST=build/release/bin/models_test .venv-interop/bin/python tests/interop/pair_hf_test.py

Needs torch, safetensors and transformers 4.40.2 (mega_hf_test.py makes the environment).
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
import transformers

BOUND = 1e-5
transformers.logging.set_verbosity_error()


def difference(model, expected):
    """Between the logits of transformers and ours, relative to the largest; padding of the target is not compared, it has none."""
    with torch.no_grad():
        logits = model(input_ids=expected["input_ids"], attention_mask=expected["attention_mask"], decoder_input_ids=expected["decoder_input_ids"],
                       use_cache=False).logits
    ours = expected["logits"]
    return ((logits - ours).abs().max() / ours.abs().max()).item()


def main() -> int:
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.environ["EVERLONG_MODELS_TEST"], "--gtest_brief=1", "--gtest_filter=*Seq2Seq.ThePairSurvivesTheDiskBitForBit*"], check=True,
                       env={**os.environ, "EVERLONG_WRITTEN_PAIRS": folder})
        pairs = sorted(pathlib.Path(folder).iterdir())
        if [path.name for path in pairs] != ["bart_decoder", "mega"]:
            failed.append(f"pairs: {[path.name for path in pairs]}")
        for path in pairs:
            expected = safetensors.torch.load_file(path / "expected.safetensors")
            model, report = transformers.EncoderDecoderModel.from_pretrained(path, output_loading_info=True)
            model.eval()
            found = difference(model, expected)
            keys = {kind: report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") if report[kind]}
            if found > BOUND or keys:
                failed.append(f"{path.name}: difference {found:.1e}, {keys}")
            print(f"{path.name}: largest difference {found:.1e} of the largest logit")
            with torch.no_grad():  # the comparison must notice one changed weight
                next(p for n, p in model.named_parameters() if "value_proj" in n or "v_proj" in n).add_(0.1)
            if difference(model, expected) <= BOUND:
                failed.append(f"{path.name}: a changed weight was not noticed")
    print("\n".join(failed) or f"transformers {transformers.__version__} reads {len(pairs)} pairs")
    return 1 if failed or not pairs else 0


if __name__ == "__main__":
    sys.exit(main())
