#!/usr/bin/env python3
"""Times ldm-gen against diffusers and OpenVINO, alternately, round by round, in one run.

Every measurement is a fresh process. A step is one UNet call on the guided batch of two with
guidance and scheduler; decode is one picture; "first step" is from the start of the process to the
beginning of the first UNet call; peak RSS is the kernel's figure for the whole process. Before each
one the machine's own speed is probed (oneDNN convolution, packed NHWC weights, 320 to 320 channels,
64 x 64, batch 2), so that a disturbed run shows. Prints a Markdown table of medians and ratios.

Run it with the reference Python (scripts/reference.sh), nothing else running:

    .deps/reference/bin/python scripts/bench_peers.py --model /tmp/sd15 --out bench.md

Peers: ldm-gen-DTYPE, ldm-gen-DTYPE-fast (--fast), diffusers-DTYPE, diffusers-DTYPE-channels_last,
diffusers-DTYPE-compiled (torch.compile of the UNet, channels_last), openvino-DTYPE (fp32, bf16,
fp16), sdcpp-f16 (stable-diffusion.cpp's program, see --sd-cpp). Any two may be compared; ratios are
ldm-gen of the same dtype over the peer, for sdcpp-f16 ldm-gen in bf16.

With --device cuda a step is the mean of a run after a whole one of the same sizes, images/s counts
text, steps and decode of full batches once everything is loaded, and GPU memory is what the
caching allocator held at most:

    python3 scripts/bench_peers.py --device cuda --model /tmp/sd15 --steps 50 --batch 1 --rounds 1 \
      --peers ldm-gen-fp16,diffusers-fp16,diffusers-fp16-compiled
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPT = "a photograph of an astronaut riding a horse"
GUIDANCE = 7.5
DEFAULT_PEERS = ("ldm-gen-bf16,diffusers-bf16-channels_last,diffusers-bf16,openvino-bf16,"
                 "ldm-gen-fp32,diffusers-fp32,openvino-fp32")
FIGURES = (("unet_step_s", "UNet step (s)"), ("decode_s", "decode (s)"),
           ("start_to_first_step_s", "first step after (s)"), ("total_s", "total (s)"),
           ("peak_rss_gib", "peak RSS (GiB)"))
CUDA_FIGURES = (("unet_step_s", "UNet step (s)"), ("images_per_s", "images/s"),
                ("decode_s", "decode (s)"), ("start_to_first_step_s", "first step after (s)"),
                ("total_s", "first picture after (s)"), ("peak_gpu_gib", "GPU memory (GiB)"))


# --- workers: each runs in a process of its own and prints one JSON line -------------------------

def finish(started, first, ends, decode_s):
    """The figures of one run; ends[k] is when step k ended."""
    later = [b - a for a, b in zip(ends, ends[1:])] or [ends[0] - first]
    print(json.dumps({"unet_step_s": statistics.median(later), "decode_s": decode_s,
                      "start_to_first_step_s": first - started,
                      "total_s": time.time() - started}))


def torch_dtype(name):
    import torch
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def load_diffusers(args, dtype, layout):
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    torch.set_num_threads(args.threads)
    pipe = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=torch_dtype(dtype))
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(args.device)
    if layout in ("channels_last", "compiled"):
        pipe.unet.to(memory_format=torch.channels_last)
        pipe.vae.to(memory_format=torch.channels_last)
    if layout == "compiled":
        pipe.unet = torch.compile(pipe.unet, mode=args.compile_mode, fullgraph=True)
    return pipe


def work_diffusers_cuda(args, dtype, layout):
    """Two whole runs: of the first, what a user waits for; of the second, the steady figures."""
    import torch

    pipe = load_diffusers(args, dtype, layout)
    marks = {}

    def mark(name):
        torch.cuda.synchronize()
        marks.setdefault(name, time.time())

    def after_step(pipeline, step, timestep, values):
        if step + 1 in (1, args.steps):
            mark(f"step {step + 1}")
        return values

    def run():
        marks.clear()
        mark("start")
        pipe([PROMPT] * args.batch, num_inference_steps=args.steps, guidance_scale=GUIDANCE,
             width=args.size, height=args.size, output_type="pt",
             generator=torch.Generator().manual_seed(0), callback_on_step_end=after_step)
        mark("end")

    handle = pipe.unet.register_forward_pre_hook(lambda module, inputs: mark("unet"))
    run()
    handle.remove()
    first_step, total = marks["unet"] - args.started, marks["end"] - args.started
    if args.flag:
        print("ready", file=sys.stderr, flush=True)
        while not args.flag.exists():
            time.sleep(0.1)
    run()
    run()
    print(json.dumps({
        "unet_step_s": (marks[f"step {args.steps}"] - marks["step 1"]) / (args.steps - 1),
        "images_per_s": args.batch / (marks["end"] - marks["start"]),
        "decode_s": (marks["end"] - marks[f"step {args.steps}"]) / args.batch,
        "start_to_first_step_s": first_step, "total_s": total,
        "peak_gpu_gib": torch.cuda.max_memory_reserved() / 2**30}))


def work_diffusers(args, dtype, layout):
    import torch

    if args.device != "cpu":
        return work_diffusers_cuda(args, dtype, layout)
    pipe = load_diffusers(args, dtype, layout)
    first, ends = [], []

    def before_unet(module, inputs):
        if not first:
            first.append(time.time())

    def after_step(pipeline, step, timestep, values):
        ends.append(time.time())
        return values

    pipe.unet.register_forward_pre_hook(before_unet)
    latents = pipe(PROMPT, num_inference_steps=args.steps, guidance_scale=GUIDANCE,
                   width=args.size, height=args.size, output_type="latent",
                   generator=torch.Generator().manual_seed(0),
                   callback_on_step_end=after_step).images
    start = time.time()
    with torch.no_grad():
        pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    finish(args.started, first[0], ends, time.time() - start)


def export_openvino(args, folder):
    """Converts the diffusers model once, with static shapes; not part of any measured time."""
    import openvino
    import torch
    from diffusers import StableDiffusionPipeline

    class Unet(torch.nn.Module):
        def __init__(self, unet):
            super().__init__()
            self.unet = unet

        def forward(self, sample, timestep, context):
            return self.unet(sample, timestep, encoder_hidden_states=context).sample

    class Decoder(torch.nn.Module):
        def __init__(self, vae):
            super().__init__()
            self.vae = vae

        def forward(self, latents):
            return self.vae.decode(latents).sample

    class Text(torch.nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, ids):
            return self.encoder(ids)[0]

    pipe = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    ids = pipe.tokenizer(["", PROMPT], padding="max_length", max_length=77, truncation=True,
                         return_tensors="pt").input_ids
    side, channels = args.size // 8, pipe.unet.config.in_channels
    context = torch.zeros(2, 77, pipe.unet.config.cross_attention_dim)
    parts = {
        "text_encoder": (Text(pipe.text_encoder), (ids,)),
        "unet": (Unet(pipe.unet), (torch.zeros(2, channels, side, side), torch.tensor(1.0), context)),
        "decoder": (Decoder(pipe.vae), (torch.zeros(1, 4, side, side),)),
    }
    folder.mkdir(parents=True)
    with torch.no_grad():
        for name, (module, example) in parts.items():
            shapes = [tuple(tensor.shape) for tensor in example]
            model = openvino.convert_model(module.eval(), example_input=example, input=shapes)
            openvino.save_model(model, folder / f"{name}.xml", compress_to_fp16=True)
            print(f"  exported {name}", file=sys.stderr, flush=True)
    (folder / "ids.json").write_text(json.dumps(ids.tolist()))


def alphas_cumprod(model):
    import numpy
    config = json.loads((model / "scheduler" / "scheduler_config.json").read_text())
    betas = numpy.linspace(config["beta_start"] ** 0.5, config["beta_end"] ** 0.5,
                           config["num_train_timesteps"]) ** 2
    return numpy.cumprod(1 - betas)


def work_openvino(args, dtype, _):
    import numpy
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}[dtype]})

    def load(name):
        return core.compile_model(args.openvino / f"{name}.xml", "CPU")

    ids = numpy.array(json.loads((args.openvino / "ids.json").read_text()), numpy.int64)
    context = load("text_encoder")([ids])[0]
    unet = load("unet")
    alphas = alphas_cumprod(args.model)
    ratio = len(alphas) // args.steps
    side = args.size // 8
    x = numpy.random.default_rng(0).standard_normal((1, 4, side, side), numpy.float32)
    first, ends = time.time(), []
    for i in range(args.steps):
        t = (args.steps - 1 - i) * ratio + 1
        empty, full = unet([numpy.concatenate([x, x]), numpy.float32(t), context])[0]
        noise = empty + numpy.float32(GUIDANCE) * (full - empty)
        a, before = alphas[t], alphas[max(t - ratio, 0)]
        start = (x - (1 - a) ** 0.5 * noise) / a ** 0.5
        x = (before ** 0.5 * start + (1 - before) ** 0.5 * noise).astype(numpy.float32)
        ends.append(time.time())
    decoder = load("decoder")
    start = time.time()
    decoder([x / numpy.float32(0.18215)])
    finish(args.started, first, ends, time.time() - start)


def work_probe(args, dtype, _):
    """GFLOP/s of a packed convolution on all threads: the machine's speed at this moment."""
    import torch

    torch.set_num_threads(args.threads)
    kind = torch_dtype(dtype)
    x = torch.randn(2, 320, 64, 64).to(kind).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(320, 320, 3, 3).to(kind).to_mkldnn()
    weight = torch._C._nn.mkldnn_reorder_conv2d_weight(weight, [1, 1], [1, 1], [1, 1], 1,
                                                       list(x.shape))
    seconds = []
    with torch.inference_mode():
        for _ in range(12):
            start = time.perf_counter()
            torch.ops.mkldnn._convolution_pointwise(x, weight, None, [1, 1], [1, 1], [1, 1], 1,
                                                    "none", [], "")
            seconds.append(time.perf_counter() - start)
    flops = 2 * 2 * 64 * 64 * 320 * 320 * 9
    print(json.dumps({"gflops": flops / statistics.median(seconds[2:]) / 1e9}))


