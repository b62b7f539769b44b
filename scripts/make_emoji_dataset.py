#!/usr/bin/env python3
"""Makes a captioned text-to-image data set out of Noto Color Emoji glyphs.

    scripts/make_emoji_dataset.py -o OUT                       # 40,000 + 2,000 pictures, 128x128
    scripts/make_emoji_dataset.py -o OUT --tar-shards --jobs 4
    scripts/make_emoji_dataset.py -o JUDGE --all-pairs --seed 1   # for ldm-eval train-classifier

Every picture shows one, two or three copies of one object of configs/train/emoji_objects.tsv on a plain
background of one of twelve colours, with a caption that says so. Objects have few sizes and stand on a
grid of eighths of the side, every second latent of an f8 autoencoder at 128 pixels, so that an object looks
the same to it, and to a denoiser's second level, wherever it stands. One pair of object and background
in ten never occurs in the train split: those pairs make the heldout split and OUT/prompts.jsonl, so
a model can be asked for what it has never seen. Which pairs these are depends on their names alone.

Needs Pillow and the font (Debian: fonts-noto-color-emoji, SIL Open Font License 1.1). The same
seed, font and Pillow give the same pictures, with any number of jobs; OUT/dataset.json records all
three.
"""
import argparse
import functools
import hashlib
import io
import json
import multiprocessing
import pathlib
import random
import struct
import sys
import tarfile

import PIL
from PIL import Image, ImageDraw, ImageFont

TABLE = pathlib.Path(__file__).resolve().parent.parent / "configs/train/emoji_objects.tsv"
FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
STRIKE = 109  # the only size of the font's bitmaps
SHARD = 1000

# What a set of fewer objects always has; the others by the hashes of their names.
FIRST = {"red apple", "cat", "dog", "banana", "soccer ball", "house", "sunflower", "panda", "car",
         "rocket", "heart", "pizza", "strawberry", "fish", "tree", "star", "frog", "pumpkin",
         "lemon", "robot", "balloon", "butterfly", "umbrella", "crown"}

BACKGROUNDS = {
    "white": (250, 250, 250), "black": (12, 12, 12), "red": (214, 40, 40), "green": (40, 155, 70),
    "blue": (40, 90, 215), "yellow": (250, 215, 50), "purple": (128, 60, 175),
    "orange": (245, 135, 30), "pink": (250, 165, 200), "gray": (128, 128, 128),
    "brown": (122, 78, 45), "turquoise": (60, 200, 195),
}
JITTER = 6  # of each background channel, either way

COUNTS = {1: 0.84, 2: 0.10, 3: 0.06}
POSITIONS = {"center": 0.80, "left": 0.05, "right": 0.05, "top": 0.05, "bottom": 0.05}
SIZES = {"normal": 0.80, "small": 0.10, "large": 0.10}
PLACES = {"center": "", "left": " on the left", "right": " on the right", "top": " at the top",
          "bottom": " at the bottom"}

# An object's longer side in cells, sixteenths of the picture's side; more than one stand in the middle.
CELLS = 16
EXTENT = {1: {"small": 6, "normal": 10, "large": 14},
          2: {"small": 5, "normal": 6, "large": 7},
          3: {"small": 5, "normal": 6, "large": 7}}
OFF_CENTER_EXTENT = {"small": 6, "normal": 8}


def read_objects(limit):
    objects = []
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        code, name, plural, *mass = line.split("\t")
        objects.append({"code": int(code, 16), "name": name, "plural": plural,
                        "mass": mass == ["mass"]})
    chosen = sorted(objects, key=lambda o: (o["name"] not in FIRST, name_hash(o)))[:limit or None]
    return [o for o in objects if o in chosen]


def name_hash(obj):
    return hashlib.sha256(obj["name"].encode()).digest()


def pair_hash(name, background):
    return hashlib.sha256(f"{name} on {background}".encode()).digest()


