#!/usr/bin/env python3
"""How far ldm-gen's pictures are from diffusers' in fp32, and each program's half precision from it.

One model folder of any size, some seeds, DDIM. Prints, a row a program and dtype, the latents' root
mean square difference from diffusers' fp32 over their std, and the pictures' PSNR in dB against
diffusers' fp32 picture: medians over the seeds. ldm-gen's half precision should be no further away
than diffusers' own.

    .deps/reference/bin/python scripts/check_precision.py --model /tmp/sd15 --size 256 --steps 10

Not part of the test suite: it needs diffusers and transformers (scripts/reference.sh)."""
import argparse
import pathlib
import statistics
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPT = "a photograph of an astronaut riding a horse"
GUIDANCE = 7.5


def run_diffusers(args, dtype, seed):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=dtype,
                                                   local_files_only=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.to(args.device)
    caught = {}

    def keep(_, step, timestep, values):
        caught["latents"] = values["latents"].float().cpu()
        return values

    # Drawn in fp32 for every dtype: torch draws other numbers in bf16.
    shape = (1, pipe.unet.config.in_channels, args.size // pipe.vae_scale_factor,
             args.size // pipe.vae_scale_factor)
    noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))
    image = pipe(PROMPT, width=args.size, height=args.size, num_inference_steps=args.steps,
                 guidance_scale=GUIDANCE, latents=noise.to(dtype),
                 callback_on_step_end=keep, output_type="pil").images[0]
    return caught["latents"].numpy(), np.asarray(image, np.float64)


def run_ldm_gen(args, dtype, seed, *more):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([args.ldm_gen, "--model", args.model, "--prompt", PROMPT, "--seed", str(seed),
                        "--sampler", "ddim", "--steps", str(args.steps), "--guidance-scale",
                        str(GUIDANCE), "--width", str(args.size), "--height", str(args.size),
                        "--dtype", dtype, "--device", args.device, "--output", folder / "a.png",
                        "--save-latents", folder / "a.safetensors", "--quiet", *more],
                       check=True, stdout=subprocess.DEVNULL)
        latents = load_file(folder / "a.safetensors")["latents"].float().numpy()
        return latents, np.asarray(Image.open(folder / "a.png").convert("RGB"), np.float64)


def figures(result, reference):
    latents = np.sqrt(((result[0] - reference[0]) ** 2).mean()) / reference[0].std()
    error = ((result[1] - reference[1]) ** 2).mean()
    return latents, (10 * np.log10(255 ** 2 / error) if error else np.inf)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", default="bf16", help="comma-separated (default: %(default)s)")
    parser.add_argument("--ldm-gen", default=str(ROOT / "build/release/bin/ldm-gen"))
    args = parser.parse_args()
    # fp32 is fp32: convolutions on a GPU would otherwise round their inputs to TF32.
    torch.backends.cudnn.allow_tf32 = False
    programs = {"ldm-gen fp32": lambda seed: run_ldm_gen(args, "fp32", seed)}
    for name in args.dtypes.split(","):
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}[name]
        programs[f"ldm-gen {name}"] = lambda seed, name=name: run_ldm_gen(args, name, seed)
        if args.device == "cpu" and name == "bf16":
            programs["ldm-gen bf16 --fast"] = lambda seed: run_ldm_gen(args, "bf16", seed, "--fast")
        programs[f"diffusers {name}"] = lambda seed, dtype=dtype: run_diffusers(args, dtype, seed)
    rows = {name: [] for name in programs}
    for seed in range(args.seeds):
        reference = run_diffusers(args, torch.float32, seed)
        for name, run in programs.items():
            rows[name].append(figures(run(seed), reference))
    print(f"{args.model}, {args.device}, {args.size}x{args.size}, {args.steps} steps, {args.seeds} seeds\n")
    print("| against diffusers fp32 | latents: rms difference / std | picture: PSNR (dB) |")
    print("| --- | --- | --- |")
    for name, values in rows.items():
        print(f"| {name} | {statistics.median(v[0] for v in values):.1e} | "
              f"{statistics.median(v[1] for v in values):.1f} |")


if __name__ == "__main__":
    main()