# --- the parent ---------------------------------------------------------------------------------

def run(command, args):
    """Runs one process; its stdout, seconds and peak RSS in bytes."""
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads), HF_HUB_OFFLINE="1",
                       TRANSFORMERS_OFFLINE="1", TQDM_DISABLE="1", PYTHONWARNINGS="ignore")
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment,
                                   stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise RuntimeError(f"exit {process.returncode}: {' '.join(map(str, command))}\n"
                               + err.read()[-2000:])
        return out.read(), usage.ru_maxrss * 1024


def worker(kind, args):
    command = [sys.executable, __file__, "--worker", kind, "--started", str(time.time()),
               "--model", args.model, "--steps", str(args.steps), "--size", str(args.size),
               "--threads", str(args.threads), "--device", args.device, "--batch",
               str(args.batch), "--compile-mode", args.compile_mode,
               "--openvino", args.openvino]
    out, rss = run(command, args)
    return dict(json.loads(out.strip().splitlines()[-1]), peak_rss_gib=rss / 2**30)


def run_ldm_gen(kind, images, args, folder):
    """The events of a run, and peak RSS in bytes; `kind` is a dtype, or one with "-fast"."""
    dtype, _, fast = kind.partition("-")
    command = [args.ldm_gen, "--model", args.model, "--prompt", PROMPT, "--seed", "0",
               "--steps", str(args.steps), "--guidance-scale", str(GUIDANCE),
               "--sampler", "ddim", "--width", str(args.size), "--height", str(args.size),
               "--num-images", str(images), "--batch-size", str(args.batch),
               "--device", args.device, "--dtype", dtype, "--threads", str(args.threads),
               "--output", os.path.join(folder, "out_{index}.png"), "--overwrite", "--json"]
    command += ["--fast"] if fast else []
    out, rss = run(command, args)
    return [json.loads(line) for line in out.splitlines()], rss


