"""ControlNets on the tiny models of runs.py: final latents of diffusers' ControlNet pipelines, and
the edges that OpenCV finds. The ControlNets' weights are made by formula on both sides."""

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from . import common, runs, steering

BASE = {"prompt": "a red apple", "negative_prompt": "token1", "num_inference_steps": 6,
        "guidance_scale": 5.0, "seed": 21, "sampler": "ddim", "scales": [0.9]}
CASES = {
    "plain": {},
    "scaled": {"scales": [0.4], "sampler": "euler-a"},
    "share": {"control_start": 0.3, "control_end": 0.7, "sampler": "euler"},
    "two": {"scales": [0.7, 0.5], "num_images": 2},
    "unguided": {"guidance_scale": 1.0},
    "wide": {"width": 96},
    "resized": {"control_size": [80, 48]},
    "img2img": {"strength": 0.6, "sampler": "euler"},
}


def controlnet(folder, number: int) -> ControlNetModel:
    """Of the shape of the model's UNet; ControlNet `number` has weights from seed 1000·(number+1)."""
    config = dict(UNet2DConditionModel.load_config(folder / "unet"))
    unet = UNet2DConditionModel.from_config(config)
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8),
                                    load_weights_from_unet=False)
    return common.fill_by_formula(net, 1000 * (number + 1)).eval()


def run(folder, case: dict) -> torch.Tensor:
    scales = case["scales"]
    nets = [controlnet(folder, i) for i in range(len(scales))]
    parts = {**runs.open_parts(folder), "controlnet": nets if len(nets) > 1 else nets[0],
             "scheduler": steering.scheduler_of(folder, case["sampler"])}
    width = case.get("width", 64)
    control = runs.picture(*case.get("control_size", [width, 64]))
    controls = [control, control.transpose(Image.FLIP_LEFT_RIGHT)][:len(nets)]
    image = controls if len(nets) > 1 else controls[0]
    scale = scales if len(nets) > 1 else scales[0]
    number = case.get("num_images", 1)
    arguments = {k: case[k] for k in ("prompt", "negative_prompt", "num_inference_steps",
                                      "guidance_scale", "strength") if k in case}
    arguments |= {"control_guidance_start": case.get("control_start", 0.0),
                  "control_guidance_end": case.get("control_end", 1.0),
                  "controlnet_conditioning_scale": scale, "width": width, "height": 64,
                  "generator": [common.generator(case["seed"] + k) for k in range(number)],
                  "num_images_per_prompt": number, "output_type": "latent"}
    if "strength" in case:
        pipe = StableDiffusionControlNetImg2ImgPipeline(**parts)
        arguments |= {"image": runs.picture(64, 64), "control_image": image}
    else:
        pipe = StableDiffusionControlNetPipeline(**parts)
        arguments |= {"image": image}
    pipe.set_progress_bar_config(disable=True)
    return pipe(**arguments).images


def edges() -> dict[str, torch.Tensor]:
    """A picture with slopes of every direction and noise, and OpenCV's edges of it."""
    import cv2  # pip install opencv-python-headless

    y, x = np.mgrid[0:61, 0:83].astype(np.float64)
    rings = 0.5 + 0.5 * np.sin(np.hypot(x - 40, y - 28) / 2.5)
    rgb = np.stack([rings, np.round(x / 20) % 2, np.abs(np.sin((x + 2 * y) / 9))], -1) * 230
    rgb += common.randn(61, 83, 3, seed=5).numpy() * 8
    picture = np.clip(rgb.round(), 0, 255).astype(np.uint8)
    tensors = {"canny.picture": torch.from_numpy(picture)}
    for low, high in ((100, 200), (50, 400), (300, 700), (0, 0)):
        tensors[f"canny.{low}.{high}"] = torch.from_numpy(cv2.Canny(picture, low, high))
    return tensors


def make() -> None:
    tensors, described = runs.run_cases(BASE, CASES, run)
    tensors.update(edges())
    tensors["control.64"] = torch.from_numpy(np.array(runs.picture(64, 64)))
    tensors["control.96"] = torch.from_numpy(np.array(runs.picture(96, 64)))
    tensors["control.80"] = torch.from_numpy(np.array(runs.picture(80, 48)))
    common.save("controlnet", tensors, **described)
