"""Runs of the public pipelines whose UNet reads more than noisy latents: inpainting, picture editing,
depth, upscaling. The models are runs/sd1 with another first convolution (and a noise-level table),
which is all that is stored of them."""
import json

import numpy as np
import torch
from diffusers import (
    StableDiffusionDepth2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionUpscalePipeline,
    DDPMScheduler,
    UNet2DConditionModel,
)
from PIL import Image

from . import common, runs

SIDE = 64
LEVELS = 40
LOW_RES = {"_class_name": "DDPMScheduler", "beta_start": 0.0001, "beta_end": 0.02,
           "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "clip_sample": True}
# kind: channels beside the latents, pipeline, arguments of it, the same for ldm-gen
KINDS = {
    "inpaint": (5, StableDiffusionInpaintPipeline, {"strength": 1.0}, {}),
    "inpaint_part": (5, StableDiffusionInpaintPipeline, {"strength": 0.7}, {"strength": 0.7}),
    "pix2pix": (4, StableDiffusionInstructPix2PixPipeline, {"image_guidance_scale": 1.3},
                {"image_guidance_scale": 1.3}),
    "depth": (1, StableDiffusionDepth2ImgPipeline, {"strength": 0.8}, {"strength": 0.8}),
    "upscale": (3, StableDiffusionUpscalePipeline, {"noise_level": 30}, {"noise_level": 30}),
}


def mask() -> Image.Image:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[10:40, 20:] = 255
    pixels[:, 50:] = (200, 30, 90)  # grey values on both sides of a half
    return Image.fromarray(pixels)


def depth() -> Image.Image:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return Image.fromarray(np.stack([(x + 2 * y) % 200] * 3, -1).astype(np.uint8))


def make_unet(parts: dict, channels: int, seed: int) -> tuple[UNet2DConditionModel, dict]:
    config = dict(parts["unet"].config)
    config["in_channels"] = 4 + channels
    if channels == 3:
        config["num_class_embeds"] = LEVELS
    unet = UNet2DConditionModel.from_config(config)
    weights = dict(parts["unet"].state_dict())
    stored = {"conv_in.weight": common.randn(*unet.conv_in.weight.shape, seed=seed) * 0.2}
    if channels == 3:
        stored["class_embedding.weight"] = common.randn(*unet.class_embedding.weight.shape, seed=seed)
    stored = {k: v.half() for k, v in stored.items()}
    weights.update({k: v.float() for k, v in stored.items()})
    unet.load_state_dict(weights)
    return unet.eval(), stored


def run(kind: str, parts: dict, unet: UNet2DConditionModel) -> tuple[torch.Tensor, torch.Tensor]:
    _, pipeline_class, arguments, _ = KINDS[kind]
    arguments = dict(arguments)
    own = {k: v for k, v in parts.items() if k not in ("feature_extractor", "safety_checker",
                                                       "requires_safety_checker", "unet")}
    if pipeline_class is StableDiffusionDepth2ImgPipeline:
        own.update(depth_estimator=None, feature_extractor=None)
        grey = np.asarray(depth().convert("L")).astype(np.float32)
        arguments["depth_map"] = torch.from_numpy(grey)[None]
    elif pipeline_class is StableDiffusionUpscalePipeline:
        own["low_res_scheduler"] = DDPMScheduler.from_config(LOW_RES)
    else:
        own.update(safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    if pipeline_class is StableDiffusionInpaintPipeline:
        arguments.update(mask_image=mask(), width=SIDE, height=SIDE)
    side = SIDE // 8 if kind == "upscale" else SIDE
    pipe = pipeline_class(**own, unet=unet)
    pipe.set_progress_bar_config(disable=True)
    latents = pipe(prompt="a red apple", negative_prompt="ugly", image=runs.picture(side, side),
                   num_inference_steps=6, guidance_scale=5.0, generator=common.generator(7),
                   output_type="latent", **arguments).images
    with torch.no_grad():
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    pictures = pipe.image_processor.postprocess(decoded, output_type="pil")
    if pipeline_class is StableDiffusionInpaintPipeline:
        # ldm-gen puts the kept pixels back.
        pictures = [Image.composite(p, runs.picture(SIDE, SIDE), mask().convert("L")) for p in pictures]
    return latents, torch.from_numpy(np.stack([np.asarray(p) for p in pictures]))


def make() -> None:
    parts = runs.open_parts(runs.ROOT / "sd1")
    tensors, described = {}, {}
    for seed, (kind, (channels, pipeline_class, _, request)) in enumerate(KINDS.items()):
        unet, stored = make_unet(parts, channels, 300 + seed)
        latents, pictures = run(kind, parts, unet)
        side = SIDE // 8 if kind == "upscale" else SIDE
        tensors.update({f"{kind}.{name}": value for name, value in stored.items()})
        tensors.update({f"{kind}.latents": latents, f"{kind}.images": pictures,
                        f"{kind}.init_image": torch.from_numpy(np.array(runs.picture(side, side)))})
        if channels == 5:
            tensors[f"{kind}.mask"] = torch.from_numpy(np.asarray(mask()))
        if channels == 1:
            tensors[f"{kind}.depth"] = torch.from_numpy(np.asarray(depth()))
        described[f"case.{kind}"] = json.dumps({"pipeline": pipeline_class.__name__, **request})
    described["low_res_scheduler"] = json.dumps(LOW_RES)
    common.save("conditions", tensors, **described)
