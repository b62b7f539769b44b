#!/usr/bin/env python3
"""Makes sets of judgements, for `ldm-lpips train` and `ldm-lpips eval`, from any folder of pictures.

    make_2afc_dataset.py PICTURES OUT [--count 2000] [--size 64] [--seed 0] [--distortions blur,warp]

writes OUT/2afc/{ref,p0,p1,judge} and OUT/jnd/{p0,p1,same} in the layout of the public data set:
NNNNNN.png, and NNNNNN.npy of one float32. Pictures come from all PNG and JPEG files below
PICTURES, cropped at random where something is to be seen. The same arguments give the same files.

2AFC: p0 and p1 are the same patch with the same distortion (blur, noise, JPEG compression, colour
shift, warp or shift) at two strengths; whichever is weaker is the nearer one, so judge is 0 or 1.
JND: p1 is p0 distorted well below (same 1) or well above (same 0) a strength at which the
distortion is taken to become visible.

How this differs from people's judgements: the order is known only because both pictures carry one
kind of distortion, so a set says nothing of how people weigh one kind against another, which is
what the published judgements were collected for. Nobody disagrees, while people do: on the public
set even they reach some 83 %. The thresholds of the JND set are a guess, the same for every
picture, where people's depend on what is in it. A 2AFC figure on such a set says that a network
orders strengths; it must not be compared with published figures.
"""
import argparse
import io
import pathlib
import sys

import numpy as np
from PIL import Image, ImageFilter

SUFFIXES = {".png", ".jpg", ".jpeg"}
# Patches flatter than this would hide most distortions.
LEAST_DEVIATION = 12.0
# Strengths run from 0 to 1; two of one item differ by this at least.
LEAST_STEP = 0.25
# Where a distortion is taken to become visible.
VISIBLE = 0.12


def as_picture(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def sample(patch: Image.Image, dx: np.ndarray, dy: np.ndarray) -> Image.Image:
    """The patch moved by (dx, dy) pixels, bilinear, mirrored at its edges."""
    values = np.asarray(patch, np.float64)
    side = values.shape[0]
    ys, xs = np.mgrid[0:side, 0:side]
    period = 2 * (side - 1)

    def mirrored(at: np.ndarray) -> np.ndarray:
        at = np.abs(at) % period
        return np.where(at > side - 1, period - at, at)

    x, y = mirrored(xs + dx), mirrored(ys + dy)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, side - 1), np.minimum(y0 + 1, side - 1)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    top = values[y0, x0] * (1 - fx) + values[y0, x1] * fx
    bottom = values[y1, x0] * (1 - fx) + values[y1, x1] * fx
    return as_picture(top * (1 - fy) + bottom * fy)


def smooth_field(rng: np.random.Generator, side: int) -> np.ndarray:
    coarse = Image.fromarray(rng.uniform(-1, 1, (5, 5)).astype(np.float32))
    return np.asarray(coarse.resize((side, side), Image.BICUBIC), np.float64)


def blur(patch, rng):
    return lambda s: patch.filter(ImageFilter.GaussianBlur(4 * s))


def noise(patch, rng):
    field = rng.normal(0, 1, np.asarray(patch).shape)
    return lambda s: as_picture(np.asarray(patch, np.float64) + 50 * s * field)


def jpeg(patch, rng):
    def compress(s):
        out = io.BytesIO()
        patch.save(out, "JPEG", quality=round(92 - 90 * s))
        return Image.open(io.BytesIO(out.getvalue())).convert("RGB")

    return compress


def colour(patch, rng):
    direction = rng.normal(0, 1, 3)
    direction /= np.linalg.norm(direction)
    return lambda s: as_picture(np.asarray(patch, np.float64) + 90 * s * direction)


def warp(patch, rng):
    side = patch.width
    dx, dy = smooth_field(rng, side), smooth_field(rng, side)
    return lambda s: sample(patch, side / 8 * s * dx, side / 8 * s * dy)


