#!/usr/bin/env python3
"""Compares our checkpoint reader with torch.load(weights_only=True) on generated zips.

    differential_checkpoint.py BUILD/tests/fuzz/checkpoint_verdict [COUNT] [SEED]

Whatever we accept torch must accept too, with the same names, types, shapes and bytes; where we
refuse, torch may do as it likes. Stated differences: a call of an opaque name (see pickle_globals.cpp)
with arguments that its real function refuses, and _rebuild_tensor, which weights_only has not. torch
runs in a second process, since some of these files crash it. Exits 1 at the first difference and
keeps that file. Needs torch and numpy.
"""
import collections
import math
import pathlib
import pickletools
import random
import struct
import subprocess
import sys
import tempfile
import types
import zipfile
import zlib

OPAQUE = {"pytorch_lightning.callbacks.model_checkpoint ModelCheckpoint",
          "pytorch_lightning.callbacks model_checkpoint", "numpy.core.multiarray scalar",
          "numpy._core.multiarray scalar", "numpy dtype", "_codecs encode", "__builtin__ set",
          "builtins set", "torch Size", "torch device", "torch._utils _rebuild_tensor"}
MOST = 1 << 20  # contents of larger tensors are not compared
STORAGES = ["Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool"]


# The process that asks torch.

def flatten(value, prefix, out):
    import torch
    for key, item in value.items():
        if type(key) is not str and type(key) is not int:
            continue
        name = f"{prefix}{key}"
        if isinstance(item, torch.Tensor):
            out[name] = item
        elif isinstance(item, dict):
            flatten(item, name + ".", out)


def describe(name, tensor):
    import torch
    kinds = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
             torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
             torch.uint8: "U8", torch.bool: "BOOL"}
    tensor = tensor.detach()
    contents = ""
    if tensor.numel() * tensor.element_size() <= MOST:
        copy = torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor).reshape(-1)
        contents = copy.view(torch.uint8).numpy().tobytes().hex()
    shape = ", ".join(str(size) for size in tensor.shape)
    return f"{name.encode().hex()}:{kinds.get(tensor.dtype, tensor.dtype)} [{shape}]:{contents}"


def stand_in_for_lightning():
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules[module.__name__] = module
    return module.ModelCheckpoint


def answer():
    import numpy
    import torch
    torch.set_num_threads(1)
    torch.serialization.add_safe_globals([
        stand_in_for_lightning(), numpy.dtype, numpy.dtypes.Float64DType, numpy.dtypes.Float32DType,
        (numpy._core.multiarray.scalar, "numpy.core.multiarray.scalar"), numpy._core.multiarray.scalar])
    for line in sys.stdin:
        try:
            root = torch.load(line.rstrip("\n"), map_location="cpu", weights_only=True)
            if not isinstance(root, dict):
                raise ValueError("no dict")
            found = {}
            flatten(root.get("state_dict", root), "", found)
            print("\t".join(["ok"] + [describe(name, found[name]) for name in sorted(found)]))
        except Exception as error:
            print(type(error).__name__, str(error)[:200].replace("\n", " "))
        sys.stdout.flush()


# The process that makes the files.

class Peer:
    def __init__(self, command):
        self.command, self.crashes = command, 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)

    def ask(self, path):
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            return line.rstrip("\n")
        self.crashes += 1
        self.process.wait()
        self.start()
        return f"crash {self.process.returncode}"


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(rng, value):
    if rng.random() < 0.01:
        value = rng.choice([0, 1, -1, 2, 5, 255, 256, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -2**63])
    if rng.random() < 0.5 and 0 <= value < 256:
        return b"K" + bytes([value])
    if -2**31 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def numbers(rng, values):
    return b"(" + b"".join(number(rng, value) for value in values) + b"t"


def name(module, which):
    return f"c{module}\n{which}\n".encode()


def tensor(rng, storages):
    key = rng.randrange(len(storages))
    kind, numel = storages[key]
    if rng.random() < 0.01:
        kind = rng.choice(STORAGES)
    storage = (b"(" + text("storage") + name("torch", kind + "Storage") + text(str(key)) +
               text(rng.choice(["cpu", "cuda:0"])) + number(rng, numel) + b"tQ")
    sizes = [rng.choice([1, 2, 3, 4]) for _ in range(rng.randrange(4))]
    while sizes and math.prod(sizes) > numel and rng.random() < 0.95:
        sizes[rng.randrange(len(sizes))] = rng.randrange(3)
    strides, step = [], 1
    for size in reversed(sizes):
        strides.insert(0, step)
        step *= size
    if rng.random() < 0.3:
        rng.shuffle(strides)
    if rng.random() < 0.1:
        strides = [rng.choice([0, 1, 2, 5]) for _ in sizes]
    offset = 0 if rng.random() < 0.8 else rng.choice([1, 2, numel])
    hooks = name("collections", "OrderedDict") + b")R"
    made = (name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + number(rng, offset) +
            numbers(rng, sizes) + numbers(rng, strides) + (b"\x88" if rng.random() < 0.1 else b"\x89") +
            hooks + b"tR")
    if rng.random() < 0.1:
        made = name("torch._utils", "_rebuild_parameter") + b"(" + made + b"\x89" + hooks + b"tR"
    return made


