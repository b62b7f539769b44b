#!/usr/bin/env python3
"""Makes a labelled contact sheet, prompts by samplers, with ldm-gen: the picture in README.

    scripts/make_contact_sheet.py -o sheet.png                       # embedded model, 16 prompts
    scripts/make_contact_sheet.py -o sheet.png --prompts mine.txt --samplers ddim,euler -- --steps 20

Needs Pillow. What follows -- goes to every run of ldm-gen. One prompt, one row; all pictures of a
row start from the same noise.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import textwrap

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError:
    sys.exit("make_contact_sheet: needs Pillow\nhint: apt-get install python3-pil, "
             "or the Python of scripts/reference.sh")

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPTS = """\
a red apple on a blue background
a cat on a green background
a dog on a yellow background
a banana on a purple background
a soccer ball on a green background
a house on a white background
a sunflower on a black background
a panda on a pink background
a car on a gray background
a rocket on a black background
a heart on a white background
a pizza on a blue background
a fish on an orange background
a tree on a yellow background
a pumpkin on a purple background
a crown on a red background
"""
SAMPLERS = "ddim,ddpm,pndm,euler,euler-a,dpmpp-2m"
GAP, LABEL_WIDTH, HEAD = 6, 190, 28


def load_font(size):
    for name in ("DejaVuSans.ttf", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"):
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default()


def generate(args, prompt, sampler, seed, path):
    command = [args.ldm_gen, "--prompt", prompt, "--sampler", sampler, "--seed", str(seed),
               "--output", path, "--quiet", *args.rest]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"exit {result.returncode} from: {' '.join(map(str, command))}\n{result.stderr}")
    with Image.open(path) as image:
        return image.convert("RGB")


def draw_sheet(prompts, samplers, cells, size):
    font = load_font(13)
    sheet = Image.new("RGB", (LABEL_WIDTH + len(samplers) * (size + GAP) + GAP,
                              HEAD + len(prompts) * (size + GAP) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for column, sampler in enumerate(samplers):
        centre = LABEL_WIDTH + GAP + column * (size + GAP) + size / 2
        draw.text((centre, HEAD / 2 + 2), sampler, "black", font, anchor="mm")
    for row, prompt in enumerate(prompts):
        top = HEAD + GAP + row * (size + GAP)
        text = "\n".join(textwrap.wrap(prompt, 24)[: max(size // 18, 1)])
        draw.multiline_text((8, top + size / 2), text, "black", font, anchor="lm")
        for column in range(len(samplers)):
            picture = cells[row][column]
            scale = size / max(picture.size)
            picture = picture.resize([max(round(side * scale), 1) for side in picture.size],
                                     Image.Resampling.LANCZOS)
            left = LABEL_WIDTH + GAP + column * (size + GAP)
            sheet.paste(picture, (left + (size - picture.width) // 2,
                                  top + (size - picture.height) // 2))
    return sheet


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--prompts", type=pathlib.Path, help="one prompt a line; # lines skipped")
    parser.add_argument("--samplers", default=SAMPLERS, help="comma-separated (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the first row; row k uses SEED + k")
    parser.add_argument("--cell", type=int, default=96, help="pixels a picture (default: 96)")
    parser.add_argument("--ldm-gen", type=pathlib.Path,
                        default=ROOT / "build" / "release" / "bin" / "ldm-gen")
    own, rest = sys.argv[1:], []
    if "--" in own:
        own, rest = own[:own.index("--")], own[own.index("--") + 1:]
    args = parser.parse_args(own)
    args.rest = rest
    text = args.prompts.read_text(encoding="utf-8") if args.prompts else PROMPTS
    prompts = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    samplers = args.samplers.split(",")
    cells = []
    with tempfile.TemporaryDirectory() as folder:
        for row, prompt in enumerate(prompts):
            cells.append([generate(args, prompt, sampler, args.seed + row,
                                   pathlib.Path(folder) / f"{row}-{sampler}.png")
                          for sampler in samplers])
            print(f"{row + 1}/{len(prompts)} {prompt}", file=sys.stderr, flush=True)
    draw_sheet(prompts, samplers, cells, args.cell).save(args.output, optimize=True)
    print(args.output)


if __name__ == "__main__":
    main()