def shift(patch, rng):
    angle = rng.uniform(0, 2 * np.pi)
    reach = patch.width / 6
    return lambda s: sample(patch, reach * s * np.cos(angle), reach * s * np.sin(angle))


DISTORTIONS = {"blur": blur, "noise": noise, "jpeg": jpeg, "colour": colour, "warp": warp,
               "shift": shift}


class Patches:
    """Random crops of random pictures of a folder."""

    def __init__(self, folder: pathlib.Path, size: int):
        self.files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
        if not self.files:
            sys.exit(f"make_2afc_dataset: no PNG or JPEG below {folder}")
        self.size = size

    def draw(self, rng: np.random.Generator) -> Image.Image:
        for _ in range(1000):
            picture = Image.open(self.files[rng.integers(len(self.files))]).convert("RGB")
            shorter = min(picture.size)
            side = int(rng.integers(min(self.size, shorter), shorter + 1))
            x = int(rng.integers(picture.width - side + 1))
            y = int(rng.integers(picture.height - side + 1))
            patch = picture.crop((x, y, x + side, y + side))
            patch = patch.resize((self.size, self.size), Image.LANCZOS)
            if np.asarray(patch, np.float64).std() >= LEAST_DEVIATION:
                return patch
        sys.exit("make_2afc_dataset: all pictures are flat")


class Writer:
    def __init__(self, folder: pathlib.Path, parts: list[str]):
        self.folder = folder
        for part in parts:
            (folder / part).mkdir(parents=True, exist_ok=False)

    def picture(self, part: str, number: int, picture: Image.Image) -> None:
        picture.save(self.folder / part / f"{number:06}.png")

    def judgement(self, part: str, number: int, value: float) -> None:
        np.save(self.folder / part / f"{number:06}.npy", np.float32([value]))


def make_2afc(patches: Patches, out: Writer, count: int, names: list[str], seed: int) -> None:
    for number in range(count):
        rng = np.random.default_rng([seed, 0, number])
        while True:
            patch = patches.draw(rng)
            distort = DISTORTIONS[names[number % len(names)]](patch, rng)
            weak = rng.uniform(0.02, 1 - LEAST_STEP)
            strong = rng.uniform(weak + LEAST_STEP, 1)
            near, far = distort(weak), distort(strong)
            if near.tobytes() != far.tobytes():
                break
        second_is_nearer = bool(rng.integers(2))
        out.picture("ref", number, patch)
        out.picture("p0", number, far if second_is_nearer else near)
        out.picture("p1", number, near if second_is_nearer else far)
        out.judgement("judge", number, float(second_is_nearer))


def make_jnd(patches: Patches, out: Writer, count: int, names: list[str], seed: int) -> None:
    for number in range(count):
        rng = np.random.default_rng([seed, 1, number])
        patch = patches.draw(rng)
        distort = DISTORTIONS[names[number % len(names)]](patch, rng)
        same = bool(rng.integers(2))
        strength = rng.uniform(0, VISIBLE / 2) if same else rng.uniform(2 * VISIBLE, 1)
        out.picture("p0", number, patch)
        out.picture("p1", number, distort(strength))
        out.judgement("same", number, float(same))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=2000, help="items of each set")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--distortions", default=",".join(DISTORTIONS), help="comma between them")
    args = parser.parse_args()
    names = args.distortions.split(",")
    for name in names:
        if name not in DISTORTIONS:
            parser.error(f"no distortion {name!r}: {', '.join(DISTORTIONS)}")
    patches = Patches(args.pictures, args.size)
    try:
        two = Writer(args.out / "2afc", ["ref", "p0", "p1", "judge"])
        jnd = Writer(args.out / "jnd", ["p0", "p1", "same"])
    except FileExistsError as error:
        sys.exit(f"make_2afc_dataset: {error.filename} is there already")
    make_2afc(patches, two, args.count, names, args.seed)
    make_jnd(patches, jnd, args.count, names, args.seed)
    print(f"{args.count} judgements each in {args.out}/2afc and {args.out}/jnd")


if __name__ == "__main__":
    main()
