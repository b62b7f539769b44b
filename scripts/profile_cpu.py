#!/usr/bin/env python3
"""What a CPU step's time goes to: share by kind of work, of ldm-gen by perf and of diffusers by its profiler.

    scripts/profile_cpu.py ldm-gen --model /tmp/sd15 --dtype bf16
    .deps/reference/bin/python scripts/profile_cpu.py diffusers --model /tmp/sd15 --dtype bf16

ldm-gen's process is sampled (perf, cpu-clock) while it takes steps, after the second one; machine code
that oneDNN generates is in no library and counts as its products. diffusers takes one step with guidance
under torch.profiler, channels_last. Prints a Markdown table: share, and seconds of a step.
"""
import argparse
import collections
import json
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What a "library symbol" of ldm-gen is, the first that fits.
SYMBOLS = (
    ("waiting for the other thread", r"^libgomp"),
    ("attention", r"Operands|pack_head|attention"),
    ("3×3 convolutions (Winograd)", r"ldm::cpu.*(multiply|transform|gather_tile|scatter|winograd)"),
    ("norms, SiLU", r"ldm::cpu.*(moments|scale_and_shift|layer_norm|norm)"),
    ("copies, cat, upsampling", r"copy|cat_|memmove|memset|upsample"),
    ("elementwise", r"^libtorch_cpu.*(vectorized_loop|VectorizedLoop2d|add|mul|gelu)"),
    ("system", r"^\[kernel"),
    ("products and other convolutions (oneDNN)", r"^(\[unknown\]|//anon|anon|\[JIT\]|perf-)|dnnl"),
)
# What an ATen operator is.
OPERATORS = (
    ("attention", r"scaled_dot_product|flash_attention"),
    ("convolutions", r"conv"),
    ("products", r"addmm|linear|matmul|mm$|bmm"),
    ("norms", r"norm"),
    ("SiLU, GELU, sums", r"silu|gelu|add|mul|div"),
    ("copies, cat, upsampling", r"copy|cat|upsample|contiguous|clone|to$|empty|chunk"),
)


def kind_of(name, kinds):
    return next((kind for kind, pattern in kinds if re.search(pattern, name)), "other")


def table(times, step):
    total = sum(times.values())
    lines = [f"A step: {step:.2f} s.", "", "| | share | seconds |", "| --- | --- | --- |"]
    for kind, time in sorted(times.items(), key=lambda item: -item[1]):
        lines.append(f"| {kind} | {100 * time / total:.1f} % | {step * time / total:.2f} |")
    return "\n".join(lines)


def profile_ldm_gen(args):
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "perf.data"
        command = [args.ldm_gen, "--model", args.model, "--prompt", "an astronaut", "--seed", "0",
                   "--steps", "60", "--guidance-scale", "7.5", "--sampler", "ddim", "--width",
                   str(args.size), "--height", str(args.size), "--device", "cpu", "--dtype", args.dtype,
                   "--threads", str(args.threads), "--output", f"{folder}/a.png", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        steps = []
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] != "step":
                continue
            steps.append(event["seconds"])
            if len(steps) == 2:
                recording = subprocess.Popen(["perf", "record", "-e", "cpu-clock", "-F", "499", "-o", data,
                                              "-p", str(process.pid), "--", "sleep", str(args.seconds)],
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if len(steps) > 2 and recording.poll() is not None:
                break
        process.kill()
        report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--sort", "dso,symbol", "-g", "none"], capture_output=True, text=True, check=True).stdout
    times = collections.Counter()
    for line in report.splitlines():
        found = re.match(r"\s+(\d+\.\d+)%\s+(\S.*?)\s+\[[.k]\]\s+(.*)", line)
        if not found:
            continue
        what = f"{found.group(2)} {found.group(3)}".strip()
        times[kind_of(what, SYMBOLS)] += float(found.group(1))
        if args.symbols:
            print(f"{found.group(1)} {kind_of(what, SYMBOLS)}: {what[:120]}")
    print(table(times, sorted(steps[2:])[len(steps[2:]) // 2]))


def profile_diffusers(args):
    import time

    import torch
    from diffusers import UNet2DConditionModel

    torch.set_num_threads(args.threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    unet = UNet2DConditionModel.from_pretrained(args.model, subfolder="unet", torch_dtype=dtype)
    unet.to(memory_format=torch.channels_last)
    side = args.size // 8
    inputs = (torch.randn(2, 4, side, side).to(dtype), torch.tensor(500.0),
              torch.randn(2, 77, unet.config.cross_attention_dim).to(dtype))
    with torch.inference_mode():
        unet(*inputs)
        start = time.time()
        unet(*inputs)
        step = time.time() - start
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            unet(*inputs)
    times = collections.Counter()
    for event in profile.key_averages():
        times[kind_of(event.key, OPERATORS)] += event.self_cpu_time_total
    print(table(times, step))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", choices=("ldm-gen", "diffusers"))
    parser.add_argument("--model", required=True)
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15, help="how long to sample")
    parser.add_argument("--symbols", action="store_true", help="also print each symbol and its kind")
    parser.add_argument("--ldm-gen", default=str(ROOT / "build/release/bin/ldm-gen"))
    args = parser.parse_args()
    profile_ldm_gen(args) if args.program == "ldm-gen" else profile_diffusers(args)


if __name__ == "__main__":
    main()
