#!/usr/bin/env python3
"""Writes the torch checkpoints in tests/io/data and the seeds of the fuzz targets that read them.

    make_checkpoint_fixtures.py

Element i of each tensor is i / 2 - 3 (integers: i, truth values: i odd), so that the tests need no
file of expected values. Needs torch and numpy; made with torch 2.11.0.
"""
import collections
import pathlib
import sys
import types
import zipfile

import numpy
import torch

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
DATA = TESTS / "io" / "data"
CORPUS = TESTS / "fuzz" / "corpus"


def ramp(*shape, dtype=torch.float32):
    count = torch.arange(int(numpy.prod(shape)))
    if dtype == torch.bool:
        values = count % 2 == 1
    elif dtype.is_floating_point:
        values = count / 2 - 3
    else:
        values = count
    return values.to(dtype).reshape(shape)


def lightning():
    """The shape of a file that Lightning 1.x saved: class as key, numpy scores, optimizer state."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    checkpoint_class = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = checkpoint_class
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    weight = ramp(2, 3)
    return {
        "epoch": 12, "global_step": 470000, "pytorch-lightning_version": "1.4.2",
        "state_dict": collections.OrderedDict([("model.weight", weight), ("model.bias", ramp(3))]),
        "callbacks": {checkpoint_class: {"monitor": "val/loss", "best_model_score": numpy.float64(0.25),
                                         "current_score": numpy.float32(0.5), "dirpath": None}},
        "optimizer_states": [{"state": {0: {"step": 3, "exp_avg": ramp(2, 3)}},
                              "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0]}]}],
        "lr_schedulers": [{"base_lrs": [1e-4], "last_epoch": 12, "shape": torch.Size([2, 3]),
                           "device": torch.device("cpu"), "dtype": torch.float32, "seen": {1, 2}}],
    }


def ordered():
    linear = torch.nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(ramp(2, 3))
        linear.bias.copy_(ramp(2))
    return linear.state_dict()


def shared():
    base = ramp(4, 5)
    return {"whole": base, "rows": base[1:3], "columns": base[:, 1:3], "step": base[::2, ::2],
            "expanded": base[0, :1].expand(3, 4)}


def checkpoints():
    types_of = {"f64": torch.float64, "f32": torch.float32, "f16": torch.float16,
                "bf16": torch.bfloat16, "i64": torch.int64, "i32": torch.int32, "i16": torch.int16,
                "i8": torch.int8, "u8": torch.uint8, "bool": torch.bool}
    return {
        "plain": {"a": ramp(2, 3), "b": {"c": ramp(4), 7: ramp(1)}, "scalar": ramp(), "none": None,
                  "empty": ramp(0, 3), "global_step": 5, "big": 2**40, "minus": -2},
        "ordered": ordered(),
        "lightning": lightning(),
        "half": {"state_dict": {"w": ramp(3, 5, dtype=torch.float16)}},
        "bfloat16": {"state_dict": {"w": ramp(3, 5, dtype=torch.bfloat16)}},
        "dtypes": {name: ramp(7, dtype=dtype) for name, dtype in types_of.items()},
        "shared": shared(),
        "transposed": {"t": ramp(4, 5).t(), "p": torch.nn.Parameter(ramp(2, 3, 4).permute(2, 0, 1))},
        "ema": {"state_dict": {"w": ramp(2, 2), "model_ema.decay": torch.tensor(0.5),
                               "model_ema.num_updates": torch.tensor(1234, dtype=torch.int32),
                               "model_ema.w": ramp(2, 2)}},
    }


def main():
    for target in ("zip", "pickle", "checkpoint", "index"):
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
    for name, contents in checkpoints().items():
        path = DATA / f"{name}.ckpt"
        torch.save(contents, path)
        with zipfile.ZipFile(path) as archive:
            pickle = archive.read(f"{name}/data.pkl")
        (CORPUS / "pickle" / name).write_bytes(pickle)
        if name in ("plain", "shared", "transposed"):
            (CORPUS / "checkpoint" / name).write_bytes(pickle)
    for name in ("ordered", "plain"):
        torch.save(checkpoints()[name], DATA / f"legacy_{name}.pth",
                   _use_new_zipfile_serialization=False)
    for name in ("half", "ordered"):
        (CORPUS / "zip" / name).write_bytes((DATA / f"{name}.ckpt").read_bytes())
    (CORPUS / "index" / "two").write_text(
        '{"metadata":{"total_size":12},"weight_map":{"a":"m-00001-of-00002.safetensors",'
        '"b":"m-00002-of-00002.safetensors"}}')
    (CORPUS / "index" / "up").write_text('{"weight_map":{"a":"../m.safetensors"}}')


if __name__ == "__main__":
    main()