def measure_ldm_gen(kind, args, folder):
    events, rss = run_ldm_gen(kind, args.batch, args, folder)
    timings = events[-1]["timings"]
    figures = {key: timings[key] for key, _ in args.figures if key in timings}
    if args.device == "cpu":
        return dict(figures, peak_rss_gib=rss / 2**30)
    # The second and third batch, when everything is loaded.
    several, _ = run_ldm_gen(kind, 3 * args.batch, args, folder)
    seconds = [event["seconds"] for event in several if event["event"] == "image"]
    rate = 2 * args.batch / sum(seconds[args.batch:])
    return dict(figures, images_per_s=rate, peak_gpu_gib=timings["peak_cuda_bytes"] / 2**30)


def measure_sdcpp(args, folder):
    """stable-diffusion.cpp's command line, over one file made by ldm-convert, in f16."""
    checkpoint = args.openvino.parent / f"{args.model.name}-fp16.safetensors"
    if not checkpoint.exists():
        run([args.ldm_gen.with_name("ldm-convert"), args.model, checkpoint, "--dtype", "fp16"], args)
    started = time.time()
    out, rss = run([args.sd_cpp, "-m", checkpoint, "-p", PROMPT, "--cfg-scale", str(GUIDANCE),
                    "--sampling-method", "ddim_trailing", "--steps", str(args.steps), "-s", "0",
                    "-W", str(args.size), "-H", str(args.size), "-t", str(args.threads),
                    "-o", os.path.join(folder, "sd.png"), "-v"], args)
    total = time.time() - started

    def seconds(what):
        return float(re.search(what + r" completed, taking ([0-9.]+)s", out)[1])

    return {"unet_step_s": seconds("sampling") / args.steps, "decode_s": seconds("decode_first_stage"),
            "total_s": total, "peak_rss_gib": rss / 2**30}


