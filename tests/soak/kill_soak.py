#!/usr/bin/env python3
"""Kills batches at random moments and checks that nothing is lost, damaged, doubled or left over.

    tests/soak/kill_soak.py [--program build/release/bin/ldm-gen] [--kills 2000] [--seed 0]

Rounds alternate between batch sizes 1 and 4 and between one process and two that share the folder.
Each round runs the same jobs, kills the processes with SIGKILL after a random time, and starts them
again until the batch is done. Most of the moments lie in the time that pictures are made in, which
is measured first. The final folder must hold exactly the files of an unbroken run, byte for byte,
and no other file but the journal; a picture that stood whole under its name once is not made again.
"""
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import soak

JOBS = 12


def command(program, folder, batch_size, processes):
    more = ["--shared"] if processes > 1 else []
    return soak.batch(program, folder, "--prompts", "prompts.txt", "--batch-size", batch_size, *more)


def stamps(folder):
    """When each finished picture was made: a second making would change it."""
    if not folder.exists():
        return {}
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()
            if path.suffix == ".png"}


def run_until_killed(line, work, processes, seconds):
    """Starts processes and kills those that still run after a time; how many it killed."""
    running = [subprocess.Popen(line, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
               for _ in range(processes)]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and any(p.poll() is None for p in running):
        time.sleep(0.002)
    alive = [p for p in running if p.poll() is None]
    for process in alive:
        process.send_signal(signal.SIGKILL)
    errors = [p.communicate()[1].decode() for p in running]
    for process, text in zip(running, errors):
        if process.returncode not in (0, -signal.SIGKILL):
            sys.exit(f"exit {process.returncode}: {text}")
    return sum(p.returncode == -signal.SIGKILL for p in running)


def one_round(args, work, rng, batch_size, processes, whole, times):
    """Kills until the batch is done; returns the number of kills that hit a running process."""
    folder = work / "out"
    shutil.rmtree(folder, ignore_errors=True)
    line = command(args.program, "out", batch_size, processes)
    kills, made, least, most = 0, {}, *times
    while True:
        killed = run_until_killed(line, work, processes, rng.uniform(least, most))
        most *= 1.01  # on a machine that has become slower the batch would never be done
        kills += killed
        soak.check_partial(folder, whole, f"after kill {kills}")
        now = stamps(folder)
        if any(now.get(name) != stamp for name, stamp in made.items()):
            sys.exit("a finished picture was made again")
        made = now
        if killed == 0:
            break
    final = subprocess.run(command(args.program, "out", batch_size, 1), cwd=work,
                           capture_output=True, text=True, check=False)
    if final.returncode != 0 or final.stdout:
        sys.exit(f"the last run made something: {final.returncode} {final.stdout} {final.stderr}")
    soak.check_complete(folder, whole, "in the end")
    return kills


def measure(line, work):
    """Seconds of a whole run, and to its first picture."""
    shutil.rmtree(work / "timed", ignore_errors=True)
    start = time.monotonic()
    with subprocess.Popen(line, cwd=work, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        first = time.monotonic() - start
        process.communicate()
    return time.monotonic() - start, first


def main():
    args = soak.parse(soak.parser(__doc__, kills=2000))
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="ldm-kill-") as name:
        work = pathlib.Path(name)
        soak.write_prompts(work / "prompts.txt", JOBS)
        whole = soak.reference(command(args.program, "whole", 1, 1), work, "whole", JOBS)
        kills, rounds = 0, 0
        while kills < args.kills:
            if rounds % 20 == 0:
                total, first = measure(command(args.program, "timed", 1, 1), work)
            batch_size, processes = ((1, 1), (4, 1), (1, 2), (4, 2))[rounds % 4]
            early = rng.random() < 0.1
            times = (0.01, first) if early else (0.8 * first, first + 0.6 * (total - first))
            kills += one_round(args, work, rng, batch_size, processes, whole, times)
            rounds += 1
            print(f"\r{kills} kills in {rounds} batches", end="", flush=True)
    print(f"\n{kills} kills in {rounds} batches of {JOBS}: 0 lost, 0 damaged, 0 doubled, 0 left over")


if __name__ == "__main__":
    main()
