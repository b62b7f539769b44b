#!/usr/bin/env python3
"""Makes ten thousand pictures in one run, one job in a hundred bad, and watches the process.

    tests/soak/endurance.py [--program build/release/bin/ldm-gen] [--jobs 10000] [--csv FILE] [--plot FILE.svg]

With --keep-going the run must end with exit 8 and leave exactly the pictures of the good jobs. The
resident memory and the number of open descriptors, read from /proc each second, must not grow: from
the 500th picture on by at most 1 MiB in 1,000 pictures, and not at all beside the few of a picture
that is being written. Then come the times of the
scan of the finished folder, of the protocol that writes a picture (from strace's times, so too high
rather than too low), and of errors at start. Memory and descriptors fail the script, times do not.
"""
import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import soak

BAD_EVERY = 100
BAD_LINES = ['{"prompt": "a", "steps": 0}', '{"promt": "a"}', '{"prompt": "a', '{"prompt": 5}',
             '{"prompt": "a", "init_image": "none.png"}']
FIRST = 500
MOST_MIB = 1.0


def write_jobs(path, count):
    """One bad job in each hundred; returns the numbers of the good ones."""
    good = []
    with open(path, "w", encoding="utf-8") as jobs:
        for i in range(count):
            if i % BAD_EVERY == BAD_EVERY // 2:
                jobs.write(BAD_LINES[i // BAD_EVERY % len(BAD_LINES)] + "\n")
            else:
                jobs.write(json.dumps({"prompt": f"a cat number {i}", "guidance_scale": 1 + i % 7}) + "\n")
                good.append(i)
    return good


def state_of(pid):
    """(resident MiB, open descriptors) of a running process."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    resident = int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1024
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


def watch(line, work, csv):
    """Runs the batch; (exit code, samples of (seconds, pictures, MiB, descriptors))."""
    samples = []
    start = time.monotonic()
    with open(work / "paths", "wb") as paths, open(work / "errors", "wb") as errors:
        process = subprocess.Popen(line, cwd=work, stdout=paths, stderr=errors)
        with open(csv, "w", encoding="ascii") as table:
            table.write("seconds,pictures,resident_mib,descriptors\n")
            while process.poll() is None:
                time.sleep(1)
                made = (work / "paths").read_bytes().count(b"\n")
                try:
                    sample = (time.monotonic() - start, made, *state_of(process.pid))
                except (OSError, AttributeError):
                    break  # it has just ended
                samples.append(sample)
                table.write("{:.1f},{},{:.2f},{}\n".format(*sample))
    return process.wait(), samples


def slope(points):
    """Least-squares rise of y over x."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def usual(samples):
    """The number of descriptors that was seen most."""
    return collections.Counter(sample[3] for sample in samples).most_common(1)[0][0]


def draw(samples, path):
    """Resident memory over pictures, as an SVG."""
    width, height, edge = 640, 240, 40
    most_x = max(sample[1] for sample in samples)
    most_y = max(sample[2] for sample in samples) * 1.2
    at = " ".join(f"{edge + (width - 2 * edge) * x / most_x:.1f},"
                  f"{height - edge - (height - 2 * edge) * y / most_y:.1f}" for _, x, y, _ in samples)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="white"/>\n'
        f'<path d="M{edge},{edge}V{height - edge}H{width - edge}" fill="none" stroke="black"/>\n'
        f'<polyline points="{at}" fill="none" stroke="#06c"/>\n'
        f'<text x="{width - edge}" y="{height - 20}" text-anchor="end">{most_x} pictures</text>\n'
        f'<text x="{edge}" y="{edge - 10}">resident memory, axis to {most_y:.0f} MiB</text>\n</svg>\n',
        encoding="ascii")


def seconds_of(line, cwd, tries, code):
    """The shortest of several runs, in real time and of the processor."""
    best = []
    for _ in range(tries):
        start, before = time.monotonic(), os.times()
        done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)
        after = os.times()
        if done.returncode != code:
            sys.exit(f"exit {done.returncode} instead of {code}: {done.stderr}")
        best.append((time.monotonic() - start, after.children_user + after.children_system -
                     before.children_user - before.children_system))
    return min(real for real, _ in best), min(cpu for _, cpu in best)


