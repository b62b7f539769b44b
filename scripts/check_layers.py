#!/usr/bin/env python3
"""Checks every #include of the tree against the layer table of src/README.md.

An `#include "ldm/…"` may point to its own folder or to a lower row, never to a sibling of the same
row. Rows io and text, most of core, the headers of pipeline and app, and app's files of requests stay
free of libtorch, also through what they include. Prints each offender and exits 1.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = {
    "core": 1,
    "io": 3,
    "kernels": 4, "text": 4,
    "nn": 5,
    "models": 6, "schedulers": 6,
    "loading": 7,
    "pipeline": 8, "train": 8,
    "app": 9,
}
CORE_WITH_TORCH = {"execution", "random", "brownian", "device", "determinism"}
# Bodies of row app that builds without libtorch compile too.
REQUEST_FILES = set(re.search(r"set\(ldm_request_files ([^)]*)\)",
                              (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")).group(1).split())
HEAVY = {"torch/torch.h", "torch/nn.h", "torch/all.h", "torch/extension.h", "ATen/ATen.h"}
TORCH = re.compile(r"(ATen|c10|torch|caffe2)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
SUFFIXES = {".h", ".cpp", ".cu", ".cuh"}
MAIN_LINES = 40


def sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                yield path.relative_to(ROOT)


def row_of(path):
    """The row a file belongs to; None for programs and tests of the whole, which may see all."""
    parts = path.parts
    if parts[0] == "include":
        return parts[2]
    if parts[0] in ("src", "tests") and len(parts) > 2 and parts[1] in ROWS:
        return parts[1]
    return None


def torch_free(path):
    row, stem = row_of(path), path.stem.removesuffix("_test")
    if path.parts[0] == "tests":
        return row in ("io", "text") or (row == "core" and stem not in CORE_WITH_TORCH)
    if row in ("pipeline", "app"):
        return path.parts[0] == "include" or (row == "app" and stem in REQUEST_FILES)
    return row in ("io", "text") or (row == "core" and stem not in CORE_WITH_TORCH)


def check_row(path, include):
    row = row_of(path)
    if not include.startswith("ldm/"):
        return None
    target = include.split("/")[1]
    if target not in ROWS or not (ROOT / "include" / include).is_file():
        return f"no such header: {include}"
    if row is None or target == row or ROWS[target] < ROWS[row]:
        return None
    return f"row {ROWS[row]} ({row}) may not include row {ROWS[target]} ({target}): {include}"


def check_library(path, include):
    if include in HEAVY:
        return f"too heavy, include what is used (ATen/ops/…, torch/nn/module.h): {include}"
    if include.startswith("fmt/"):
        return f"libtorch's include path carries another fmt: {include}"
    if include.startswith("catch2/") and path.as_posix() != "tests/support/catch.h":
        return "Catch2 comes through tests/support/catch.h only"
    if include.startswith("CLI/") and path.parts[0] != "tools" and row_of(path) != "app":
        return f"the command line is known to app and tools only: {include}"
    return None


def torch_chain(include, includes, seen):
    """How a project header reaches libtorch, as "a.h > b.h > ATen/…"; None when it does not."""
    if TORCH.match(include):
        return include
    path = pathlib.Path("include") / include
    if include in seen or path not in includes:
        return None
    seen.add(include)
    for below in includes[path]:
        chain = torch_chain(below, includes, seen)
        if chain:
            return f"{include} > {chain}"
    return None


def check_name(path, names):
    """A body is named as its header, or opens with the header of its row that it helps implement."""
    if path.parts[0] != "src" or path.suffix != ".cpp" or len(path.parts) != 3:
        return None
    row, stem = path.parts[1], path.stem
    own = [name for name in names if name.startswith(f"ldm/{row}/")]
    private = [name for name in names if (ROOT / path.parent / pathlib.Path(name).name).is_file()]
    if (ROOT / "include" / "ldm" / row / f"{stem}.h").is_file():
        return None if f"ldm/{row}/{stem}.h" in names else "does not include its own header"
    return None if own or private else f"no ldm/{row}/{stem}.h, and implements no header of its row"


def main():
    problems = []
    includes = {path: INCLUDE.findall((ROOT / path).read_text(encoding="utf-8"))
                for path in sources("include", "src", "tools", "tests")}
    for path, names in includes.items():
        found = [check_name(path, names)]
        if path.parts[0] in ("include", "src") and len(path.parts) > 2 and row_of(path) not in ROWS:
            found.append(f"folder '{row_of(path) or path.parts[1]}' is not in the layer table")
            problems += [f"{path}: {p}" for p in found if p]
            continue
        for name in names:
            found += [check_row(path, name), check_library(path, name)]
            if torch_free(path):
                chain = torch_chain(name, includes, set())
                found.append(chain and f"must stay free of libtorch: {chain}")
        problems += [f"{path}: {p}" for p in found if p]
    main_cpp = ROOT / "src" / "main.cpp"
    if main_cpp.is_file():
        lines = len(main_cpp.read_text(encoding="utf-8").splitlines())
        if lines > MAIN_LINES:
            problems.append(f"src/main.cpp: {lines} lines, at most {MAIN_LINES}")
    for problem in problems:
        print(problem)
    print(f"layers: {len(includes)} files, {len(problems)} problems", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
