#!/usr/bin/env python3
"""Kills batches at random moments and checks that nothing is lost, damaged, doubled or left over.

    tests/soak/kill_soak.py [--program build/release/bin/ldm-gen] [--kills 2000] [--seed 0]

Rounds alternate between batch sizes 1 and 4 and between one process and two that share the folder.
Each round runs the same jobs, kills the processes with SIGKILL after a random time, and starts them
again until the batch is done. The final folder must hold exactly the files of an unbroken run, byte
for byte, and no other file but the journal.
"""
import argparse
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
JOBS = 12


def command(program, folder, batch_size, shared):
    line = [program, "--prompts", "prompts.txt", "--seed", "1", "--steps", "2", "-W", "64", "-H", "64",
            "--threads", "1", "--quiet", "--no-progress", "--output-dir", folder,
            "--batch-size", str(batch_size)]
    return line + (["--shared"] if shared else [])


def pictures(folder):
    """Contents by name, without journals; other files than pictures are told by their name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if not path.name.startswith("journal")}


def one_round(args, work, rng, batch_size, processes, reference):
    """Kills until the batch is done; returns the number of kills that hit a running process."""
    folder = work / "out"
    shutil.rmtree(folder, ignore_errors=True)
    line = command(args.program, "out", batch_size, processes > 1)
    kills = 0
    while True:
        running = [subprocess.Popen(line, cwd=work, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE) for _ in range(processes)]
        deadline = time.monotonic() + rng.uniform(0.02, args.longest)
        while time.monotonic() < deadline and any(p.poll() is None for p in running):
            time.sleep(0.003)
        alive = [p for p in running if p.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGKILL)
        kills += len(alive)
        errors = [p.communicate()[1].decode() for p in running]
        for process, text in zip(running, errors):
            if process.returncode not in (0, -signal.SIGKILL):
                sys.exit(f"exit {process.returncode}: {text}")
        check_partial(folder, reference)
        if not alive:
            break
    final = subprocess.run(line[:-1] if processes > 1 else line, cwd=work, capture_output=True,
                           text=True, check=False)
    if final.returncode != 0 or final.stdout:
        sys.exit(f"the last run made something: {final.returncode} {final.stdout} {final.stderr}")
    found = pictures(folder)
    if found != reference:
        sys.exit(f"the folder differs: {sorted(set(found) ^ set(reference)) or 'other bytes'}")
    return kills


def check_partial(folder, reference):
    """Between kills: every picture under its final name is whole and the right one."""
    if not folder.exists():
        return
    for name, content in pictures(folder).items():
        if not name.startswith(".ldm-") and content != reference.get(name):
            sys.exit(f"{name}: damaged or unknown after a kill")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/ldm-gen"))
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds before a kill")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.program = str(pathlib.Path(args.program).resolve())
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="ldm-kill-") as name:
        work = pathlib.Path(name)
        (work / "prompts.txt").write_text("".join(f"a cat number {i}\n" for i in range(JOBS)))
        subprocess.run(command(args.program, "whole", 1, False), cwd=work, check=True,
                       stdout=subprocess.DEVNULL)
        reference = pictures(work / "whole")
        if len(reference) != JOBS:
            sys.exit(f"the unbroken run made {len(reference)} pictures")
        kills, rounds = 0, 0
        while kills < args.kills:
            batch_size, processes = ((1, 1), (4, 1), (1, 2), (4, 2))[rounds % 4]
            kills += one_round(args, work, rng, batch_size, processes, reference)
            rounds += 1
            print(f"\r{kills} kills in {rounds} rounds", end="", flush=True)
    print(f"\n{kills} kills in {rounds} batches of {JOBS}: 0 lost, 0 damaged, 0 doubled, 0 left over")


if __name__ == "__main__":
    main()
