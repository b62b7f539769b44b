#!/usr/bin/env python3
"""Fits the linear map from latents to colours that --preview uses, and says how well it does.

    scripts/fit_preview.py VAE_DIR --pictures DIR [--side PX] [--write]

VAE_DIR is a diffusers folder of an AutoencoderKL. Half of the pictures (PNG or JPEG, or the members
of .tar files, at most --count) are fitted to by least squares, the map's error is measured on the
other half: the root mean square of what a preview misses of a picture's colours, averaged over each
latent's pixels, in steps of 8-bit colour. --write puts latent_rgb.json beside the weights, where
ldm-gen looks for it; it holds for these weights alone and is left aside for others.
Needs torch, diffusers and Pillow (scripts/reference.sh)."""
import argparse
import hashlib
import io
import json
import pathlib
import tarfile

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

SUFFIXES = {".png", ".jpg", ".jpeg"}


def pictures(folder: pathlib.Path, side: int, count: int):
    """Up to `count` pictures [3, side, side] in [-1, 1], evenly from all there are."""
    def tensor(source) -> torch.Tensor:
        image = Image.open(source).convert("RGB").resize((side, side), Image.LANCZOS)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1

    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    for file in files[::max(1, len(files) // count)][:count]:
        yield tensor(file)
    archives = [] if files else sorted(folder.rglob("*.tar"))
    for archive in archives:
        with tarfile.open(archive) as tar:
            members = [m for m in tar if pathlib.Path(m.name).suffix.lower() in SUFFIXES]
            share = max(1, count // len(archives))
            for member in members[::max(1, len(members) // share)][:share]:
                yield tensor(io.BytesIO(tar.extractfile(member).read()))


def rows(x: torch.Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).double().numpy()


def pairs(vae, images: list[torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Latents as they leave the sampler [M, C + 1], ones last, and their pixels' means [M, 3]."""
    latents, means = [], []
    for image in images:
        with torch.no_grad():
            z = vae.encode(image[None]).latent_dist.mode() * vae.config.scaling_factor
        latents.append(rows(z))
        means.append(rows(torch.nn.functional.adaptive_avg_pool2d(image[None], z.shape[2:])))
    z = np.concatenate(latents)
    return np.concatenate([z, np.ones((len(z), 1))], 1), np.concatenate(means)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vae", type=pathlib.Path)
    parser.add_argument("--pictures", type=pathlib.Path, required=True)
    parser.add_argument("--side", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    vae = AutoencoderKL.from_pretrained(args.vae, torch_dtype=torch.float32).eval()
    images = list(pictures(args.pictures, args.side, args.count))
    if len(images) < 4:
        raise SystemExit(f"{args.pictures} holds {len(images)} pictures; at least 4 are needed")
    z, rgb = pairs(vae, images[::2])
    solution, *_ = np.linalg.lstsq(z, rgb, rcond=None)
    z, rgb = pairs(vae, images[1::2])
    error = float(np.sqrt(((z @ solution - rgb) ** 2).mean())) * 127.5
    spread = float(np.sqrt(((rgb - rgb.mean(0)) ** 2).mean())) * 127.5
    print(f"{args.vae}: misses by {error:.1f} of 255 on {len(images[1::2])} held-out pictures, "
          f"whose spread is {spread:.1f}")
    weights = [f for f in sorted(args.vae.glob("diffusion_pytorch_model*")) if f.is_file()]
    if not args.write:
        return
    if len(weights) != 1:
        raise SystemExit(f"{args.vae} holds {len(weights)} weight files; a map goes with one")
    (args.vae / "latent_rgb.json").write_text(json.dumps({
        "weight": [round(float(w), 5) for w in solution[:-1].T.flatten()],
        "bias": [round(float(b), 5) for b in solution[-1]],
        "error": round(error, 2),
        "weights_sha256": hashlib.sha256(weights[0].read_bytes()).hexdigest(),
        "fitted_to": f"{len(images[::2])} pictures of {args.side} pixels a side",
    }, indent=1) + "\n")


if __name__ == "__main__":
    main()
