#!/usr/bin/env python3
"""Compares a training step of ldm-train-denoiser with the same model's step in PyTorch eager.

    bench_training.py CONFIG.json [--program PATH] [--steps 20] [--rounds 3] [--threads N]

Runs both in turns on batches of the run's size and prints the seconds a
step, medians over the rounds, and their ratio. The PyTorch side is diffusers' UNet and transformers'
text model under torch.autocast, with fused AdamW, clipping and a foreach average: what the run does.
Needs the run's data, its autoencoder, and the reference environment (scripts/reference.sh).
"""
import argparse
import copy
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

ROOT = pathlib.Path(__file__).resolve().parents[1]


def ours(config: dict, program: str, steps: int, threads: int, cache: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = copy.deepcopy(config)
        run["run"].update(output_dir=folder, steps=steps, log_every=1, checkpoint_every=10**6,
                          sample_every=0)
        run["denoising"]["cache_folder"] = cache
        path = pathlib.Path(folder) / "run.json"
        path.write_text(json.dumps(run))
        subprocess.run([program, str(path), "--quiet", "--threads", str(threads)], check=True,
                       stdout=subprocess.DEVNULL)
        entries = [json.loads(x) for x in (pathlib.Path(folder) / "log.jsonl").open()]
    rates = [run["run"]["batch_size"] / e["samples_per_second"] for e in entries[2:]]
    return statistics.median(rates)


class Eager:
    def __init__(self, config: dict):
        model = config["model"]
        text = {k: v for k, v in model["text_encoder"].items()
                if k not in ("architectures", "model_type")}
        self.text = CLIPTextModel(CLIPTextConfig(**text))
        unet = {k: v for k, v in model["unet"].items() if not k.startswith("_")}
        self.unet = UNet2DConditionModel(**unet)
        self.parameters = [*self.unet.parameters(), *self.text.parameters()]
        self.shadow = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, fused=True)
        self.batch = config["run"]["batch_size"]
        self.size, self.channels = unet["sample_size"], unet["in_channels"]
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(
            config["run"].get("mixed_precision", "no"))

    def step(self) -> float:
        start = time.perf_counter()
        x = torch.randn(self.batch, self.channels, self.size, self.size)
        target = torch.randn_like(x)
        ids = torch.randint(0, 49000, (self.batch, 77))
        t = torch.randint(0, 1000, (self.batch,))
        self.optimizer.zero_grad()
        with torch.autocast("cpu", self.dtype or torch.bfloat16, enabled=self.dtype is not None):
            y = self.unet(x, t, self.text(ids).last_hidden_state).sample
        (y.float() - target).square().mean((1, 2, 3)).mean().backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0, foreach=True)
        self.optimizer.step()
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.parameters], 0.001)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/ldm-train-denoiser"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = json.loads(pathlib.Path(options.config).read_text())
    eager = Eager(config)
    mine, theirs = [], []
    with tempfile.TemporaryDirectory() as cache:
        ours(config, options.program, 3, options.threads, cache)  # makes the cached latents
        for number in range(options.rounds):
            mine.append(ours(config, options.program, options.steps, options.threads, cache))
            theirs.append(statistics.median(eager.step() for _ in range(options.steps)))
            print(f"round {number + 1}: ldm-gen {mine[-1]:.3f} s, PyTorch {theirs[-1]:.3f} s",
                  flush=True)
    a, b = statistics.median(mine), statistics.median(theirs)
    print(f"a step of {eager.batch}: ldm-gen {a:.3f} s, PyTorch eager {b:.3f} s, {a / b:.2f} x")


if __name__ == "__main__":
    main()
