"""Whole UNet2DConditionModels: tiny ones run, full-size ones listed.

Weights are computed from parameter names, as in `blocks`.
"""
import torch
from diffusers import UNet2DConditionModel

from .blocks import fill, listing_hash
from .common import randn, save

TINY = {
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 24,
    "attention_head_dim": 4,
}

CASES = {
    "sd1": {"layers_per_block": 2},
    "sd2": {
        "use_linear_projection": True,
        "attention_head_dim": [2, 4, 8],
        "upcast_attention": True,
        "norm_num_groups": 32,
    },
    "inpainting": {"in_channels": 9},
    "depth": {"in_channels": 5, "use_linear_projection": True, "attention_head_dim": [2, 4, 8]},
    "upscaler": {
        "in_channels": 7,
        "num_class_embeds": 11,
        "only_cross_attention": [True, False, False],
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "use_linear_projection": True,
    },
    "class_timestep": {"class_embed_type": "timestep"},
    "only_cross_attention": {"only_cross_attention": True, "out_channels": 8},
    "scale_shift": {"resnet_time_scale_shift": "scale_shift"},
    "lists": {
        "layers_per_block": [1, 2, 1],
        "transformer_layers_per_block": [1, 2, 3],
        "cross_attention_dim": [24, 24, 24],
    },
    "lcm": {"time_cond_proj_dim": 12},
    "self_attention": {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": [8, 16, 32],
    },
    "no_mid_block": {"mid_block_type": None},
    "other_fields": {
        "mid_block_type": "UNetMidBlock2D",
        "mid_block_scale_factor": 2.0,
        "act_fn": "gelu",
        "conv_in_kernel": 1,
        "conv_out_kernel": 5,
        "center_input_sample": True,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "downsample_padding": 0,
        "norm_eps": 1e-3,
        "time_embedding_dim": 40,
        "time_embedding_act_fn": "silu",
        "timestep_post_act": "gelu",
    },
}

FULL_SIZE = {
    "sd15": {"cross_attention_dim": 768},
    "sd21": {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
    },
    "sd15_inpainting": {"cross_attention_dim": 768, "in_channels": 9},
    "sd2_depth": {
        "cross_attention_dim": 1024,
        "attention_head_dim": [5, 10, 20, 20],
        "use_linear_projection": True,
        "in_channels": 5,
    },
    "x4_upscaler": {
        "in_channels": 7,
        "block_out_channels": (256, 512, 512, 1024),
        "cross_attention_dim": 1024,
        "down_block_types": ("DownBlock2D",) + ("CrossAttnDownBlock2D",) * 3,
        "up_block_types": ("CrossAttnUpBlock2D",) * 3 + ("UpBlock2D",),
        "num_class_embeds": 1000,
        "only_cross_attention": [True, True, True, False],
        "use_linear_projection": True,
    },
}


def sample_of(tensors: dict[str, torch.Tensor], channels: int, size: str) -> torch.Tensor:
    height, width = map(int, size.split("x"))
    name = f"sample_{channels}_{size}"
    if name not in tensors:
        tensors[name] = randn(2, channels, height, width, seed=100 + channels)
    return tensors[name]


@torch.no_grad()
def make() -> None:
    tensors = {
        "context": randn(2, 7, 24, seed=1),
        "timestep": torch.tensor(981.0),
        "timesteps": torch.tensor([1.0, 500.25]),
        "class_labels": torch.tensor([3, 10]),
        "timestep_cond": randn(2, 12, seed=2),
    }
    metadata = {}
    for case, fields in CASES.items():
        model = fill(UNet2DConditionModel(**{**TINY, **fields}))
        metadata[f"{case}.listing"] = listing_hash(model)
        extra = {}
        if "num_class_embeds" in fields or "class_embed_type" in fields:
            extra["class_labels"] = tensors["class_labels"]
        if "time_cond_proj_dim" in fields:
            extra["timestep_cond"] = tensors["timestep_cond"]
        for size in ("8x12", "9x13") if case != "self_attention" else ("8x12",):
            for timestep in ("timestep", "timesteps"):
                sample = sample_of(tensors, model.config.in_channels, size)
                out = model(sample, tensors[timestep], tensors["context"], **extra).sample
                tensors[f"{case}.{size}.{timestep}"] = out
    for name, fields in FULL_SIZE.items():
        with torch.device("meta"):
            model = UNet2DConditionModel(**fields)
        metadata[f"{name}.listing"] = listing_hash(model)
        metadata[f"{name}.parameters"] = str(sum(p.numel() for p in model.parameters()))
    print("  ", {k: v for k, v in metadata.items() if k.endswith("parameters")})
    save("unet", tensors, **metadata)
