#!/usr/bin/env python3
"""Fills the disk under a batch again and again; goes on after the disk has grown.

    tests/soak/disk_full.py [--program build/release/bin/ldm-gen] [--rounds 100]

As root: each round mounts a tmpfs of 64 MiB, all but a random rest of it taken, in a mount namespace
of its own. The batch must end with exit 5 and tell the sizes, leave no part of a picture, and
complete when it is run again with room: the same files as an unbroken run.
"""
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import soak

JOBS = 12
DISK = 64 << 20
PAGE = 4096
INSIDE = "LDM_SOAK_PRIVATE_MOUNTS"
MESSAGE = re.compile(r"^ldm-gen: output: writing \S+: the disk is full \(needed [^,]+, free [^)]+\)$",
                     re.MULTILINE)


def run(line, work):
    return subprocess.run(line, cwd=work, capture_output=True, text=True, check=False)


def fill(disk, free):
    """Takes all of the disk but `free` bytes."""
    stats = os.statvfs(disk)
    rest = stats.f_bavail * stats.f_frsize - free
    with open(disk / "ballast", "wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, max(rest, PAGE))


def one_round(args, work, disk, rng, whole):
    """How many pictures were there when the disk was full."""
    line = soak.batch(args.program, disk / "out", "--prompts", "prompts.txt", "--batch-size", 1)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], check=True)
    try:
        # From nothing at all to all but the last picture.
        fill(disk, rng.randrange(0, sum(map(len, whole.values())) // PAGE) * PAGE)
        full = run(line, work)
        if full.returncode != 5 or not MESSAGE.search(full.stderr):
            sys.exit(f"exit {full.returncode}: {full.stderr}")
        soak.check_partial(disk / "out", whole, "on a full disk")
        found = soak.pictures(disk / "out")
        if any(name.startswith(".ldm-") and name.endswith(".tmp") for name in found):
            sys.exit(f"a temporary file was left: {sorted(found)}")
        subprocess.run(["mount", "-o", f"remount,size={2 * DISK}", disk], check=True)
        again = run(line, work)
        if again.returncode != 0:
            sys.exit(f"after growth: exit {again.returncode}: {again.stderr}")
        soak.check_complete(disk / "out", whole, "after growth")
        return sum(name.endswith(".png") for name in found)
    finally:
        subprocess.run(["umount", disk], check=True)


def main():
    args = soak.parse(soak.parser(__doc__, rounds=100))
    if os.geteuid() != 0:
        sys.exit("must run as root, to mount")
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              *sys.argv])
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="ldm-full-") as name:
        work = pathlib.Path(name)
        disk = work / "disk"
        disk.mkdir()
        soak.write_prompts(work / "prompts.txt", JOBS)
        line = soak.batch(args.program, "whole", "--prompts", "prompts.txt", "--batch-size", 1)
        whole = soak.reference(line, work, "whole", JOBS)
        made = [one_round(args, work, disk, rng, whole) for _ in range(args.rounds)]
    print(f"{len(made)} disks full after {min(made)} to {max(made)} of {JOBS} pictures: exit 5 with "
          "the sizes each time, no part of a picture, all complete after growth")


if __name__ == "__main__":
    main()
