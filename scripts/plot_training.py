#!/usr/bin/env python3
"""Draws the curves of training runs: plot_training.py OUT.png LOG.jsonl…

One panel a run: every figure of its log that is a loss, over the optimizer's steps. Needs matplotlib.
"""
import json
import pathlib
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

SHOWN = {"loss", "mse", "lpips", "codebook", "generator", "discriminator"}


def read(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def draw(axis, path: pathlib.Path) -> None:
    entries = read(path)
    names = sorted({n for e in entries for n in e["metrics"]} & SHOWN)
    for name in names:
        points = [(e["step"], e["metrics"][name]) for e in entries if name in e["metrics"]]
        axis.plot(*zip(*points), label=name, linewidth=1)
    axis.set_title(path.stem)
    axis.set_xlabel("step")
    axis.set_yscale("log")
    axis.grid(alpha=0.3)
    axis.legend()


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    logs = [pathlib.Path(p) for p in sys.argv[2:]]
    figure, axes = plt.subplots(1, len(logs), figsize=(4.5 * len(logs), 3.2), squeeze=False)
    for axis, path in zip(axes[0], logs):
        draw(axis, path)
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=80)


if __name__ == "__main__":
    main()
