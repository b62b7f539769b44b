#!/usr/bin/env python3
"""What each of several processes adds to the memory of a machine when they map the same weights.

    tests/soak/shared_weights.py --model /tmp/sd15 [--processes 3] [--program build/release/bin/ldm-gen]

Every process computes pictures of its own with one thread and --weight-cache. While all of them take
steps, their resident (RSS) and proportional (PSS, shared pages divided by their users) sizes are read
from /proc. With N processes the machine holds the sum of the PSS; the script fails unless that grows
by less than a third of a process's RSS for each process after the first.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import soak


def sizes(pid):
    """(RSS, PSS) in GiB."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return tuple(int(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE).group(1)) / 2**20
                 for key in ("Rss", "Pss"))


def measure(args, work, count):
    """Sizes of `count` processes once each has taken its second step."""
    line = [args.program, "--model", args.model, "--prompt", "a cat", "--steps", "40", "--threads",
            "1", "--width", "256", "--height", "256", "--weight-cache", "--json", "--overwrite"]
    running = [subprocess.Popen([*line, "--seed", str(i), "--output", f"{i}.png"], cwd=work, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
               for i in range(count)]
    try:
        for process in running:
            for text in process.stdout:
                event = json.loads(text)
                if event["event"] == "step" and event["index"] == 1:
                    break
        return [sizes(process.pid) for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()


def main():
    made = soak.parser(__doc__, processes=3)
    made.add_argument("--model", required=True)
    args = soak.parse(made)
    with tempfile.TemporaryDirectory(prefix="ldm-shared-") as name:
        work = pathlib.Path(name)
        measure(args, work, 1)  # writes the cache where it is not there yet
        totals = []
        for count in range(1, args.processes + 1):
            found = measure(args, work, count)
            totals.append(sum(pss for _, pss in found))
            print(f"{count} processes: RSS {max(rss for rss, _ in found):.2f} GiB each, together "
                  f"{totals[-1]:.2f} GiB", flush=True)
        rss = found[0][0]
    added = (totals[-1] - totals[0]) / max(1, args.processes - 1)
    print(f"each process after the first adds {added:.2f} GiB")
    if added > rss / 3:
        sys.exit("the processes do not share their weights")


if __name__ == "__main__":
    main()