def measure(peer, args, folder):
    if peer.startswith("sdcpp-"):
        return measure_sdcpp(args, folder)
    if peer.startswith("ldm-gen-"):
        return measure_ldm_gen(peer.removeprefix("ldm-gen-"), args, folder)
    return worker(peer, args)


def dtype_of(peer):
    if peer == "sdcpp-f16":
        return "bf16"  # what it is compared with
    return next(part for part in peer.split("-") if part in ("fp32", "bf16", "fp16"))


def short(value):
    return f"{value:.2f}" if value >= 0.1 else f"{value:.5f}"


def middle(values):
    """Median with the range behind it."""
    if len(values) == 1:
        return short(values[0])
    return f"{short(statistics.median(values))} ({short(min(values))}–{short(max(values))})"


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            flags = pathlib.Path("/proc/cpuinfo").read_text()
            isa = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} CPUs, {' '.join(isa)}"
    return platform.processor()


def versions(args):
    found = []
    for name in ("torch", "diffusers", "transformers", "openvino"):
        try:
            from importlib.metadata import version
            found.append(f"{name} {version(name)}")
        except ImportError:
            pass
    if args.ldm_gen.exists():
        line = subprocess.run([args.ldm_gen, "--version"], capture_output=True, text=True).stdout
        found.append(line.strip().splitlines()[0] if line.strip() else "ldm-gen")
    return ", ".join(found)


def table(results, probes, args):
    lines = [
        f"`{pathlib.Path(args.model).name}`, {args.size}×{args.size}, guidance {GUIDANCE}, DDIM "
        f"{args.steps} steps, batch {args.batch}, {args.threads} threads, device {args.device}, medians of "
        f"{args.rounds} alternating rounds (range).  ",
        f"{cpu_model()}; {platform.system()} {platform.release()}; "
        f"{datetime.date.today().isoformat()}.  ",
        f"{versions(args)}.  ",
        gpu_model() if args.device != "cpu" else "Probe (packed convolution, GFLOP/s): "
        + ", ".join(f"{dtype} {middle(values)}" for dtype, values in probes.items()) + ".",
        "",
        "| | " + " | ".join(title for _, title in args.figures) + " |",
        "| --- |" + " --- |" * len(args.figures)]
    for peer, rounds in results.items():
        cells = [middle([r[key] for r in rounds]) if rounds and all(key in r for r in rounds)
                 else "–" for key, _ in args.figures]
        lines.append(f"| {peer} | " + " | ".join(cells) + " |")
    for peer, rounds in results.items():
        ours = results.get(f"ldm-gen-{dtype_of(peer)}")
        if peer.startswith("ldm-gen") or not ours or not rounds:
            continue
        cells = []
        for key, _ in args.figures:
            both = [[r[key] for r in side if key in r] for side in (ours, rounds)]
            cells.append(f"**{statistics.median(both[0]) / statistics.median(both[1]):.2f}**"
                         if all(both) else "–")
        lines.append(f"| ldm-gen ÷ {peer} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def gpu_model():
    import torch
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                            capture_output=True, text=True).stdout.split()
    return (f"{torch.cuda.get_device_name()}, driver {driver[0] if driver else 'unknown'}, CUDA "
            f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}.")


