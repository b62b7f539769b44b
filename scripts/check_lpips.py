#!/usr/bin/env python3
"""Compares ldm-lpips with the public package `lpips` 0.1.4 over pairs of pictures.

    check_lpips.py PICTURES... [--program build/release/bin/ldm-lpips] [--backbone NET=FILE]

Each picture is compared with the one before it, for vgg, alex and squeeze, with the weightings that
the package brings. Backbones are torchvision's files given as --backbone alex=alexnet.pth; a
network without one gets random weights, the same on both sides, written to a temporary file in
today's torch's format. Needs torch, torchvision, lpips, Pillow. Prints the largest difference of
each network and exits 1 above 1e-5.
"""
import argparse
import contextlib
import io
import pathlib
import subprocess
import sys
import tempfile
import warnings

import lpips
import numpy as np
import torch
import torchvision
from PIL import Image

BACKBONES = {"vgg": torchvision.models.vgg16, "alex": torchvision.models.alexnet,
             "squeeze": torchvision.models.squeezenet1_1}
MOST = 1e-5


def as_tensor(path: pathlib.Path) -> torch.Tensor:
    pixels = np.asarray(Image.open(path).convert("RGB"), np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)[None]


def load_reference(name: str, backbone: pathlib.Path) -> lpips.LPIPS:
    """The package's network with its own weightings and this backbone."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = lpips.LPIPS(net=name, pnet_rand=True)
    weights = torch.load(backbone, map_location="cpu", weights_only=True)
    with torch.no_grad():
        for key, parameter in net.net.named_parameters():
            parameter.copy_(weights["features." + key.split(".", 1)[1]])
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=pathlib.Path)
    parser.add_argument("--program", default="build/release/bin/ldm-lpips")
    parser.add_argument("--backbone", action="append", default=[], metavar="NET=FILE")
    args = parser.parse_args()
    given = dict(entry.split("=", 1) for entry in args.backbone)
    package = pathlib.Path(lpips.__file__).parent
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, make in BACKBONES.items():
            backbone = pathlib.Path(given.get(name, pathlib.Path(folder) / f"{name}.pth"))
            if name not in given:
                torch.manual_seed(1)
                torch.save(make(weights=None).state_dict(), backbone)
            net = load_reference(name, backbone)
            lin = package / "weights" / "v0.1" / f"{name}.pth"
            command = [args.program, "--net", name, "--lin", lin, "--backbone", backbone]
            differences, distances = [], []
            for first, second in zip(args.pictures, args.pictures[1:]):
                with torch.no_grad():
                    expected = net(as_tensor(first), as_tensor(second)).item()
                out = subprocess.run([*command, first, second], check=True, capture_output=True,
                                     text=True)
                differences.append(abs(float(out.stdout) - expected))
                distances.append(expected)
            print(f"{name}: {len(differences)} pairs, distances {min(distances):.4f} to "
                  f"{max(distances):.4f}, largest difference {max(differences):.2e}")
            worst = max(worst, *differences)
    if worst > MOST:
        sys.exit(f"check_lpips: {worst:.2e} is above {MOST:.0e}")


if __name__ == "__main__":
    main()
