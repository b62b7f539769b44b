#!/usr/bin/env python3
"""Lets every system call that touches the output folder fail, one in each run, and kills there too.

    tests/soak/fault_injection.py [--program build/release/bin/ldm-gen]

strace first lists the calls of an unbroken run of three jobs; then the run is repeated once for each
call and each fault (ENOSPC, EIO, EDQUOT, EINTR where it makes sense, SIGKILL at its entry), also with
renameat2 missing, so that linkat takes its place. Each run must end with exit 5 and one error, or
with 0 and all pictures there; never with a damaged picture under a final name. The next, undisturbed
run must complete to the files of an unbroken run and leave no temporary file. Needs strace.
"""
import collections
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import soak

JOBS = 3
TRIES = 4
LONGEST = 120  # seconds; a run that hangs is a fault
CALLS = ["mkdir", "openat", "write", "pwrite64", "ftruncate", "fsync", "renameat2", "linkat",
         "unlinkat", "flock", "fcntl", "close"]
FAULTS = {
    "mkdir": ["ENOSPC", "EIO", "EDQUOT"],
    "openat": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "write": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "pwrite64": ["ENOSPC", "EIO", "EDQUOT", "EINTR"],
    "ftruncate": ["EIO", "EINTR"],
    "fsync": ["ENOSPC", "EIO", "EDQUOT"],
    "renameat2": ["ENOSPC", "EIO", "EDQUOT"],
    "linkat": ["ENOSPC", "EIO", "EDQUOT"],
    "unlinkat": ["EIO"],
    "flock": ["EINTR"],
    "fcntl": ["EINTR"],
    # Not failing: strace would leave the descriptor open, and with it the lock, as no kernel does.
    "close": [],
}
# Each line: process id, call, "(", arguments with the paths of descriptors, ")", result.
LINE = re.compile(r"^(\d+) +(\w+)\((.*)\) += ")


def strace(work, line, injections, log):
    command = ["strace", "-f", "-y", "--seccomp-bpf", "-o", log, "-e", "trace=" + ",".join(CALLS)]
    for injection in injections:
        command += ["-e", "inject=" + injection]
    return subprocess.run(command + line, cwd=work, capture_output=True, text=True, check=False,
                          timeout=LONGEST)


def calls_of(log):
    """(call, its number among those of the main process, touches the folder, was disturbed)."""
    counts = collections.Counter()
    main_process = None
    for text in log.read_text(errors="replace").splitlines():
        found = LINE.match(text) or re.match(r"^(\d+) +(\w+)\((.*)", text)
        if not found:
            continue
        main_process = main_process or found.group(1)
        if found.group(1) != main_process:
            continue
        name, arguments = found.group(2), found.group(3)
        counts[name] += 1
        touches = re.search(r'/out[/>"]|"out["/]', arguments) is not None
        yield name, counts[name], touches, "(INJECTED)" in text


class Check:
    def __init__(self, args, work):
        self.work = work
        self.line = soak.batch(args.program, "out", "--prompts", "prompts.txt", "--batch-size", 1)
        self.whole = soak.reference(soak.batch(args.program, "whole", "--prompts", "prompts.txt",
                                               "--batch-size", 1), work, "whole", JOBS)
        self.codes = collections.Counter()
        self.missed = 0

    def fresh(self):
        shutil.rmtree(self.work / "out", ignore_errors=True)

    def points(self, always):
        """The calls of an undisturbed run that touch the folder."""
        self.fresh()
        done = strace(self.work, self.line, always, self.work / "log")
        if done.returncode != 0:
            sys.exit(f"undisturbed under strace: exit {done.returncode}: {done.stderr}")
        return [(name, number) for name, number, touches, _ in calls_of(self.work / "log") if touches]

    def disturb(self, always, place, points, fault):
        """One fault at the call number `place` of those that touch the folder."""
        for _ in range(TRIES):
            if self.disturb_once(always, *points[place], fault):
                return
            # The numbers of calls have shifted: libraries look at the machine as it is just now.
            again = self.points(always)
            if len(again) == len(points):
                points[:] = again
        self.missed += 1

    def disturb_once(self, always, name, number, fault):
        """False when the fault has not hit that call."""
        what = f"{fault} at {name} {number}"
        self.fresh()
        action = "signal=KILL" if fault == "SIGKILL" else f"error={fault}"
        done = strace(self.work, self.line, [*always, f"{name}:{action}:when={number}"],
                      self.work / "log")
        killed = done.returncode in (-9, 137)
        calls = list(calls_of(self.work / "log"))
        hit = calls and calls[-1][:3] == (name, number, True) if killed else \
            (name, number, True, True) in calls
        if killed != (fault == "SIGKILL") or not hit:
            return False
        self.codes[(name, fault, done.returncode)] += 1
        soak.check_partial(self.work / "out", self.whole, what)
        if done.returncode == 0:
            left = {name: content for name, content in soak.pictures(self.work / "out").items()
                    if name != ".ldm-lock"}
            if left != self.whole:
                sys.exit(f"{what}: exit 0, but the folder holds {sorted(left)}")
        elif not killed and (done.returncode != 5 or
                             not done.stderr.startswith("ldm-gen: output: ")):
            sys.exit(f"{what}: exit {done.returncode}: {done.stderr}")
        again = subprocess.run(self.line, cwd=self.work, capture_output=True, text=True, check=False)
        if again.returncode != 0:
            sys.exit(f"{what}: the next run ends with {again.returncode}: {again.stderr}")
        soak.check_complete(self.work / "out", self.whole, f"after {what} and another run")
        return True


def main():
    args = soak.parse(soak.parser(__doc__))
    with tempfile.TemporaryDirectory(prefix="ldm-inject-") as folder:
        work = pathlib.Path(folder)
        soak.write_prompts(work / "prompts.txt", JOBS)
        check = Check(args, work)
        touched = 0
        for always in ([], ["renameat2:error=EINVAL"]):
            points = check.points(always)
            for place, (name, _) in enumerate(list(points)):
                if always and name not in ("linkat", "unlinkat"):
                    continue  # as before
                touched += 1
                for fault in [*FAULTS[name], "SIGKILL"]:
                    check.disturb(always, place, points, fault)
                print(f"\r{touched} calls, {sum(check.codes.values())} runs", end="", flush=True)
    print("\ncall        fault    exit  runs")
    for (name, fault, code), count in sorted(check.codes.items()):
        print(f"{name:<11} {fault:<8} {code:>4} {count:>5}")
    print(f"{sum(check.codes.values())} runs over {touched} calls, {check.missed} faults that did not hit: no "
          "damage, every next run complete")


if __name__ == "__main__":
    main()
