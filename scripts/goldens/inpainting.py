"""Runs of the public inpainting pipeline on the ordinary models of runs/: blended latents, blurred
masks, and the finished pictures with the kept pixels put back by Pillow."""
import json

import numpy as np
import torch
from diffusers import StableDiffusionInpaintPipeline
from PIL import Image, ImageFilter

from . import common, conditions, runs

BASE = {"prompt": "a red apple", "negative_prompt": "ugly", "num_inference_steps": 6,
        "guidance_scale": 5.0, "seed": 7}


def cases() -> dict[str, dict]:
    listed = {"default": BASE, "unguided": {**BASE, "guidance_scale": 1.0},
              "blurred": {**BASE, "mask_blur": 3.5}, "inverted": {**BASE, "invert_mask": True},
              "one_step": {**BASE, "num_inference_steps": 1},
              "part": {**BASE, "strength": 0.4, "mask_blur": 2.0},
              "second_image": {**BASE, "seed": 8},
              "resized": {**BASE, "init_image": [77, 69], "width": 72, "height": 64},
              "v_prediction": {**BASE, "model": "sd2"}}
    for sampler in runs.SAMPLERS:
        listed[f"sampler_{sampler}"] = {**BASE, "sampler": sampler, "strength": 1.0}
        listed[f"part_{sampler}"] = {**BASE, "sampler": sampler, "strength": 0.7}
    return listed


def mask(size: tuple[int, int]) -> Image.Image:
    return conditions.mask().resize(size, Image.NEAREST)


def run(case: dict) -> tuple[torch.Tensor, Image.Image]:
    """Final latents and picture of one case."""
    case = dict(case)
    model = case.pop("model", "sd1")
    parts = runs.open_parts(runs.ROOT / model)
    if sampler := case.pop("sampler", None):
        config = json.loads((runs.ROOT / model / "scheduler" / "scheduler_config.json").read_text())
        parts["scheduler"] = runs.SAMPLERS[sampler].from_config(config)
    size = tuple(case.pop("init_image", (64, 64)))
    image, masking = runs.picture(*size), mask(size)
    full = (case.pop("width", 64), case.pop("height", 64))
    pipe = StableDiffusionInpaintPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    grey = masking.resize(full, Image.LANCZOS).convert("L")
    if case.pop("invert_mask", False):
        grey = Image.fromarray(255 - np.asarray(grey))
    if radius := case.pop("mask_blur", 0):
        grey = grey.filter(ImageFilter.GaussianBlur(radius))
    latents = pipe(**{k: v for k, v in case.items() if k != "seed"}, image=image, mask_image=grey,
                   width=full[0], height=full[1], generator=common.generator(case["seed"]),
                   output_type="latent").images
    with torch.no_grad():
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    painted = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
    return latents, Image.composite(painted, image.resize(full, Image.LANCZOS), grey)


def make() -> None:
    def pixels(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image).copy())

    tensors, described = {}, {}
    for name, case in cases().items():
        tensors[f"{name}.latents"], picture = run(case)
        if "sampler" not in case:
            tensors[f"{name}.image"] = pixels(picture)
        size = tuple(case.get("init_image", (64, 64)))
        tensors[f"init_image.{size[0]}"] = pixels(runs.picture(*size))
        tensors[f"mask.{size[0]}"] = pixels(mask(size))
        described[f"case.{name}"] = json.dumps(case)
    common.save("inpainting", tensors, **described)
