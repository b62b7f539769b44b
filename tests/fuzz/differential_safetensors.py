#!/usr/bin/env python3
"""Compares our safetensors reader with the public package on generated files.

    differential_safetensors.py BUILD/tests/fuzz/safetensors_verdict [COUNT] [SEED]

Both must accept or refuse alike and see the same names, shapes and ranges. Where we are stricter on
purpose (duplicates, array entries, depth, rank, dimensions beyond 2^63) our rule is checked
instead. Exits 1 at the first difference and keeps that file. Needs the package `safetensors`.
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

from safetensors import SafetensorError, deserialize

SIZES = {"BOOL": 8, "U8": 8, "I8": 8, "F16": 16, "BF16": 16, "I16": 16, "U16": 16, "F32": 32,
         "I32": 32, "U32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F4": 4, "F6_E2M3": 6,
         "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
         "F8_E5M2FNUZ": 8}
STRICTER = {"E_ST_DUP", "E_ST_DEPTH", "E_ST_ENTRY", "E_ST_SHAPE"}
SCALARS = ["0", "1", "-1", "1.5", "1e3", "null", "true", '"F32"', "[]", "{}", "[0]", "[0,4]", "[1,2]",
           "18446744073709551615", "18446744073709551616", "9223372036854775808", '"\\ud800"']


def good_entries(rng):
    offset = 0
    for index in range(rng.randrange(4)):
        dtype = rng.choice(list(SIZES))
        shape = [rng.choice([0, 1, 2, 3, 8]) for _ in range(rng.randrange(4))]
        bits = SIZES[dtype]
        for dimension in shape:
            bits *= dimension
        end = offset + bits // 8
        name = rng.choice(["t", "é", "", "a.b", "\x01", '"']) + str(index)
        yield name, {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end


def generate(rng):
    entries = list(good_entries(rng))
    total = max((entry["data_offsets"][1] for _, entry in entries), default=0)
    rng.shuffle(entries)
    header = dict(entries)
    if rng.random() < 0.3:
        header["__metadata__"] = rng.choice([{}, {"format": "pt"}, None, {"a": 1}, "x"])
    text = json.dumps(header, ensure_ascii=rng.random() < 0.5)
    for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3])):
        text = mutate(rng, text) if text else text
    raw = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        at = rng.randrange(len(raw) + 1)
        raw = raw[:at] + bytes([rng.randrange(256)]) + raw[at:]
    length = len(raw) + (rng.choice([-1, 1, 8, 2**33, 2**63]) if rng.random() < 0.05 else 0)
    data = bytes(max(0, total + (rng.choice([-1, 1, 4]) if rng.random() < 0.1 else 0)))
    return (length % 2**64).to_bytes(8, "little") + raw + data


def mutate(rng, text):
    kind = rng.randrange(5)
    at = rng.randrange(len(text))
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + rng.choice(',:{}[]" 0129-.eatn\\\t\0') + text[at:]
    if kind == 2:
        digits = [i for i, c in enumerate(text) if c.isascii() and c.isdigit()]
        if digits:
            at = rng.choice(digits)
            return text[:at] + rng.choice(["0", "7", "-1", "4611686018427387904"]) + text[at + 1:]
    if kind == 3 and "," in text:
        parts = text.split(",")
        parts.insert(rng.randrange(len(parts)), rng.choice(parts))
        return ",".join(parts)
    if kind == 4:
        colons = [i for i, c in enumerate(text) if c == ":"]
        if colons:
            at = rng.choice(colons)
            end = min((i for i in range(at, len(text)) if text[i] in ",}"), default=len(text))
            return text[:at + 1] + rng.choice(SCALARS) + text[end:]
    return text


def theirs(data):
    try:
        tensors = deserialize(data)
    except (SafetensorError, OverflowError, TypeError):
        return None
    return sorted((name, info["dtype"], tuple(info["shape"]), bytes(info["data"]))
                  for name, info in tensors)


def ours(line, data):
    if not line.startswith("ok"):
        return None
    start = 8 + int.from_bytes(data[:8], "little")
    result = []
    for field in line.split("\t")[1:]:
        codes, description, begin, end = field.split(":")
        name = bytes(int(code) % 256 for code in codes.split(".")[:-1]).decode()
        dtype, shape = description.split(" ", 1)
        result.append((name, dtype, tuple(json.loads(shape)),
                       data[start + int(begin):start + int(end)]))
    return sorted(result)


def main():
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    reader = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="safetensors-diff-"))
    tally = {"both accept": 0, "both refuse": 0, "stricter": 0}
    for index in range(count):
        data = generate(rng)
        path = folder / "case.safetensors"
        path.write_bytes(data)
        reader.stdin.write(f"{path}\n")
        reader.stdin.flush()
        line = reader.stdout.readline().rstrip("\n")
        mine, reference = ours(line, data), theirs(data)
        if mine == reference:
            tally["both accept" if mine is not None else "both refuse"] += 1
        elif mine is None and line in STRICTER:
            tally["stricter"] += 1
        else:
            print(f"case {index} differs: ours {line!r}, theirs {reference!r}; see {path}")
            return 1
    path.unlink(missing_ok=True)
    folder.rmdir()
    print(f"{count} files, 0 differences: {tally}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