def value(rng, storages, depth):
    kind = rng.random()
    if kind < 0.65:
        return tensor(rng, storages)
    if kind < 0.75 and depth < 3:
        return mapping(rng, storages, depth + 1)
    if rng.random() < 0.03:
        return name("os", "system") + text("true") + b"\x85R"
    return rng.choice([
        b"N", b"\x88", number(rng, 7), text("x"), b"](K\x01Ne", b"K\x01K\x02\x86",
        b"G" + struct.pack(">d", 0.5), name("torch", "float16"),
        name("collections", "OrderedDict") + b")R", name("builtins", "set") + b"](K\x01e\x85R",
        name("torch", "device") + text(rng.choice(["cpu", "cpus"])) + b"\x85R", b"U\x01a", b"}", b")"])


def mapping(rng, storages, depth):
    start = rng.choice([b"}", name("collections", "OrderedDict") + b")R"])
    body = b""
    for _ in range(rng.randrange(4)):
        key = rng.choice([text(rng.choice("abcdefghijklm") + rng.choice(["", ".w", ".é"])),
                          number(rng, rng.randrange(50))])
        body += key + value(rng, storages, depth)
    made = start + b"(" + body + b"u"
    if start != b"}" and rng.random() < 0.5:
        made += b"}" + text("_metadata") + b"}sb"
    return made


def generate_pickle(rng, storages):
    root = mapping(rng, storages, 0)
    if rng.random() < 0.4:
        root = b"}(" + text("state_dict") + root + text("global_step") + number(rng, 3) + b"u"
    data = b"\x80\x02" + root + b"."
    for _ in range(rng.choice([0, 0, 0, 0, 1, 1, 2, 4])):
        data = mutate(rng, data)
    return data


def mutate(rng, data):
    at = rng.randrange(len(data))
    kind = rng.randrange(5)
    if kind == 0:
        return data[:at] + data[at + 1:]
    if kind == 1:
        return data[:at] + rng.choice([b"N", b"0", b"2", b"(", b"t", b"R", b"b", b"q\x00", b"h\x00",
                                       b"K\x02", b"\x85", b"}", b"]", b"s", b"a", b"Q", b"."]) + data[at:]
    if kind == 2:
        return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1:]
    if kind == 3:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1:]
    end = min(len(data), at + rng.randrange(1, 60))
    to = rng.randrange(len(data))
    return data[:to] + data[at:end] + data[to:]


def pack(rng, pickle, storages):
    """A zip as torch writes it, at times with a lie in it."""
    sizes = {"Float": 4, "Half": 2, "BFloat16": 2, "Double": 8, "Long": 8, "Int": 4, "Short": 2}
    records = [("data.pkl", pickle), ("byteorder", b"little")]
    for key, (kind, numel) in enumerate(storages):
        length = numel * sizes.get(kind, 1) + (rng.choice([-1, 1, 4]) if rng.random() < 0.03 else 0)
        bits = 2 if kind == "Bool" else 256
        records.append((f"data/{key}", bytes(rng.randrange(bits) for _ in range(max(0, length)))))
    records.append(("version", b"3\n"))
    if rng.random() < 0.05:
        records.insert(rng.randrange(len(records)), rng.choice(records))
    if rng.random() < 0.05:
        records.pop(rng.randrange(len(records)))
    body, central = b"", b""
    for record, data in records:
        path = f"archive/{record}".encode()
        crc = zlib.crc32(data)
        later = rng.random() < 0.9
        flags = 0x0808 if later else 0x0800
        known = struct.pack("<III", crc, len(data), len(data))
        start = struct.pack("<HHHHH", 0, flags, 0, 0, 0)
        central += (b"PK\1\2\0\0" + start + known + struct.pack("<HHHHHI", len(path), 0, 0, 0, 0, 0) +
                    struct.pack("<I", len(body)) + path)
        padding = b"FB" + struct.pack("<H", 5) + b"ZZZZZ"
        body += (b"PK\3\4" + start + (bytes(12) if later else known) +
                 struct.pack("<HH", len(path), len(padding)) + path + padding + data)
        if later:
            body += b"PK\7\x08" + known
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(records), len(records), len(central),
                                  len(body), 0)
    return body + central + end


def generate(rng):
    storages = [(rng.choice(STORAGES), rng.choice([0, 1, 4, 12, 24, 24])) for _ in range(1 + rng.randrange(3))]
    data = pack(rng, generate_pickle(rng, storages), storages)
    if rng.random() < 0.15:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1:]
    return data


def uses_opaque(path):
    with zipfile.ZipFile(path) as archive:
        pickle = archive.read("archive/data.pkl")
    return any(op.name == "GLOBAL" and argument in OPAQUE for op, argument, _ in
               pickletools.genops(pickle))


def main():
    if sys.argv[1] == "--torch":
        return answer()
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    ours, theirs = Peer([sys.argv[1]]), Peer([sys.executable, __file__, "--torch"])
    folder = pathlib.Path(tempfile.mkdtemp(prefix="checkpoint-diff-"))
    path = folder / "case.ckpt"
    tally, rules = collections.Counter(), collections.Counter()
    for index in range(count):
        path.write_bytes(generate(rng))
        mine, reference = ours.ask(path), theirs.ask(path)
        if mine.startswith("ok"):
            same = mine == reference
            kind = "both accept, equal" if same else "opaque" if (
                not reference.startswith("ok") and uses_opaque(path)) else "differ"
        else:
            kind = ("stricter" if reference.startswith("ok") else
                    "torch crashes" if reference.startswith("crash") else "both refuse")
            rules[mine] += 1
        tally[kind] += 1
        if kind == "differ" or mine.startswith("crash"):
            print(f"case {index} differs: ours {mine!r}, theirs {reference!r}; see {path}")
            return 1
    path.unlink(missing_ok=True)
    folder.rmdir()
    print(f"{count} files, 0 differences: {dict(tally)}; rules: {dict(rules.most_common())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
