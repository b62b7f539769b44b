#!/usr/bin/env python3
"""How ldm-gen's time and memory grow with the picture, the batch and the threads.

    scripts/bench_scaling.py --model /tmp/sd15 --plot scaling.svg --out scaling.md

Every measurement is a fresh process of a few DDIM steps with guidance, nothing else running. Prints
a Markdown table of UNet step, decode and peak memory (of the process; with --device cuda the GPU's),
and draws four curves: time over pixels, time of an image over the batch, time over threads, memory
over pixels. Work that grows with pixels alone would be a straight line through 0 in the first.
"""
import argparse
import datetime
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH, HEIGHT, EDGE = 360, 260, 48


def measure(args, size, batch, threads):
    """Seconds of a step of the whole batch, of a decode, and GiB at most."""
    with tempfile.TemporaryDirectory() as folder:
        command = [args.ldm_gen, "--model", args.model, "--prompt", "an astronaut", "--seed", "0",
                   "--steps", str(args.steps), "--guidance-scale", "7.5", "--sampler", "ddim",
                   "--width", str(size), "--height", str(size), "--num-images", str(batch),
                   "--batch-size", str(batch), "--device", args.device, "--dtype", args.dtype,
                   "--threads", str(threads), "--output", f"{folder}/a.png", "--overwrite", "--json"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    timings = json.loads(out.splitlines()[-1])["timings"]
    memory = timings["peak_cuda_bytes" if args.device != "cpu" else "peak_rss_bytes"] / 2**30
    figures = {"size": size, "batch": batch, "threads": threads, "step": timings["unet_step_s"],
               "decode": timings["decode_s"], "memory": memory}
    print(json.dumps(figures), flush=True)
    return figures


def chart(title, points, x_title, y_title, left, top):
    """One curve of (x, y, label of x) as SVG, its axes from 0."""
    most_x = max(x for x, _, _ in points) * 1.05
    most_y = max(y for _, y, _ in points) * 1.15
    inner_x, inner_y = WIDTH - 2 * EDGE, HEIGHT - 2 * EDGE

    def at(x, y):
        return left + EDGE + inner_x * x / most_x, top + HEIGHT - EDGE - inner_y * y / most_y

    places = [at(x, y) for x, y, _ in points]
    corner_x, corner_y = at(0, 0)
    parts = [f'<text x="{left + EDGE}" y="{top + 24}" font-weight="bold">{title}</text>',
             f'<path d="M{corner_x},{corner_y - inner_y}V{corner_y}H{corner_x + inner_x}" fill="none" '
             'stroke="black"/>',
             f'<text x="{corner_x + inner_x}" y="{corner_y + 34}" text-anchor="end">{x_title}</text>',
             f'<text x="{corner_x}" y="{corner_y - inner_y - 6}">{y_title}</text>',
             '<polyline fill="none" stroke="#d9662b" stroke-width="2" points="'
             + " ".join(f"{x:.1f},{y:.1f}" for x, y in places) + '"/>']
    for (x, y), (_, value, label) in zip(places, points):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#d9662b"/>'
                     f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{value:.3g}</text>'
                     f'<text x="{x:.1f}" y="{corner_y + 16:.1f}" text-anchor="middle">{label}</text>')
    return "\n".join(parts)


def draw(path, by_size, by_batch, by_threads):
    def over_pixels(key):
        return [(f["size"] ** 2, f[key], f["size"]) for f in by_size]

    charts = [
        ("UNet step", over_pixels("step"), "pixels, by the picture's side", "s"),
        (f"UNet step of an image, {by_batch[0]['size']}×{by_batch[0]['size']}",
         [(f["batch"], f["step"] / f["batch"], f["batch"]) for f in by_batch], "batch", "s"),
        (f"UNet step, {by_threads[0]['size']}×{by_threads[0]['size']}",
         [(f["threads"], f["step"], f["threads"]) for f in by_threads], "threads", "s"),
        ("peak memory", over_pixels("memory"), "pixels, by the picture's side", "GiB")]
    drawn = [chart(*what, WIDTH * (i % 2), HEIGHT * (i // 2)) for i, what in enumerate(charts)]
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH}" height="{2 * HEIGHT}" '
                    'font-family="sans-serif" font-size="11">\n<rect width="100%" height="100%" '
                    'fill="white"/>\n' + "\n".join(drawn) + "\n</svg>\n", encoding="utf-8")


def numbers(text):
    return [int(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--sizes", type=numbers, default=[256, 384, 512, 640, 768, 1024])
    parser.add_argument("--batches", type=numbers, default=[1, 2, 4])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bf16")
    parser.add_argument("--ldm-gen", default=str(ROOT / "build/release/bin/ldm-gen"))
    parser.add_argument("--plot", type=pathlib.Path, required=True, help="SVG to write")
    parser.add_argument("--out", type=pathlib.Path, help="also write the table here")
    args = parser.parse_args()
    usual = max(args.threads)
    known = {}

    def measured(size, batch, threads):
        key = size, batch, threads
        if key not in known:
            known[key] = measure(args, *key)
        return known[key]

    by_size = [measured(size, 1, usual) for size in args.sizes]
    by_batch = [measured(args.sizes[0], batch, usual) for batch in args.batches]
    by_threads = [measured(args.sizes[0], 1, threads) for threads in args.threads]
    draw(args.plot, by_size, by_batch, by_threads)
    lines = [f"`{pathlib.Path(args.model).name}`, {args.dtype}, {args.device}, {args.steps} steps, "
             f"{datetime.date.today().isoformat()}.", "",
             "| size | batch | threads | UNet step (s) | decode (s) | peak memory (GiB) |",
             "| --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {f['size']}×{f['size']} | {f['batch']} | {f['threads']} | {f['step']:.3f} "
              f"| {f['decode']:.2f} | {f['memory']:.2f} |" for f in known.values()]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
