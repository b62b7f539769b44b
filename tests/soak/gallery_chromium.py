#!/usr/bin/env python3
"""Opens a gallery page in headless Chromium and looks at what it shows.

Makes a folder of PNGs with settings (some hostile, some broken, one of another tool, one symbolic
link), runs `ldm-gen gallery` on it, and checks the cards in the DOM under several filters given by
the page's hash, that nothing of a prompt runs, and with --count how long a large folder takes.
Needs chromium and nothing else but Python.

usage: tests/soak/gallery_chromium.py [--program build/release/bin/ldm-gen] [--count 10000]
           [--screenshots FOLDER]
"""
import argparse
import html
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
SAMPLERS = ["ddim", "euler", "dpmpp-2m", "euler-a"]
HOSTILE = [
    "</script><img src=x onerror=\"document.title='ran'\">",
    "<!--<script>document.title='ran'</script>",
    "\"><svg onload=document.title='ran'>",
    "${document.title='ran'} `x` __proto__ \u202e \u2028 &lt;",
]


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data +
            struct.pack(">I", zlib.crc32(kind + data)))


def picture(side, color, texts):
    """A PNG with a disc, and the texts as iTXt."""
    rows = bytearray()
    for y in range(side):
        rows.append(0)
        for x in range(side):
            inside = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (side * 0.36) ** 2
            rows += bytes(color if inside else (238, 236, 230))
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    for key, value in texts:
        out += chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + value.encode())
    return out + chunk(b"IDAT", zlib.compress(bytes(rows), 6)) + chunk(b"IEND", b"")


def settings(index, prompt):
    return {
        "schema": 1, "version": "0.1.0", "seed": 100 + index, "index": index,
        "request": {"prompt": prompt, "negative_prompt": "blurry" if index % 5 == 0 else "",
                    "seed": 100, "width": 48, "height": 48, "steps": 10 + 10 * (index % 3),
                    "guidance_scale": [3.0, 7.5][index % 2], "guidance_rescale": 0.0,
                    "sampler": SAMPLERS[index % 4], "eta": 0.0, "clip_skip": 0},
        "model": "default", "family": "sd", "weights": {"unet": "ab" * 32},
        "device": "cpu", "dtype": "fp32", "threads": 2}


def make_folder(folder, count):
    """Pictures 0 … count - 1; every tenth has a hostile prompt."""
    for index in range(count):
        prompt = ["a red apple on a blue background", "an old bridge in the rain, oil painting",
                  "a fox & a \"crow\""][index % 3]
        if index % 10 == 9:
            prompt = HOSTILE[index // 10 % len(HOSTILE)]
        color = tuple(60 + (index * step) % 180 for step in (37, 71, 113))
        sub = folder / f"part-{index // 1000}"
        sub.mkdir(exist_ok=True)
        (sub / f"{index:06}-{100 + index}.png").write_bytes(
            picture(48, color, [("ldm-gen", json.dumps(settings(index, prompt)))]))
    (folder / "other tool.png").write_bytes(picture(32, (10, 120, 80), [(
        "parameters", "a lighthouse\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, "
        "CFG scale: 7, Seed: 5, Size: 32x32, Model: other")]))
    (folder / "javascript:document.title='ran'#?.png").write_bytes(picture(8, (0, 0, 0), []))
    whole = picture(16, (1, 2, 3), [])
    (folder / "cut.png").write_bytes(whole[:-20])
    (folder / "flipped.png").write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    (folder / "link.png").symlink_to("/etc/hostname")


class Browser:
    def __init__(self, page, profile):
        self.page = page
        self.base = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu",
                     "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                     "--allow-file-access-from-files", f"--user-data-dir={profile}"]

    def url(self, fragment):
        return "file://" + urllib.parse.quote(str(self.page)) + "#" + fragment

    def dom(self, fragment):
        """The page's elements as Chromium has them when all scripts have run."""
        return subprocess.run([*self.base, "--dump-dom", self.url(fragment)], check=True,
                              timeout=900, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL).stdout.decode()

    def shot(self, fragment, file):
        subprocess.run([*self.base, "--window-size=1400,900", f"--screenshot={file}",
                        self.url(fragment)], check=True, timeout=900,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Checks:
    def __init__(self):
        self.failed = 0

    def equal(self, what, found, expected):
        good = found == expected
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {what}: {found}" +
              ("" if good else f", expected {expected}"))


def cards(dom):
    return len(re.findall(r'<a class="card', dom))


def title(dom):
    return html.unescape(re.search(r"<title>(.*?)</title>", dom, re.S).group(1))


def look(browser, checks, count):
    """The filters, one Chromium each."""
    total = count + 2
    expected = {
        "": total,
        "sampler=ddim": sum(i % 4 == 0 for i in range(count)),
        "sampler=ddim&sampler=euler": sum(i % 4 in (0, 1) for i in range(count)),
        "steps=20..30&guidance_scale=7.5": sum(i % 3 > 0 and i % 2 == 1 for i in range(count)),
        "seed=105..109": min(5, max(0, count - 5)),
        "prompt~=onerror": sum(i % 10 == 9 and i // 10 % 4 == 0 for i in range(count)),
        "q=lighthouse": 1,
        "sampler=none": 0,
        "no such setting=1": 0,
        "%E0%A4%A&=&&x": total,
    }
    for fragment, number in expected.items():
        dom = browser.dom(fragment)
        checks.equal(f"cards of #{fragment}", cards(dom), number)
        checks.equal("  nothing ran", title(dom).endswith(" – ldm-gen gallery"), True)
        if fragment == "":
            listed = re.findall(r"<li>(\w+)\.png", dom)
            checks.equal("  unreadable files", sorted(listed), ["cut", "flipped"])
            checks.equal("  elements of prompts", len(re.findall(r"<svg|<img src=\"?x", dom)), 0)
    large = browser.dom("view=" + urllib.parse.quote("part-0/000009-109.png"))
    text = html.unescape(re.search(r"<pre>(.*?)</pre>", large, re.S).group(1))
    checks.equal("command of a hostile prompt",
                 text.startswith("ldm-gen --prompt '</script>"), True)
    checks.equal("  nothing ran", title(large).endswith(" – ldm-gen gallery"), True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=ROOT / "build/release/bin/ldm-gen")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--embed", action="store_true")
    parser.add_argument("--screenshots", type=pathlib.Path)
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="ldm-gallery-") as place:
        folder = pathlib.Path(place) / "pictures"
        folder.mkdir()
        make_folder(folder, options.count)
        start = time.monotonic()
        run = subprocess.run([options.program, "gallery", folder, "--overwrite",
                              *(["--embed"] if options.embed else [])],
                             check=True, capture_output=True, text=True)
        page = pathlib.Path(run.stdout.strip())
        print(f"{run.stderr.strip()}; {time.monotonic() - start:.1f} s")
        checks.equal("foreign addresses", len(re.findall(r"https?:", page.read_text())), 0)
        browser = Browser(page, os.path.join(place, "profile"))
        look(browser, checks, options.count)
        if options.screenshots:
            options.screenshots.mkdir(parents=True, exist_ok=True)
            browser.shot("", options.screenshots / "grid.png")
            browser.shot("sampler=ddim&steps=20..30&view=part-0/000004-104.png",
                         options.screenshots / "view.png")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
