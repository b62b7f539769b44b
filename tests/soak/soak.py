"""What the soak scripts share: small batches of a tiny model, and the folders they leave."""
import argparse
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Random weights; a picture takes some 20 ms of one core.
TINY_MODEL = ROOT / "tests/golden/runs/sd1"


def parser(description, **defaults):
    """The arguments that all scripts take, and an integer or a number for each of `defaults`."""
    made = argparse.ArgumentParser(description=description.split("\n")[0])
    made.add_argument("--program", default=str(ROOT / "build/release/bin/ldm-gen"))
    made.add_argument("--seed", type=int, default=0, help="of the script's own random choices")
    for name, value in defaults.items():
        made.add_argument(f"--{name}", type=type(value), default=value)
    return made


def parse(made):
    args = made.parse_args()
    args.program = str(pathlib.Path(args.program).resolve())
    if not pathlib.Path(args.program).exists():
        sys.exit(f"no {args.program}: build it, or name one with --program")
    return args


def batch(program, folder, *more, model=TINY_MODEL, steps=1):
    """The command line of a batch; `more` names its jobs."""
    return [program, "--model", str(model), "--seed", "1", "--steps", str(steps), "--threads", "1",
            "--quiet", "--no-progress", "--output-dir", str(folder), *map(str, more)]


def write_prompts(path, count):
    path.write_text("".join(f"a cat number {i}\n" for i in range(count)))


def pictures(folder):
    """Contents by name of all files but journals: stray files are among them."""
    if not folder.exists():
        return {}
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if not path.name.startswith("journal")}


def reference(line, cwd, folder, count):
    """What an unbroken run of `line` leaves in its folder: `count` pictures, nothing else."""
    subprocess.run(line, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
    found = pictures(cwd / folder)
    if len(found) != count or not all(name.endswith(".png") for name in found):
        sys.exit(f"the unbroken run left {sorted(found)}")
    return found


def check_partial(folder, whole, what):
    """Every picture under a final name is whole and the right one; others are not there yet."""
    for name, content in pictures(folder).items():
        if not name.startswith(".ldm-") and content != whole.get(name):
            sys.exit(f"{what}: {name} is damaged or unknown")


def check_complete(folder, whole, what):
    found = pictures(folder)
    if found != whole:
        sys.exit(f"{what}: the folder differs: {sorted(set(found) ^ set(whole)) or 'other bytes'}")


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