def plot(results, path):
    from PIL import Image, ImageDraw, ImageFont

    try:
        font = ImageFont.truetype("DejaVuSans.ttf", 14)
    except OSError:
        font = ImageFont.load_default()
    figures = (FIGURES[0], FIGURES[1], FIGURES[2], FIGURES[4])
    peers = [peer for peer, rounds in results.items() if rounds]
    row, left, width = 24, 250, 320
    image = Image.new("RGB", (left + width + 80, len(figures) * (len(peers) + 2) * row), "white")
    draw = ImageDraw.Draw(image)
    y = 8
    for key, title in figures:
        draw.text((8, y), title, "black", font)
        y += row
        values = {p: statistics.median(r[key] for r in results[p]) for p in peers
                  if all(key in r for r in results[p])}
        for peer, value in values.items():
            colour = "#d9662b" if peer.startswith("ldm-gen") else "#7a8a99"
            length = int(width * value / max(values.values()))
            draw.text((24, y), peer, "black", font)
            draw.rectangle((left, y + 2, left + max(length, 1), y + row - 6), colour)
            draw.text((left + length + 6, y), f"{value:.2f}", "black", font)
            y += row
        y += row // 2
    image.crop((0, 0, image.width, y)).save(path)


def compare(args):
    peers = args.peers.split(",")
    for peer in peers:
        if peer.split("-")[0] not in ("ldm", "diffusers", "openvino", "sdcpp"):
            sys.exit(f"unknown peer '{peer}'")
        dtype_of(peer)
    export = args.openvino / f"{args.model.name}-{args.size}"
    if any(peer.startswith("openvino") for peer in peers) and not export.exists():
        print("exporting to OpenVINO (once)", file=sys.stderr, flush=True)
        unfinished = export.with_name(export.name + f".tmp-{os.getpid()}")
        worker_args = argparse.Namespace(**{**vars(args), "openvino": unfinished})
        run([sys.executable, __file__, "--worker", "export", "--model", args.model,
             "--size", str(args.size), "--openvino", unfinished], worker_args)
        unfinished.rename(export)
    args.openvino = export
    results, probes = {peer: [] for peer in peers}, {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(args.rounds):
            for peer in peers if turn % 2 == 0 else reversed(peers):
                if args.device == "cpu":
                    dtype = dtype_of(peer)
                    probes.setdefault(dtype, []).append(worker(f"probe-{dtype}", args)["gflops"])
                figures = measure(peer, args, folder)
                results[peer].append(figures)
                print(f"round {turn + 1}/{args.rounds} {peer}: "
                      + ", ".join(f"{k} {v:.2f}" for k, v in figures.items()),
                      file=sys.stderr, flush=True)
    text = table(results, probes, args)
    print(text, end="")
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    if args.plot:
        plot(results, args.plot)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="diffusers folder")
    parser.add_argument("--peers", default=DEFAULT_PEERS, help="comma-separated (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--compile-mode", default="max-autotune", help="of torch.compile")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", help="keep only the peers of this dtype")
    parser.add_argument("--ldm-gen", type=pathlib.Path,
                        default=ROOT / "build" / "release" / "bin" / "ldm-gen")
    parser.add_argument("--sd-cpp", type=pathlib.Path, metavar="PROGRAM", default="sd-cli",
                        help="stable-diffusion.cpp's program, for the peer sdcpp-f16")
    parser.add_argument("--openvino", type=pathlib.Path, metavar="DIR",
                        default=ROOT / "build" / "openvino", help="where exports are kept")
    parser.add_argument("--out", type=pathlib.Path, help="also write the table here")
    parser.add_argument("--plot", type=pathlib.Path, help="also draw the medians (PNG)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--flag", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.model = args.model.resolve()
    args.figures = FIGURES if args.device == "cpu" else CUDA_FIGURES
    if args.dtype:
        args.peers = ",".join(p for p in args.peers.split(",") if dtype_of(p) == args.dtype)
    if not args.worker:
        compare(args)
    elif args.worker == "export":
        export_openvino(args, args.openvino)
    else:
        kind = args.worker.split("-")[0]
        work = {"diffusers": work_diffusers, "openvino": work_openvino, "probe": work_probe}[kind]
        layout = args.worker.rpartition("-")[2]
        work(args, dtype_of(args.worker), layout)


if __name__ == "__main__":
    main()
