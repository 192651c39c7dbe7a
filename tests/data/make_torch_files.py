"""Writes tests/data/torch_files/: small files of torch.save, as real PyTorch makes them, and hostile ones built from them. Needs torch and numpy.

    python tests/data/make_torch_files.py

expected.json says what the sound files hold: values as JSON, tensors as {"dtype", "shape", "values"}. mlm_pickle_bin.safetensors is
the twin of the golden case of that name, whose pytorch_model.bin transformers 4.40.2 wrote.
"""

import argparse
import collections
import io
import json
import pathlib
import zipfile

import torch

HERE = pathlib.Path(__file__).resolve().parent / "torch_files"
GOLDEN = HERE.parent.parent / "golden/mega"
DTYPES = {
    "f64": torch.float64, "f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64, "i32": torch.int32,
    "i16": torch.int16, "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool, "u16": torch.uint16, "u32": torch.uint32, "u64": torch.uint64,
}


def described(value):
    if isinstance(value, torch.Tensor):
        wide = value.detach().double() if value.is_floating_point() else value.to(torch.int64)
        return {"dtype": str(value.dtype)[6:], "shape": list(value.shape), "values": wide.flatten().tolist()}
    if isinstance(value, argparse.Namespace):
        return described(vars(value))
    if isinstance(value, dict):
        return {str(key): described(one) for key, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return [described(one) for one in sorted(value)]
    if isinstance(value, (list, tuple)):
        return [described(one) for one in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def sound():
    numbers = torch.arange(24, dtype=torch.float32)
    shared = numbers.view(4, 6)
    dtypes = {name: torch.tensor([[0, 1, 2], [3, 5, 100]]).to(dtype) for name, dtype in DTYPES.items()}
    views = {"whole": shared, "turned": shared.t(), "part": shared[1:3, ::2], "tied": shared, "scalar": numbers[7], "empty": torch.zeros(0, 4),
             "parameter": torch.nn.Parameter(torch.ones(2, 3))}
    values = {"none": None, "yes": True, "no": False, "integers": [0, 255, 256, 65535, 65536, -1, 2**31, -2**40, 2**63 - 1, -2**63],
              "reals": (0.5, -1e300, 3.0), "text": "grüße", "bytes": b"\x00\x7f\x80\xff", "no bytes": b"", "set": {1, 2, 3}, "pair": (1, (2, [3])),
              "size": torch.Size([2, 3]), "device": torch.device("cuda", 1), "dtype": torch.bfloat16, 7: "a number as a key",
              "ordered": collections.OrderedDict(b=1, a=2)}
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    fairseq = {"args": argparse.Namespace(arch="mega_lra", lr=[0.01], encoder_layers=2, nested=argparse.Namespace(inner=None)),
               "model": module.state_dict(), "optimizer_history": [{"num_updates": 3, "criterion_name": "CrossEntropy"}],
               "extra_state": {"best": 1.5, "train_iterator": {"epoch": 1}}, "last_optimizer_state": None}
    yield "dtypes.pt", dtypes, {}
    yield "views.pt", views, {}
    yield "values.pt", values, {}
    yield "fairseq.pt", fairseq, {}
    yield "lightning.ckpt", {"epoch": 1, "state_dict": module.state_dict()}, {}
    yield "protocol_4.pt", {**views, "values": {k: values[k] for k in ("text", "bytes", "set", "pair", "ordered")}}, {"pickle_protocol": 4}
    yield "protocol_5.pt", {**dtypes, "frozen": frozenset({4}), "changing": bytearray(b"ab")}, {"pickle_protocol": 5}
    yield "legacy.pt", {**views, "model": module.state_dict()}, {"_use_new_zipfile_serialization": False}
    yield "legacy_dtypes.pt", {k: v for k, v in dtypes.items() if k not in ("u16", "u32", "u64")}, {"_use_new_zipfile_serialization": False}


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def repacked(source, path, method=zipfile.ZIP_STORED, **changes):
    """A copy of an archive with entries changed: bytes replace an entry, None leaves it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", method) as new:
        root = old.namelist()[0].split("/")[0]
        for name in old.namelist():
            data = changes.get(name.split("/", 1)[1].replace("/", "_").replace(".", "_"), old.read(name))
            if data is not None:
                new.writestr(zipfile.ZipInfo(name), data, method)
        for name in changes.get("more", ()):
            new.writestr(zipfile.ZipInfo(f"{root}/{name}"), b"", method)


def hostile():
    import builtins
    import os
    for name, value in {"os_system": Evil(os.system, "echo owned"), "eval": Evil(builtins.eval, "1+1"), "getattr": Evil(getattr, "a", "b")}.items():
        yield f"{name}.pt", {"model": value}, {}
    yield "os_system_legacy.pt", {"model": Evil(os.system, "echo owned")}, {"_use_new_zipfile_serialization": False}
    yield "whole_module.pt", torch.nn.Linear(2, 2), {}
    yield "complex.pt", {"z": torch.zeros(2, dtype=torch.complex64)}, {}
    yield "expanded.pt", {"x": torch.zeros(1).expand(1000)}, {}


def write_twin(source, twin):
    """The tensors of a file, as PyTorch reads them, in a safetensors file."""
    tensors = torch.load(source, weights_only=True)
    header, data = {}, b""
    for name, tensor in tensors.items():
        assert tensor.dtype == torch.float32
        raw = tensor.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    twin.write_bytes(len(text).to_bytes(8, "little") + text + data)


def main():
    HERE.mkdir(exist_ok=True)
    torch.manual_seed(1)
    expected = {}
    for name, value, options in sound():
        torch.save(value, HERE / name, **options)
        expected[name] = described(value)
    torch.serialization.set_crc32_options(False)
    torch.save({"x": torch.arange(5)}, HERE / "no_checksums.pt")
    torch.serialization.set_crc32_options(True)
    expected["no_checksums.pt"] = described({"x": torch.arange(5)})
    for name, value, options in hostile():
        torch.save(value, HERE / name, **options)
    plain = io.BytesIO()
    torch.save({"x": torch.arange(5)}, plain)
    repacked(plain, HERE / "compressed.pt", zipfile.ZIP_DEFLATED)
    repacked(plain, HERE / "big_endian.pt", byteorder=b"big")
    repacked(plain, HERE / "no_storage.pt", data_0=None)
    repacked(plain, HERE / "short_storage.pt", data_0=bytes(39))
    repacked(plain, HERE / "torchscript.pt", more=["constants.pkl"])
    write_twin(GOLDEN / "mlm_pickle_bin/pytorch_model.bin", HERE / "mlm_pickle_bin.safetensors")
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
