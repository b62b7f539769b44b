#!/usr/bin/env python3
"""What a GPU's time went to: share by kernel, and gaps, of a file by libldm_cuda_timeline.so.

    CUDA_INJECTION64_PATH=build/release/bin/libldm_cuda_timeline.so LDM_CUDA_TIMELINE=steps.tsv \\
      build/release/bin/ldm-gen --device cuda --model /tmp/sd15 --prompt "a cat" --steps 20
    scripts/cuda_timeline.py steps.tsv --graphs --calls 18

With --graphs only what recorded graphs replayed counts: the denoiser's calls. Prints a Markdown
table: microseconds a call, launches a call, share of the time from the first start to the last end.
"""
import argparse
import collections
import pathlib
import re

# What a kernel is, by its name; the first that fits.
KINDS = (
    ("attention", r"flash|fmha|attention|sdpa|mha_"),
    ("GroupNorm and SiLU (own)", r"ldm::cuda::group_norm"),
    ("LayerNorm (own)", r"ldm::cuda::.*layer_norm"),
    ("GEGLU's gate (own)", r"ldm::cuda::gelu_gate"),
    ("other own kernels", r"ldm::cuda"),
    ("copies and layouts", r"nchwToNhwc|nhwcToNchw|copy|CatArray|\[copy\]|\[set\]"),
    ("convolution", r"conv|fprop|wgrad|dgrad|cudnn|implicit"),
    ("matrix product", r"gemm|nvjet|cublas|splitK|cutlass"),
    ("elementwise", r"elementwise|reduce|upsample|softmax|triton"),
)


def kind_of(name):
    return next((kind for kind, pattern in KINDS if re.search(pattern, name, re.IGNORECASE)),
                "other")


def read(path, graphs):
    rows = []
    for line in path.read_text(errors="replace").splitlines():
        start, end, stream, graph, name = line.split("\t", 4)
        if not graphs or graph != "0":
            rows.append((int(start), int(end), name))
    return sorted(rows)


def busy_and_gaps(rows):
    """Nanoseconds in which anything ran; gaps between."""
    busy, gaps, until = 0, [], rows[0][0]
    for start, end, _ in rows:
        if start > until:
            gaps.append(start - until)
        busy += max(0, end - max(start, until))
        until = max(until, end)
    return busy, gaps


def table(title, totals, calls, span, most):
    lines = [f"| {title} | µs a call | launches a call | share |", "| --- | --- | --- | --- |"]
    for name, (time, count) in sorted(totals.items(), key=lambda item: -item[1][0])[:most]:
        lines.append(f"| {name} | {time / 1e3 / calls:.1f} | {count / calls:.1f} "
                     f"| {100 * time / span:.1f} % |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--graphs", action="store_true", help="only what graphs replayed")
    parser.add_argument("--calls", type=int, default=1, help="calls to divide by")
    parser.add_argument("--skip", type=float, default=0, metavar="SHARE",
                        help="leave out this first share of the time (warming up)")
    parser.add_argument("--kernels", type=int, default=20, help="kernels to name")
    args = parser.parse_args()
    rows = read(args.file, args.graphs)
    if not rows:
        parser.exit(1, f"{args.file}: nothing ran on a GPU\n")
    first, last = rows[0][0], max(end for _, end, _ in rows)
    rows = [row for row in rows if row[0] >= first + args.skip * (last - first)]
    span = last - rows[0][0]
    busy, gaps = busy_and_gaps(rows)
    kinds = collections.defaultdict(lambda: [0, 0])
    kernels = collections.defaultdict(lambda: [0, 0])
    for start, end, name in rows:
        for totals, key in ((kinds, kind_of(name)), (kernels, name[:110].replace("|", "/"))):
            totals[key][0] += end - start
            totals[key][1] += 1
    print(f"{len(rows)} activities in {span / 1e6:.2f} ms, {span / 1e6 / args.calls:.3f} ms a call; "
          f"busy {100 * busy / span:.1f} %; {len(gaps)} gaps, the longest "
          f"{max(gaps, default=0) / 1e3:.1f} µs.\n")
    print(table("kind", kinds, args.calls, span, len(kinds)))
    print()
    print(table("kernel", kernels, args.calls, span, args.kernels))


if __name__ == "__main__":
    main()
