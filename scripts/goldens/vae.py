"""AutoencoderKL: its blocks, tiny random models (moments, sampling, decoding, slicing and tiling)
and the published model's keys."""
import torch
from diffusers import AutoencoderKL
from diffusers.models.attention_processor import Attention
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.models.unets.unet_2d_blocks import (
    AttnDownEncoderBlock2D,
    AttnUpDecoderBlock2D,
    DownEncoderBlock2D,
    UNetMidBlock2D,
    UpDecoderBlock2D,
)

from . import common

GROUPS = {"resnet_groups": 4, "resnet_eps": 1e-6}


def put(tensors: dict, prefix: str, module: torch.nn.Module) -> None:
    tensors |= {f"{prefix}.{name}": p for name, p in module.named_parameters()}


def record_block(tensors: dict, name: str, module: torch.nn.Module, x: torch.Tensor) -> None:
    common.randomise(module, 10 + len(tensors))
    put(tensors, f"{name}.weights", module)
    tensors[f"{name}.x"] = x
    tensors[f"{name}.out"] = module(x)


def make_blocks() -> None:
    t: dict[str, torch.Tensor] = {}
    x = common.randn(2, 8, 7, 10, seed=1)
    wide = common.randn(2, 16, 5, 6, seed=2)
    attention = Attention(16, heads=1, dim_head=16, eps=1e-6, norm_num_groups=4,
                          residual_connection=True, bias=True, _from_deprecated_attn_block=True)
    record_block(t, "attention", attention, wide)
    record_block(t, "mid", UNetMidBlock2D(16, None, attention_head_dim=16, **GROUPS), wide)
    record_block(t, "mid_plain", UNetMidBlock2D(16, None, add_attention=False, **GROUPS), wide)
    record_block(t, "down", DownEncoderBlock2D(8, 16, num_layers=2, downsample_padding=0, **GROUPS),
                 x)
    record_block(t, "down_last", DownEncoderBlock2D(8, 8, add_downsample=False, **GROUPS), x)
    record_block(t, "down_attention", AttnDownEncoderBlock2D(
        8, 16, num_layers=2, attention_head_dim=16, downsample_padding=0, **GROUPS), x)
    record_block(t, "up", UpDecoderBlock2D(16, 8, num_layers=3, **GROUPS), wide)
    record_block(t, "up_last", UpDecoderBlock2D(16, 8, add_upsample=False, **GROUPS), wide)
    record_block(t, "up_attention", AttnUpDecoderBlock2D(
        16, 8, num_layers=2, attention_head_dim=8, **GROUPS), wide)
    moments = 12 * common.randn(2, 6, 3, 4, seed=3)
    posterior = DiagonalGaussianDistribution(moments)
    t |= {"gaussian.moments": moments, "gaussian.logvar": posterior.logvar,
          "gaussian.mean": posterior.mean, "gaussian.std": posterior.std,
          "gaussian.kl": posterior.kl()}
    common.save("vae_blocks", t)


def tiny(seed: int, channels: tuple[int, ...], **fields) -> AutoencoderKL:
    levels = len(channels)
    fields = {"down_block_types": ("DownEncoderBlock2D",) * levels,
              "up_block_types": ("UpDecoderBlock2D",) * levels,
              "norm_num_groups": 4, "act_fn": "silu"} | fields
    vae = common.randomise(AutoencoderKL(block_out_channels=channels, **fields), seed)
    with torch.no_grad():
        # Small residual branches, as trained models have: rounding errors then stay small too.
        for name, p in vae.named_parameters():
            if name.endswith((".conv2.weight", ".to_out.0.weight")):
                p.mul_(0.3)
    return vae


def reference(vae: AutoencoderKL, x: torch.Tensor, z: torch.Tensor):
    """Moments of x and picture of z in float64, so that only the tested side's rounding counts."""
    vae.double()
    moments = vae.encode(x.double()).latent_dist.parameters
    decoded = vae.decode(z.double()).sample
    vae.float()
    return moments.float(), decoded.float()


