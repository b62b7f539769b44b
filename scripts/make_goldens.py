#!/usr/bin/env python3
"""Makes the reference numbers in tests/golden from the pinned public implementations.

Needs torch 2.11.0, diffusers 0.42.1, transformers 5.x and safetensors (scripts/reference.sh sets
up such an environment). Never used at run time, nor by the tests: they read what is committed.

usage: make_goldens.py [NAME ...]     NAME: a module of scripts/goldens (default: all)
"""
import importlib
import pathlib
import pkgutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import goldens  # noqa: E402
from goldens import common  # noqa: E402


def main() -> None:
    names = sys.argv[1:] or sorted(
        m.name for m in pkgutil.iter_modules(goldens.__path__) if m.name != "common"
    )
    for name in names:
        print(f"{name}:", flush=True)
        importlib.import_module(f"goldens.{name}").make()
    total = sum(f.stat().st_size for f in common.GOLDEN.rglob("*") if f.is_file())
    print(f"tests/golden: {total / 1e6:.2f} MB")
    if total >= 10_000_000:
        sys.exit("tests/golden must stay below 10 MB")


if __name__ == "__main__":
    main()
