#!/usr/bin/env python3
"""Runs one batch under every launcher that the README names, and checks that nothing is missing.

    tests/soak/shards.py [--program build/release/bin/ldm-gen] [--torchrun .deps/reference/bin/torchrun] [srun array torchrun]

srun and the job array run on a real SLURM, started by slurm-local.sh (as root, with Debian's
slurm-wlm and munge). The shards together must leave exactly the files of one unbroken run, and
`ldm-gen merge` must find them all.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import soak

JOBS = 12
HERE = pathlib.Path(__file__).resolve().parent


def launch(kind, args, work):
    """The command line of a launcher and the options that it gives the program."""
    options = soak.batch(args.program, kind)[1:]
    options = options[:options.index("--output-dir")]
    if kind == "srun":
        return [HERE / "slurm-local.sh", "-n", "8", args.program, "--jobs", "jobs.jsonl", "--output-dir",
                kind, "--shard", "auto", *options]
    if kind == "array":
        return [HERE / "slurm-local.sh", "--sbatch", soak.ROOT / "scripts/slurm-array.sh", "jobs.jsonl",
                kind, *options]
    return [args.torchrun, "--no-python", "--nproc-per-node", "2", args.program, "--jobs", "jobs.jsonl",
            "--output-dir", kind, "--shard", "auto", *options]


def check(kind, args, work, whole):
    done = subprocess.run(launch(kind, args, work), cwd=work, check=False, capture_output=True,
                          text=True, env={**os.environ, "LDM_GEN": args.program})
    if done.returncode != 0:
        logs = "".join(path.read_text() for path in work.glob("slurm-*.out"))
        sys.exit(f"{kind}: exit {done.returncode}: {done.stdout}{done.stderr}{logs}")
    soak.check_complete(work / kind, whole, kind)
    journals = len(list((work / kind).glob("journal-*-of-*.jsonl")))
    merged = subprocess.run([args.program, "merge", kind], cwd=work, check=False, capture_output=True,
                            text=True)
    if merged.returncode != 0 or merged.stdout != f"{JOBS}/{JOBS} made\n":
        sys.exit(f"{kind}: merge: exit {merged.returncode}: {merged.stdout}{merged.stderr}")
    print(f"{kind}: {journals} shards, {JOBS} of {JOBS} pictures as in one run, merged", flush=True)


def main():
    made = soak.parser(__doc__)
    made.add_argument("--torchrun", default=str(soak.ROOT / ".deps/reference/bin/torchrun"))
    made.add_argument("kinds", nargs="*", default=["srun", "array", "torchrun"])
    args = soak.parse(made)
    with tempfile.TemporaryDirectory(prefix="ldm-shards-") as name:
        work = pathlib.Path(name)
        (work / "jobs.jsonl").write_text("".join(
            f'{{"prompt": "a cat number {i}", "seed": {i}}}\n' for i in range(JOBS)))
        line = soak.batch(args.program, "whole", "--jobs", "jobs.jsonl")
        whole = soak.reference(line, work, "whole", JOBS)
        for kind in args.kinds:
            check(kind, args, work, whole)


if __name__ == "__main__":
    main()