def protocol_seconds(args, work, count):
    """Seconds in all system calls on the output folder, for each of `count` pictures."""
    soak.write_prompts(work / "few.txt", count)
    line = soak.batch(args.program, "traced", "--prompts", "few.txt", "--batch-size", 1)
    subprocess.run(["strace", "-f", "-T", "-y", "-o", work / "trace", "-e", "trace=openat,write,fsync,"
                    "renameat2,flock,fstat,newfstatat,pread64,close,unlinkat,fcntl", *line],
                   cwd=work, check=True, stdout=subprocess.DEVNULL)
    total = 0.0
    for text in (work / "trace").read_text(errors="replace").splitlines():
        spent = re.search(r"<(\d+\.\d+)>$", text)
        if spent and "/traced" in text:
            total += float(spent.group(1))
    return total / count


def main():
    made = soak.parser(__doc__, jobs=10000)
    made.add_argument("--csv", type=pathlib.Path, default=pathlib.Path("endurance.csv"))
    made.add_argument("--plot", type=pathlib.Path)
    args = soak.parse(made)
    with tempfile.TemporaryDirectory(prefix="ldm-endurance-") as name:
        work = pathlib.Path(name)
        good = write_jobs(work / "jobs.jsonl", args.jobs)
        line = soak.batch(args.program, "out", "--jobs", "jobs.jsonl", "--keep-going")
        code, samples = watch(line, work, args.csv)
        names = {path.name for path in (work / "out").iterdir()}
        wanted = {f"{i:06}-{i + 1}.png" for i in good} | {"journal.jsonl"}
        if code != 8 or names != wanted:
            sys.exit(f"exit {code}, {len(wanted - names)} missing, {len(names - wanted)} too many: "
                     f"{(work / 'errors').read_text()[-500:]}")
        late = [sample for sample in samples if sample[1] >= FIRST]
        rise = slope([(sample[1] / 1000, sample[2]) for sample in late])
        counts = sorted({sample[3] for sample in late})
        middle = len(late) // 2
        steady = usual(late[:middle]) == usual(late[middle:]) and counts[-1] - counts[0] <= 4
        print(f"{len(good)} pictures and {args.jobs - len(good)} bad jobs in {samples[-1][0]:.0f} s: "
              "exit 8, exactly the good files")
        print(f"from picture {FIRST} on: {late[0][2]:.1f} to {late[-1][2]:.1f} MiB, {rise:+.3f} MiB in "
              f"1,000 pictures; descriptors {usual(late)}, and up to {counts[-1]} within a write",
              flush=True)
        if args.plot:
            draw(samples, args.plot)
        scan = seconds_of(line, work, 3, 8)
        (work / "nothing.txt").touch()
        empty = seconds_of(soak.batch(args.program, "none", "--prompts", "nothing.txt"), work, 3, 0)
        print(f"the same command again: {scan[0]:.2f} s, {scan[1]:.2f} s of the processor; "
              f"a run without jobs: {empty[0]:.2f} s, {empty[1]:.2f} s")
        print(f"system calls on the folder, a picture: {protocol_seconds(args, work, 200) * 1000:.2f} ms")
        for what, wrong, exit_code in (("a bad option", ["-p", "x", "--steps", "0"], 2),
                                       ("a bad prompt", ["-p", b"\xff"], 3),
                                       ("no picture", ["-p", "x", "-i", "none.png"], 3),
                                       ("no folder", ["-p", "x", "--output-dir", "no/such"], 5)):
            real, cpu = seconds_of([args.program, *wrong], work, 5, exit_code)
            print(f"error at start, {what}: {real:.3f} s, {cpu:.3f} s of the processor")
    if rise > MOST_MIB or not steady:
        sys.exit("memory or descriptors grow")


if __name__ == "__main__":
    main()
