"""Second passes at twice the size: the public text-to-image pipeline on runs/, its latents or its
picture enlarged, then the public image-to-image pipeline with a generator of the same seed."""
import json

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image

from . import common, runs

BASE = {"prompt": "a red apple", "negative_prompt": "ugly", "steps": 6, "guidance_scale": 5.0,
        "seed": 7, "hires_scale": 2.0, "hires_strength": 0.7}
CASES = {
    "latent": BASE,
    "image": {**BASE, "by_image": True},
    "odd_scale": {**BASE, "hires_scale": 1.3, "hires_strength": 0.5},
    "steps": {**BASE, "hires_steps": 4},
    "sampler_euler-a": {**BASE, "sampler": "euler-a"},
    "sampler_dpmpp-2m": {**BASE, "sampler": "dpmpp-2m", "hires_strength": 0.5},
}


def run(case: dict) -> tuple[torch.Tensor, torch.Tensor]:
    parts = runs.open_parts(runs.ROOT / "sd1")
    if sampler := case.get("sampler"):
        config = json.loads((runs.ROOT / "sd1" / "scheduler" / "scheduler_config.json").read_text())
        parts["scheduler"] = runs.SAMPLERS[sampler].from_config(config)
    asked = {key: case[key] for key in ("prompt", "negative_prompt", "guidance_scale")}
    pipe = StableDiffusionPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    first = pipe(**asked, num_inference_steps=case["steps"], height=64, width=64, output_type="latent",
                 generator=common.generator(case["seed"])).images
    side = int(64 * case["hires_scale"]) // 8 * 8
    if case.get("by_image"):
        with torch.no_grad():
            decoded = pipe.vae.decode(first / pipe.vae.config.scaling_factor).sample
        image = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
        start = image.resize((side, side), Image.LANCZOS)
    else:
        start = torch.nn.functional.interpolate(first, size=(side // 8, side // 8), mode="bilinear")
    second = StableDiffusionImg2ImgPipeline(**parts)
    second.set_progress_bar_config(disable=True)
    last = second(**asked, image=start, strength=case["hires_strength"], output_type="latent",
                  num_inference_steps=case.get("hires_steps") or case["steps"],
                  generator=common.generator(case["seed"])).images
    return first, last


def make() -> None:
    tensors, described = {}, {}
    for name, case in CASES.items():
        first, tensors[f"{name}.latents"] = run(case)
        if name == "latent":
            tensors["first.latents"] = first
        described[f"case.{name}"] = json.dumps(case)
    common.save("hires", tensors, **described)
