#!/usr/bin/env python3
"""Starts several batches on one folder at the same time, again and again.

    tests/soak/concurrent.py [--program build/release/bin/ldm-gen] [--rounds 100]

By default one process makes everything; each other one, while that runs, must end with exit 9 and
name its process. With --shared every picture is made exactly once by one of them. Afterwards the
folder holds exactly what an unbroken run leaves. Two processes, then eight, `--rounds` times each
way.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import soak

JOBS = 6


def start(line, work, processes):
    return [subprocess.Popen(line, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(processes)]


def finish(running):
    """(process id, exit code, pictures made, stderr) of each."""
    outcomes = []
    for process in running:
        out, err = process.communicate()
        outcomes.append((process.pid, process.returncode, out.split(), err))
    return outcomes


def check_alone(outcomes, tally):
    """One makes all; who came while it ran was refused, who came later found all done."""
    makers = [pid for pid, code, made, _ in outcomes if code == 0 and made]
    if len(makers) != 1 or any(len(made) not in (0, JOBS) for _, _, made, _ in outcomes):
        sys.exit(f"{len(makers)} processes made pictures: {outcomes}")
    for pid, code, made, err in outcomes:
        if code == 9:
            named = re.search(r"process (\d+) on ", err)
            # One that only looks whether there is something to do has the folder for a moment too.
            if not named or int(named.group(1)) not in [other[0] for other in outcomes]:
                sys.exit(f"exit 9 without the process' number: {err}")
            tally["refused"] += 1
        elif code == 0:
            tally["made all" if made else "came later"] += 1
        else:
            sys.exit(f"exit {code}: {err}")


def check_shared(outcomes, tally):
    made = collections.Counter(path for _, _, paths, _ in outcomes for path in paths)
    if len(made) != JOBS or max(made.values()) != 1:
        sys.exit(f"not each once: {made}")
    for _, code, paths, err in outcomes:
        if code != 0:
            sys.exit(f"exit {code}: {err}")
        tally["took part" if paths else "found nothing to do"] += 1


def rounds(args, work, processes, shared, whole):
    tally = collections.Counter()
    line = soak.batch(args.program, "out", "--prompts", "prompts.txt", "--batch-size", 1, steps=10)
    for _ in range(args.rounds):
        shutil.rmtree(work / "out", ignore_errors=True)
        outcomes = finish(start(line + ["--shared"] if shared else line, work, processes))
        (check_shared if shared else check_alone)(outcomes, tally)
        soak.check_complete(work / "out", whole, "after a round")
    what = ", ".join(f"{count} {name}" for name, count in sorted(tally.items()))
    print(f"{processes} processes{' --shared' if shared else ''}, {args.rounds} rounds: {what}",
          flush=True)


def main():
    args = soak.parse(soak.parser(__doc__, rounds=100))
    with tempfile.TemporaryDirectory(prefix="ldm-concurrent-") as name:
        work = pathlib.Path(name)
        soak.write_prompts(work / "prompts.txt", JOBS)
        line = soak.batch(args.program, "whole", "--prompts", "prompts.txt", "--batch-size", 1, steps=10)
        whole = soak.reference(line, work, "whole", JOBS)
        for processes in (2, 8):
            for shared in (False, True):
                rounds(args, work, processes, shared, whole)


if __name__ == "__main__":
    main()
