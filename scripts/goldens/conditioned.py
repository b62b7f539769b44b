"""The denoisers and autoencoders of configs/*.json: full-size ones listed, and run with few
channels.

Weights are computed from parameter names, as in `blocks`. The configs that were run stand in the
metadata, so that both sides read the same.
"""
import json
import pathlib

import diffusers
import torch

from .blocks import fill, listing_hash
from .common import randn, save
from .unet2d import HEADS, set_heads

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
DENOISERS = ("UNet2DConditionModel", "UNet2DModel")
# attention_head_dim, where the family's own does not divide the few channels.
FEW_HEADS = {
    "text2img256": [2, 4, 4, 8],
    "sd-depth": [2, 4, 8, 8],
    "celebahq256": 8,
    "lsun-churches256": [4, 4, 8, 8, 8],
}
# One of each kind that is run; the others differ in sizes only.
RUN = ("txt2img-large", "text2img256", "cin256", "cin256-v2", "celebahq256", "lsun-churches256",
       "sd-inpainting", "sd-depth", "sd-x4-upscaler", "instruct-pix2pix",
       "kl-f4", "kl-f8", "kl-f16", "kl-f32", "vq-f4", "vq-f8", "vq-f16")


def build(config: dict) -> torch.nn.Module:
    """diffusers' module; one head width a level, which it has no field for, is left out."""
    fields = dict(config)
    if config["_class_name"] == "UNet2DModel" and isinstance(fields["attention_head_dim"], list):
        fields["attention_head_dim"] = fields["attention_head_dim"][0]
    return getattr(diffusers, config["_class_name"]).from_config(fields)


def shrink(family: str, config: dict) -> dict:
    """The same config with few channels, codes and layers."""
    levels = len(config["block_out_channels"])
    first, second = (16, 32) if config["_class_name"] in DENOISERS else (8, 16)
    small = {**config, "block_out_channels": [first] * (levels // 2) + [second] * (levels - levels // 2),
             "norm_num_groups": 4, "layers_per_block": 1}
    if "cross_attention_dim" in config:
        small["cross_attention_dim"] = 12
    if "num_vq_embeddings" in config:
        small["num_vq_embeddings"] = 40
    if config.get("attn_norm_num_groups"):
        small["attn_norm_num_groups"] = 8
    if family in FEW_HEADS:
        small["attention_head_dim"] = FEW_HEADS[family]
    return small


def run_denoiser(t: dict, family: str, model: torch.nn.Module) -> None:
    config = model.config
    if family == "lsun-churches256":
        assert all(b // h == HEADS for b, h in zip((16, 16, 32, 32, 32), FEW_HEADS[family]))
        set_heads(model)
    side = 2 ** (len(config.block_out_channels) - 1)
    t[f"{family}.sample"] = randn(2, config.in_channels, side, side, seed=config.in_channels)
    inputs = {"sample": t[f"{family}.sample"], "timestep": t["timesteps"]}
    if config.get("cross_attention_dim"):
        inputs["encoder_hidden_states"] = t["context"]
    if config.num_class_embeds:
        inputs["class_labels"] = t["class_labels"]
    t[f"{family}.out"] = model(**inputs).sample


def run_autoencoder(t: dict, family: str, model: torch.nn.Module) -> None:
    """In float64, so that only the tested side's rounding counts."""
    config = model.config
    levels, channels = len(config.block_out_channels), config.latent_channels
    side = 16 if levels < 5 else 32
    x = (0.5 * randn(1, 3, side, side, seed=levels)).clamp(-1, 1)
    z = 0.5 * randn(1, channels, 2 if levels < 5 else 1, 1, seed=channels)
    model.double()
    encoded = model.encode(x.double())
    latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mean
    t |= {f"{family}.x": x, f"{family}.z": z, f"{family}.latents": latents.float(),
          f"{family}.decoded": model.decode(z.double()).sample.float()}


@torch.no_grad()
def make() -> None:
    tensors = {
        "context": randn(2, 7, 12, seed=1),
        "timesteps": torch.tensor([1.0, 500.25]),
        "class_labels": torch.tensor([3, 350]),
    }
    metadata = {}
    for path in sorted(CONFIGS.glob("*.json")):
        family = path.stem
        for part, config in json.loads(path.read_text(encoding="utf-8")).items():
            if part not in ("unet", "vae", "vqvae"):
                continue
            with torch.device("meta"):
                model = build(config)
            metadata[f"{family}.{part}.listing"] = listing_hash(model)
            metadata[f"{family}.{part}.parameters"] = sum(p.numel() for p in model.parameters())
            if family not in RUN or (part != "unet" and family[:2] not in ("kl", "vq")):
                continue
            small = shrink(family, config)
            metadata[f"{family}.run"] = json.dumps(small)
            is_denoiser = config["_class_name"] in DENOISERS
            run = run_denoiser if is_denoiser else run_autoencoder
            run(tensors, family, fill(build(small)))
    save("conditioned", tensors, **metadata)
