#!/usr/bin/env python3
"""Makes the sheet of pictures that start from pictures in README, with the embedded model.

    scripts/make_start_sheet.py -o sheet.png

Row 1: an apple, then image to image from it with rising strength. Row 2: masks and what was
repainted in them, then a canvas that grew to the right. Row 3: a second pass at twice the size, and
a picture that tiles, shown 2 x 2. Needs Pillow.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from PIL import Image, ImageDraw

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = os.environ.get("LDM_GEN", str(ROOT / "build/release/bin/ldm-gen"))
GAP = 8
RED = "a red apple on a blue background"
GREEN = "a green apple on a yellow background"


def draw(folder: pathlib.Path, name: str, *options: str) -> Image.Image:
    command = [PROGRAM, *options, "-o", str(folder / name), "--quiet"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"exit {result.returncode} from: {' '.join(command)}\n{result.stderr}")
    return Image.open(folder / name).convert("RGB")


def mask(folder: pathlib.Path, name: str, size: int, around: bool) -> Image.Image:
    """White is repainted: all but a disc in the middle, or a square of it."""
    picture = Image.new("L", (size, size), 255 if around else 0)
    pen = ImageDraw.Draw(picture)
    edge = size // 10
    if around:
        pen.ellipse((edge, edge, size - edge, size - edge), fill=0)
    else:
        pen.rectangle((edge, edge, size - edge, size - edge), fill=255)
    picture.save(folder / name)
    return picture.convert("RGB")


def rows(folder: pathlib.Path) -> list[list[Image.Image]]:
    first = draw(folder, "a.png", "-p", RED, "-s", "1")
    a = str(folder / "a.png")
    strengths = [draw(folder, f"s{s}.png", "-i", a, "--strength", str(s), "-p", GREEN, "-s", "5")
                 for s in (0.2, 0.4, 0.6, 0.8, 1.0)]
    size = first.width
    around = mask(folder, "around.png", size, True)
    middle = mask(folder, "middle.png", size, False)
    blur = ["--mask-blur", "2"]
    repainted = draw(folder, "r.png", "-i", a, "--mask", str(folder / "around.png"), *blur,
                     "-p", "a red apple on a yellow background", "-s", "3")
    cat = draw(folder, "m.png", "-i", a, "--mask", str(folder / "middle.png"), *blur,
               "-p", "a cat on a blue background", "-s", "5")
    grown = draw(folder, "o.png", "-i", a, "--outpaint", f"0,0,{size},0", *blur, "-p", RED,
                 "-s", "1")
    large = draw(folder, "h.png", "-p", RED, "-s", "1", "--hires-scale", "2", "--hires-strength",
                 "0.3", "--hires-upscaler", "image")
    tile = draw(folder, "t.png", "-p", "a sunflower on a yellow background", "-s", "2", "--tile",
                "xy")
    tiled = Image.new("RGB", (2 * size, 2 * size))
    for x in (0, size):
        for y in (0, size):
            tiled.paste(tile, (x, y))
    return [[first, *strengths], [around, repainted, middle, cat, grown], [large, tiled]]


def sheet(lines: list[list[Image.Image]]) -> Image.Image:
    width = max(sum(p.width + GAP for p in line) for line in lines) - GAP
    height = sum(max(p.height for p in line) + GAP for line in lines) - GAP
    canvas = Image.new("RGB", (width, height), "white")
    y = 0
    for line in lines:
        x = 0
        for picture in line:
            canvas.paste(picture, (x, y))
            x += picture.width + GAP
        y += max(p.height for p in line) + GAP
    return canvas


def main(description: str, make_rows) -> None:
    """Draws what `make_rows` makes in a folder, where the command line says."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("-o", "--output", required=True)
    output = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        sheet(make_rows(pathlib.Path(folder))).save(output, optimize=True)


if __name__ == "__main__":
    main(__doc__, rows)
