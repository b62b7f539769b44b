"""Whole UNet2DModels: tiny ones of the unconditional latent-diffusion kinds.

Weights are computed from parameter names, as in `blocks`.
"""
import torch
from diffusers import UNet2DModel

from .blocks import fill, listing_hash
from .common import randn, save

TINY = {
    "block_out_channels": (16, 32, 32),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 8,
}

RESNET_SAMPLERS = {
    "down_block_types": ("AttnDownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("ResnetUpsampleBlock2D", "AttnUpBlock2D", "AttnUpBlock2D"),
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
}

CASES = {
    "celeba": {"layers_per_block": 2},
    "churches": {**RESNET_SAMPLERS, "in_channels": 4, "out_channels": 4,
                 "attn_norm_num_groups": 8},
    "scale_shift": RESNET_SAMPLERS,
    "resnet_blocks": {
        "down_block_types": ("ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"),
        "add_attention": False,
        "out_channels": 6,
    },
    "one_head": {"attention_head_dim": None, "downsample_padding": 0},
    "classes": {"num_class_embeds": 11},
    "class_timestep": {"class_embed_type": "timestep"},
    "other_fields": {
        "mid_block_scale_factor": 2.0,
        "act_fn": "gelu",
        "center_input_sample": True,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-3,
        "time_embedding_dim": 40,
    },
    "no_mid_block": {"mid_block_type": None},
}
HEADS = 4  # at every level of "churches", as the original has 8: diffusers has no field for that


def set_heads(model: UNet2DModel) -> None:
    for name, module in model.named_modules():
        if name.split(".")[-2:-1] == ["attentions"]:
            module.heads = HEADS


@torch.no_grad()
def make() -> None:
    tensors = {
        "sample_3": randn(2, 3, 8, 12, seed=1),
        "sample_4": randn(2, 4, 8, 12, seed=2),
        "timestep": torch.tensor(981.0),
        "timesteps": torch.tensor([1.0, 500.25]),
        "class_labels": torch.tensor([3, 10]),
    }
    metadata = {}
    for case, fields in CASES.items():
        model = fill(UNet2DModel(**{**TINY, **fields}))
        metadata[f"{case}.listing"] = listing_hash(model)
        if case == "churches":
            set_heads(model)
        extra = {}
        if model.class_embedding is not None:
            extra["class_labels"] = tensors["class_labels"]
        for timestep in ("timestep", "timesteps"):
            sample = tensors[f"sample_{model.config.in_channels}"]
            tensors[f"{case}.{timestep}"] = model(sample, tensors[timestep], **extra).sample
    save("unet2d", tensors, **metadata)
