"""Seamless pictures: the public pipelines on runs/ with the padding of every convolution circular,
along both sides (torch's `padding_mode`) or along one."""
import json

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from torch.nn import functional

from . import common, runs

BASE = {"prompt": "a red apple", "num_inference_steps": 4, "guidance_scale": 5.0}
CASES = {"xy": {}, "x": {}, "y": {}, "image_xy": {"strength": 0.7}}


def wrap(module: torch.nn.Module, x: bool, y: bool) -> None:
    for conv in module.modules():
        if not isinstance(conv, torch.nn.Conv2d):
            continue
        if x and y:
            conv.padding_mode = "circular"
            continue

        def forward(data, weight, bias, conv=conv):
            height, width = conv.padding
            sides = (width, width, 0, 0) if x else (0, 0, height, height)
            rest = (height, 0) if x else (0, width)
            return functional.conv2d(functional.pad(data, sides, mode="circular"), weight, bias,
                                     conv.stride, rest)

        conv._conv_forward = forward


def make() -> None:
    tensors, described = {}, {}
    for name, more in CASES.items():
        parts = runs.open_parts(runs.ROOT / "sd1")
        axes = name.split("_")[-1]
        for part in ("unet", "vae"):
            wrap(parts[part], "x" in axes, "y" in axes)
        if more:
            pipe = StableDiffusionImg2ImgPipeline(**parts)
            more = {**more, "image": runs.picture(64, 64)}
            tensors["init_image"] = torch.from_numpy(np.array(more["image"]))
        else:
            pipe = StableDiffusionPipeline(**parts)
            more = {"height": 64, "width": 64}
        pipe.set_progress_bar_config(disable=True)
        latents = pipe(**BASE, **more, output_type="latent", generator=common.generator(7)).images
        with torch.no_grad():
            decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        picture = pipe.image_processor.postprocess(decoded, output_type="pil")[0]
        tensors[f"{name}.latents"] = latents
        tensors[f"{name}.image"] = torch.from_numpy(np.array(picture))
        described[f"case.{name}"] = json.dumps({**BASE, "tile": axes, **CASES[name]})
    common.save("tiling", tensors, **described)