def held_out_pairs(objects):
    """One background of twelve for every object, and a second for one object in five: a tenth."""
    second = sorted(objects, key=name_hash)
    twice = {o["name"] for o in second[:len(objects) // 5]}
    pairs = []
    for o in objects:
        order = sorted(BACKGROUNDS, key=lambda b: pair_hash(o["name"], b))
        pairs += [(o["name"], b) for b in order[:2 if o["name"] in twice else 1]]
    return pairs


def with_article(words):
    vowel = words[0] in "aeiou" and not words.startswith(("uni", "one ")) or words[:4] == "hour"
    return f"{'an' if vowel else 'a'} {words}"


def caption_of(obj, attributes, rng):
    """Nine in ten name everything that is not the plain case; one in ten says less."""
    background = attributes["background"]
    adjective = "" if attributes["size"] == "normal" else attributes["size"] + " "
    if attributes["count"] > 1:
        number = {2: "two", 3: "three"}[attributes["count"]]
        subject = f"{number} {adjective}{obj['plural']}"
    else:
        subject = adjective + obj["name"]
        subject = subject if obj["mass"] else with_article(subject)
    subject += PLACES[attributes["position"]]
    draw = rng.random()
    if draw < 0.04:
        return subject
    if draw < 0.10:
        name = obj["name"] if attributes["count"] == 1 else subject
        return f"{name}, {background} background"
    if draw < 0.18:
        return f"{subject} against {with_article(background)} background"
    return f"{subject} on {with_article(background)} background"


def choose(rng, weights):
    return rng.choices(list(weights), list(weights.values()))[0]


def attributes_of(pair, rng):
    count = choose(rng, COUNTS)
    position = choose(rng, POSITIONS) if count == 1 else "center"
    size = choose(rng, SIZES)
    if position != "center" and size == "large":
        size = "normal"
    return {"object": pair[0], "background": pair[1], "count": count, "position": position,
            "size": size}


def even(cell):
    return cell - cell % 2


def boxes(attributes, rng):
    """The left upper corners of the copies and the side of the square each fills, in cells."""
    count, position, size = attributes["count"], attributes["position"], attributes["size"]
    extent = (EXTENT[count] if position == "center" else OFF_CENTER_EXTENT)[size]
    half, far = CELLS // 2, even(CELLS - extent)
    # Of an odd middle both neighbours; else the middle itself.
    low = even((CELLS - extent) // 2)
    high = even((CELLS - extent) // 2 + 1)
    across, down = rng.choice((low, high)), rng.choice((low, high))
    if count == 2:
        return [(even(half - extent), down), (half, down)], extent
    if count == 3:
        return [(low, even(half - extent)), (even(half - extent), half), (half, half)], extent
    corner = {"center": (across, down), "left": (0, down), "right": (far, down),
              "top": (across, 0), "bottom": (across, far)}[position]
    return [corner], extent


class Painter:
    """Draws pictures of one side length; keeps each glyph in the sizes it was asked for."""

    def __init__(self, font, size):
        self.font = ImageFont.truetype(font, STRIKE)
        self.size = size
        self.scaled = functools.lru_cache(maxsize=40000)(self.scale)
        self.glyph = functools.lru_cache(maxsize=None)(self.render)

    def render(self, code):
        canvas = Image.new("RGBA", (2 * STRIKE, 2 * STRIKE), (0, 0, 0, 0))
        ImageDraw.Draw(canvas).text((20, 20), chr(code), font=self.font, embedded_color=True)
        box = canvas.getbbox()
        if box is None:
            raise SystemExit(f"make_emoji_dataset: the font has no glyph U+{code:04X}")
        return canvas.crop(box)

    def scale(self, code, longer):
        glyph = self.glyph(code)
        factor = longer / max(glyph.size)
        size = [max(1, round(side * factor)) for side in glyph.size]
        return glyph.resize(size, Image.Resampling.LANCZOS)

    def paint(self, code, attributes, rng):
        color = tuple(min(255, max(0, c + rng.randint(-JITTER, JITTER)))
                      for c in BACKGROUNDS[attributes["background"]])
        picture = Image.new("RGB", (self.size, self.size), color)
        corners, extent = boxes(attributes, rng)
        cell = self.size // CELLS
        glyph = self.scaled(code, extent * cell)
        inset = (extent * cell - glyph.width) // 2, (extent * cell - glyph.height) // 2
        for x, y in corners:
            picture.paste(glyph, (x * cell + inset[0], y * cell + inset[1]), glyph)
        return picture


def pair_at(pairs_of_round, index, seed, split):
    """Every round shows each object (train) or each pair (heldout) once, in its own order."""
    number, place = divmod(index, len(pairs_of_round))
    order = list(range(len(pairs_of_round)))
    random.Random(f"{seed}:{split}:round {number}").shuffle(order)
    return pairs_of_round[order[place]]


def make_shard(job):
    """Writes pictures first..last of a split; returns their metadata lines."""
    options, split, first, last = job
    objects = read_objects(options.objects)
    by_name = {o["name"]: o for o in objects}
    held_out = held_out_pairs(objects)
    hidden = set(held_out)
    painter = painter_of(options.font, options.size)
    out = pathlib.Path(options.output)
    archive = None
    if options.tar_shards:
        (out / split).mkdir(exist_ok=True)
        archive = tarfile.open(out / split / f"{first // SHARD:06}.tar", "w",
                               format=tarfile.USTAR_FORMAT)
    else:
        (out / split / f"{first // SHARD:03}").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(first, last):
        rng = random.Random(f"{options.seed}:{split}:{index}")
        if split == "train":
            name = pair_at(objects, index, options.seed, split)["name"]
            free = [b for b in BACKGROUNDS if options.all_pairs or (name, b) not in hidden]
            pair = (name, rng.choice(free))
        else:
            pair = pair_at(held_out, index, options.seed, split)
        obj = by_name[pair[0]]
        attributes = attributes_of(pair, rng)
        text = caption_of(obj, attributes, rng)
        png = io.BytesIO()
        painter.paint(obj["code"], attributes, rng).save(png, "PNG", compress_level=4)
        if archive:
            put(archive, f"{index:06}.png", png.getvalue())
            put(archive, f"{index:06}.json", json.dumps({"text": text, **attributes}).encode())
        else:
            file_name = f"{first // SHARD:03}/{index:06}.png"
            (out / split / file_name).write_bytes(png.getvalue())
            lines.append({"file_name": file_name, "text": text, **attributes})
    if archive:
        archive.close()
    return lines


@functools.lru_cache(maxsize=1)
def painter_of(font, size):
    return Painter(font, size)


def put(archive, name, data):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def font_version(path):
    """The version string (name 5) of a TrueType font's name table."""
    data = pathlib.Path(path).read_bytes()
    for record in range(struct.unpack_from(">H", data, 4)[0]):
        tag, _, offset, _ = struct.unpack_from(">4sIII", data, 12 + 16 * record)
        if tag != b"name":
            continue
        _, entries, strings = struct.unpack_from(">HHH", data, offset)
        for entry in range(entries):
            platform, _, _, name, length, start = struct.unpack_from(
                ">6H", data, offset + 6 + 12 * entry)
            if name == 5 and platform == 3:
                start += offset + strings
                return data[start:start + length].decode("utf-16-be")
    return "unknown"


def write_json_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def prompts_of(objects, pairs):
    by_name = {o["name"]: o for o in objects}
    for number, (name, background) in enumerate(pairs):
        subject = name if by_name[name]["mass"] else with_article(name)
        prompt = f"{subject} on {with_article(background)} background"
        yield {"id": f"{number:04}", "prompt": prompt,
               "object": name, "background": background, "count": 1, "position": "center",
               "size": "normal"}


def describe(options, objects, pairs):
    return {
        "format": "ldm-emoji-3", "seed": options.seed, "size": options.size,
        "train": options.count, "heldout": options.heldout_count,
        "all_pairs": options.all_pairs,
        "font": {"file": pathlib.Path(options.font).name, "version": font_version(options.font),
                 "sha256": hashlib.sha256(pathlib.Path(options.font).read_bytes()).hexdigest(),
                 "license": "SIL Open Font License 1.1"},
        "pillow": PIL.__version__,
        "objects": [{"name": o["name"], "plural": o["plural"], "code": f"{o['code']:04X}"}
                    for o in objects],
        "backgrounds": {name: list(rgb) for name, rgb in BACKGROUNDS.items()},
        "background_jitter": JITTER,
        "held_out_pairs": [list(pair) for pair in pairs],
    }


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", required=True, help="folder, new or empty")
    parser.add_argument("--count", type=int, default=40000, help="pictures to train on (40000)")
    parser.add_argument("--heldout-count", type=int, default=2000,
                        help="pictures of held-out pairs (2000)")
    parser.add_argument("--size", type=int, default=128, help="side in pixels (128)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--objects", type=int, default=0, help="only N objects of the table")
    parser.add_argument("--all-pairs", action="store_true",
                        help="hide no pair from the train split: to train a judge, not a model")
    parser.add_argument("--tar-shards", action="store_true",
                        help=f"tar files of {SHARD} pictures instead of folders")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--font", default=FONT, help=f"({FONT})")
    options = parser.parse_args()
    if min(options.count, options.heldout_count, options.objects) < 0 or options.size < 16 or options.size % CELLS:
        parser.error("counts must not be negative, and --size a multiple of 16")
    if not pathlib.Path(options.font).is_file():
        parser.error(f"no font {options.font}: apt-get install fonts-noto-color-emoji")
    out = pathlib.Path(options.output)
    if out.exists() and any(out.iterdir()):
        parser.error(f"{out} is not empty")
    out.mkdir(parents=True, exist_ok=True)
    return options


def main():
    options = parse_options()
    out = pathlib.Path(options.output)
    objects = read_objects(options.objects)
    pairs = held_out_pairs(objects)
    counts = {"train": options.count, "heldout": options.heldout_count}
    jobs = [(options, split, first, min(first + SHARD, count))
            for split, count in counts.items() for first in range(0, count, SHARD)]
    lines = {split: [] for split in counts}
    with multiprocessing.Pool(options.jobs) as pool:
        for job, shard in zip(jobs, pool.imap(make_shard, jobs)):
            lines[job[1]] += shard
            print(f"{job[1]} {job[3]} of {counts[job[1]]}", file=sys.stderr)
    if not options.tar_shards:
        for split, of_split in lines.items():
            (out / split).mkdir(exist_ok=True)
            write_json_lines(out / split / "metadata.jsonl", of_split)
    write_json_lines(out / "prompts.jsonl", prompts_of(objects, pairs))
    description = json.dumps(describe(options, objects, pairs), indent=1)
    (out / "dataset.json").write_text(description + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