def pass_through(t: dict, name: str, vae: AutoencoderKL, x: torch.Tensor, z: torch.Tensor) -> None:
    """One encode and one decode by themselves, so that errors do not hide behind each other."""
    moments, decoded = reference(vae, x, z)
    posterior = DiagonalGaussianDistribution(moments)
    t |= {f"{name}.x": x, f"{name}.z": z, f"{name}.moments": moments, f"{name}.decoded": decoded,
          f"{name}.sample": posterior.sample(common.generator(9)),
          f"{name}.noise": torch.randn(posterior.mean.shape, generator=common.generator(9))}


def tiled(t: dict, name: str, vae: AutoencoderKL, x: torch.Tensor, z: torch.Tensor) -> None:
    vae.enable_tiling()
    moments, decoded = reference(vae, x, z)
    t |= {f"{name}.x": x, f"{name}.z": z, f"{name}.moments": moments, f"{name}.decoded": decoded}
    vae.disable_tiling()


def listing(**fields) -> tuple[int, str]:
    with torch.device("meta"):
        vae = AutoencoderKL(**fields)
    lines = [f"{name} {' '.join(map(str, p.shape))}\n" for name, p in vae.named_parameters()]
    return sum(p.numel() for p in vae.parameters()), "".join(sorted(lines))


def image(batch: int, height: int, width: int, seed: int) -> torch.Tensor:
    return (0.5 * common.randn(batch, 3, height, width, seed=seed)).clamp(-1, 1)


def make_models() -> None:
    t: dict[str, torch.Tensor] = {}
    f8 = tiny(1, (8, 8, 16, 16), layers_per_block=2, sample_size=32)
    put(t, "f8.weights", f8)
    pass_through(t, "f8", f8, image(2, 64, 96, 2), common.randn(2, 4, 8, 12, seed=3))
    tiled(t, "f8_tiled", f8, image(1, 72, 104, 4), common.randn(1, 4, 9, 13, seed=5))
    tiled(t, "f8_tall", f8, image(1, 56, 24, 6), common.randn(1, 4, 7, 3, seed=7))
    f4 = tiny(2, (8, 16, 16), layers_per_block=1, latent_channels=3, sample_size=16,
              down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D",
                                "AttnDownEncoderBlock2D"),
              up_block_types=("AttnUpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"))
    put(t, "f4.weights", f4)
    pass_through(t, "f4", f4, image(1, 36, 52, 8), common.randn(1, 3, 9, 13, seed=9))
    tiled(t, "f4_tiled", f4, image(2, 44, 36, 10), common.randn(2, 3, 11, 9, seed=11))
    plain = tiny(3, (8, 16), layers_per_block=1, latent_channels=16, shift_factor=0.1159,
                 scaling_factor=0.3611, use_quant_conv=False, use_post_quant_conv=False,
                 mid_block_add_attention=False, sample_size=16)
    put(t, "plain.weights", plain)
    pass_through(t, "plain", plain, image(1, 18, 23, 12), common.randn(1, 16, 5, 7, seed=13))
    tiled(t, "plain_tiled", plain, image(1, 20, 38, 14), common.randn(1, 16, 9, 11, seed=15))
    one = tiny(4, (8,), layers_per_block=1)
    put(t, "f1.weights", one)
    pass_through(t, "f1", one, image(1, 6, 5, 16), common.randn(1, 4, 6, 5, seed=17))
    sd = listing(block_out_channels=(128, 256, 512, 512), layers_per_block=2, sample_size=512,
                 down_block_types=("DownEncoderBlock2D",) * 4,
                 up_block_types=("UpDecoderBlock2D",) * 4)
    common.save("vae", t, sd_parameters=sd[0], sd_keys=sd[1])


@torch.no_grad()
def make() -> None:
    make_blocks()
    make_models()
