"""Lets PyTorch read what everlong writes: each sample is read and written by io_test, then both files are compared by torch.load.

    EVERLONG_IO_TEST=build/release/bin/io_test python tests/interop/torch_file_test.py      needs torch
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

import torch

SAMPLES = pathlib.Path(__file__).resolve().parent.parent / "data" / "torch_files"


def differences(theirs, ours, place=""):
    if isinstance(theirs, argparse.Namespace):  # written as a dictionary
        theirs = vars(theirs)
    if isinstance(theirs, (torch.device, torch.dtype)):  # written as text
        theirs = str(theirs)
    if isinstance(theirs, torch.Tensor):
        same = isinstance(ours, torch.Tensor) and theirs.dtype == ours.dtype and theirs.shape == ours.shape and torch.equal(theirs.detach(), ours)
        if not same:
            yield f"{place}: {ours!r} instead of {theirs!r}"
    elif isinstance(theirs, dict):
        if not isinstance(ours, dict) or list(theirs) != list(ours):
            yield f"{place}: other keys"
            return
        for key, value in theirs.items():
            yield from differences(value, ours[key], f"{place}.{key}")
    elif isinstance(theirs, (list, tuple)):
        if not isinstance(ours, (list, tuple)) or len(theirs) != len(ours):
            yield f"{place}: {ours!r} instead of {theirs!r}"
            return
        for i, value in enumerate(theirs):
            yield from differences(value, ours[i], f"{place}[{i}]")
    elif isinstance(theirs, (bytearray, frozenset)):
        if ours != theirs:
            yield f"{place}: {ours!r} instead of {theirs!r}"
    elif type(theirs) is not type(ours) or theirs != ours:
        yield f"{place}: {ours!r} instead of {theirs!r}"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.environ["EVERLONG_IO_TEST"], "--gtest_brief=1", "--gtest_filter=WriteTorchFile.*"], check=True,
                       env={**os.environ, "EVERLONG_WRITTEN_TORCH_FILES": folder})
        written = sorted(pathlib.Path(folder).iterdir())
        found = []
        for path in written:
            ours = torch.load(path, weights_only=True)
            found += [path.name + line for line in differences(torch.load(SAMPLES / path.name, weights_only=False), ours)]
        # The comparison must notice one changed number.
        tensors = torch.load(pathlib.Path(folder) / "dtypes.pt", weights_only=True)
        changed = {**tensors, "bf16": tensors["bf16"] + 1}
        if not written or not list(differences(changed, tensors)):
            found.append("nothing was compared, or a changed number was not noticed")
    print("\n".join(found) or f"PyTorch {torch.__version__} reads {len(written)} files as they were")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
