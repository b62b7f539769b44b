"""AutoencoderTiny: tiny models' latents and pictures, whole and in tiles, and TAESD's keys.

Weights are computed from parameter names, as in `blocks`.
"""
import torch
from diffusers import AutoencoderTiny

from .blocks import fill, listing_hash
from .common import randn, save

WIDTHS = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
CASES = {
    "taesd": {**WIDTHS, "num_encoder_blocks": (1, 2, 1, 1), "num_decoder_blocks": (1, 1, 2, 1)},
    "f2": {
        "encoder_block_out_channels": (6, 6),
        "decoder_block_out_channels": (10, 10),
        "num_encoder_blocks": (1, 2),
        "num_decoder_blocks": (2, 0),
        "latent_channels": 16,
        "act_fn": "gelu",
    },
}


def run(t: dict, key: str, model: AutoencoderTiny, x: torch.Tensor, z: torch.Tensor) -> None:
    """In float64, so that only the tested side's rounding counts."""
    model.double()
    t |= {f"{key}.x": x, f"{key}.z": z, f"{key}.latents": model.encode(x.double()).latents.float(),
          f"{key}.decoded": model.decode(z.double()).sample.float()}


@torch.no_grad()
def make() -> None:
    tensors: dict[str, torch.Tensor] = {}
    metadata = {}
    for i, (case, fields) in enumerate(CASES.items()):
        model = fill(AutoencoderTiny(**fields))
        metadata[f"{case}.listing"] = listing_hash(model)
        x = (0.5 * randn(2, 3, 24, 16, seed=10 + i)).clamp(-1, 1)
        run(tensors, case, model, x, 2 * randn(2, model.config.latent_channels, 3, 5, seed=20 + i))
    tiled = fill(AutoencoderTiny(**CASES["taesd"]))
    tiled.enable_tiling()
    tiled.tile_sample_min_size, tiled.tile_latent_min_size = 64, 8
    tiled.tile_overlap_factor = 0.25
    x = (0.5 * randn(1, 3, 72, 72, seed=30)).clamp(-1, 1)
    run(tensors, "tiled", tiled, x, 2 * randn(1, 4, 9, 9, seed=31))
    with torch.device("meta"):
        metadata["full_size.listing"] = listing_hash(AutoencoderTiny())
    save("taesd", tensors, **metadata)
