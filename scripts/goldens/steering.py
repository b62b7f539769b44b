"""Guidance intervals, FreeU, DeepCache, perturbed- and self-attention guidance on the tiny models of runs.py:
final latents of diffusers' pipelines. Which calls an interval guides is asked of diffusers' own guider;
DeepCache is its authors' package on top of diffusers."""
import json

import torch
from DeepCache.extension.deepcache import DeepCacheSDHelper
from diffusers import (StableDiffusionPAGPipeline, StableDiffusionPipeline,
                       StableDiffusionSAGPipeline)
from diffusers.guiders import ClassifierFreeGuidance

from . import common, runs

BASE = {"prompt": "a red apple", "negative_prompt": "token1", "num_inference_steps": 7,
        "guidance_scale": 5.0, "seed": 11, "sampler": "euler"}
CASES = {
    "interval_middle": {"guidance_interval": [0.2, 0.8]},
    "interval_start": {"guidance_interval": [0.0, 0.5]},
    "interval_none": {"guidance_interval": [0.5, 0.5]},
    "freeu": {"freeu": [1.5, 1.6, 0.9, 0.2]},
    "freeu_wide": {"freeu": [1.1, 1.2, 0.6, 0.4], "width": 96, "height": 64, "sampler": "ddim"},
    "pag": {"pag_scale": 3.0},
    "pag_two": {"pag_scale": 2.0, "num_images": 2, "sampler": "ddim"},
    "pag_unguided": {"pag_scale": 3.0, "guidance_scale": 1.0},
    "pag_rescaled": {"pag_scale": 3.0, "guidance_rescale": 0.7},
    "pag_layers": {"pag_scale": 1.5, "pag_layers": "mid,up_blocks.1.attentions.0"},
    "deep_cache": {"deep_cache": 3},
    "deep_cache_two": {"deep_cache": 2, "num_images": 2, "sampler": "ddim"},
    "deep_cache_wide": {"deep_cache": 4, "width": 96, "height": 64, "guidance_scale": 1.0},
    "sag": {"sag_scale": 0.75, "sampler": "ddim"},
    "sag_two": {"sag_scale": 1.5, "sampler": "dpmpp-2m", "num_images": 2},
    "sag_wide": {"sag_scale": 0.75, "sampler": "pndm", "width": 96, "height": 64},
    "sag_unguided": {"sag_scale": 1.0, "sampler": "ddim", "guidance_scale": 1.0},
    "freeu_pag": {"freeu": [1.3, 1.4, 0.9, 0.2], "pag_scale": 2.0},
}


def scheduler_of(folder, sampler: str):
    config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    return runs.SAMPLERS[sampler].from_config({k: v for k, v in config.items() if k != "_class_name"})


def run_interval(pipe, case: dict) -> torch.Tensor:
    """StableDiffusionPipeline's loop, guided where the guider says."""
    guider = ClassifierFreeGuidance(guidance_scale=case["guidance_scale"],
                                    start=case["guidance_interval"][0],
                                    stop=case["guidance_interval"][1])
    text, negative = pipe.encode_prompt(case["prompt"], "cpu", 1, True, case["negative_prompt"])
    pipe.scheduler.set_timesteps(case["num_inference_steps"])
    latents = common.randn(1, 4, 8, 8, seed=case["seed"]) * pipe.scheduler.init_noise_sigma
    for k, t in enumerate(pipe.scheduler.timesteps):
        guider.set_state(step=k, num_inference_steps=case["num_inference_steps"], timestep=t)
        scaled = pipe.scheduler.scale_model_input(latents, t)
        noise = pipe.unet(scaled, t, text).sample
        if guider._is_cfg_enabled():
            uncond = pipe.unet(scaled, t, negative).sample
            noise = uncond + case["guidance_scale"] * (noise - uncond)
        latents = pipe.scheduler.step(noise, t, latents).prev_sample
    return latents


def run(folder, case: dict) -> torch.Tensor:
    parts = {**runs.open_parts(folder), "scheduler": scheduler_of(folder, case["sampler"])}
    arguments = {k: case[k] for k in ("prompt", "negative_prompt", "num_inference_steps",
                                      "guidance_scale", "guidance_rescale", "width", "height")
                 if k in case}
    number = case.get("num_images", 1)
    generators = [common.generator(case["seed"] + k) for k in range(number)]
    if "pag_scale" in case:
        layers = case.get("pag_layers", "mid").split(",")
        pipe = StableDiffusionPAGPipeline(**parts, pag_applied_layers=layers)
        arguments["pag_scale"] = case["pag_scale"]
    elif "sag_scale" in case:
        pipe = StableDiffusionSAGPipeline(**parts)
        arguments["sag_scale"] = case["sag_scale"]
    else:
        pipe = StableDiffusionPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    if "guidance_interval" in case:
        return run_interval(pipe, case)
    if "freeu" in case:
        b1, b2, s1, s2 = case["freeu"]
        pipe.enable_freeu(s1=s1, s2=s2, b1=b1, b2=b2)
    if "deep_cache" in case:
        helper = DeepCacheSDHelper(pipe=pipe)
        helper.set_params(cache_interval=case["deep_cache"], cache_branch_id=0)
        helper.enable()
    return pipe(**arguments, generator=generators, num_images_per_prompt=number,
                output_type="latent").images


def make() -> None:
    tensors, described = runs.run_cases(BASE, CASES, run)
    common.save("steering", tensors, **described)
