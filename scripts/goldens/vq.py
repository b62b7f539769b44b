"""VQModel: the quantizer by itself, and tiny models' latents, codes and pictures.

Weights are computed from parameter names, as in `blocks`.
"""
import torch
from diffusers import VQModel
from diffusers.models.autoencoders.vae import VectorQuantizer

from .blocks import fill, listing_hash
from .common import randn, save

TINY = {
    "block_out_channels": (8, 16, 16),
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "num_vq_embeddings": 40,
    "sample_size": 16,
}

CASES = {
    "f4": {},
    "attention": {
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 3 + ("AttnDownEncoderBlock2D",),
        "up_block_types": ("AttnUpDecoderBlock2D",) + ("UpDecoderBlock2D",) * 3,
        "layers_per_block": 2,
        "latent_channels": 4,
        "vq_embed_dim": 2,
        "num_vq_embeddings": 57,
    },
    "no_attention": {
        "block_out_channels": (8, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "mid_block_add_attention": False,
        "latent_channels": 8,
        "lookup_from_codebook": True,
        "act_fn": "gelu",
    },
}


def check_gaps(z: torch.Tensor, codes: torch.Tensor) -> None:
    """No position so near to two codes that rounding decides between them."""
    vectors = z.permute(0, 2, 3, 1).flatten(0, 2).double()
    nearest = torch.cdist(vectors, codes.double()).topk(2, largest=False).values
    assert (nearest[:, 1] - nearest[:, 0]).min() > 1e-6, "choose another seed"


def quantize(t: dict, name: str, quantizer: VectorQuantizer, z: torch.Tensor) -> None:
    check_gaps(z, quantizer.embedding.weight)
    z_q, _, (_, _, indices) = quantizer(z)
    t[f"{name}.z"] = z
    t[f"{name}.z_q"] = z_q
    t[f"{name}.indices"] = indices.view(z.shape[0], z.shape[2], z.shape[3]).to(torch.int32)


@torch.no_grad()
def make() -> None:
    tensors: dict[str, torch.Tensor] = {}
    metadata: dict[str, str] = {}
    large = fill(VectorQuantizer(5000, 4, beta=0.25))
    quantize(tensors, "quantizer", large, 0.5 * randn(2, 4, 19, 23, seed=2))
    for i, (case, fields) in enumerate(CASES.items()):
        model = fill(VQModel(**{**TINY, **fields}))
        metadata[f"{case}.listing"] = listing_hash(model)
        channels = model.config.vq_embed_dim or model.config.latent_channels
        x = (0.5 * randn(2, 3, 16, 24, seed=10 + i)).clamp(-1, 1)
        quantize(tensors, case, model.quantize, 0.5 * randn(2, channels, 5, 3, seed=20 + i))
        # In float64, so that only the tested side's rounding counts.
        model.double()
        tensors |= {
            f"{case}.x": x,
            f"{case}.latents": model.encode(x.double()).latents.float(),
            f"{case}.decoded": model.decode(tensors[f"{case}.z"].double()).sample.float(),
        }
    save("vq", tensors, **metadata)
