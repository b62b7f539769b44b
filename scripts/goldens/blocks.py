"""The building blocks of UNets: every kind of residual, attention, down, mid and up block.

Weights are not stored: both sides compute them from the parameter's name (`fill`, and
tests/nn/reference_weights.h), so the files hold inputs and outputs only.
"""
import numpy as np
import torch
from diffusers.models import resnet
from diffusers.models.attention import BasicTransformerBlock, FeedForward
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets import unet_2d_blocks as blocks
from diffusers.models.upsampling import Upsample2D

from .common import randn, save

MASK = (1 << 64) - 1


def fnv1a(text: str) -> int:
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(name: str, count: int) -> np.ndarray:
    """splitmix64 from the hash of `name`, as doubles in [-1, 1)."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = np.uint64(fnv1a(name)) + steps
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def fill(module: torch.nn.Module) -> torch.nn.Module:
    """Weights of variance 1/fan_in, norm scales around 1, biases around 0; all by name."""
    with torch.no_grad():
        for name, p in module.named_parameters():
            values = uniform(name, p.numel())
            if p.ndim > 1:
                values = values * np.sqrt(3.0 / p[0].numel())
            elif "norm" in name and name.endswith("weight"):
                values = 1.0 + 0.3 * values
            else:
                values = 0.2 * values
            p.copy_(torch.from_numpy(values.astype(np.float32)).view(p.shape))
    return module.eval()


def listing_hash(module: torch.nn.Module) -> str:
    """A hash of all parameters' names and shapes, sorted by name."""
    lines = sorted(f"{n} {'x'.join(map(str, p.shape))}\n" for n, p in module.named_parameters())
    return f"{fnv1a(''.join(lines)):016x}"


class Recorder:
    def __init__(self) -> None:
        self.tensors = {
            "x32": randn(2, 32, 8, 6, seed=1),
            "x64": randn(2, 64, 5, 7, seed=2),
            "tokens": randn(2, 20, 32, seed=3),
            "temb": randn(2, 48, seed=4),
            "context": randn(2, 7, 24, seed=5),
            "skip32": randn(2, 32, 5, 7, seed=6),
            "skip64": randn(2, 64, 5, 7, seed=7),
        }
        self.metadata: dict[str, str] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    @torch.no_grad()
    def run(self, case: str, module: torch.nn.Module, *args, **kwargs) -> None:
        """Stores the last tensor of the output; all of them for a down block."""
        out = fill(module)(*args, **kwargs)
        self.metadata[f"{case}.listing"] = listing_hash(module)
        if isinstance(out, tuple) and isinstance(out[-1], tuple):
            for i, state in enumerate(out[1]):
                self.tensors[f"{case}.{i}"] = state
        else:
            self.tensors[case] = out[0] if isinstance(out, tuple) else out


def make_resnets(r: Recorder) -> None:
    def block(**kwargs):
        return resnet.ResnetBlock2D(in_channels=32, groups=8, temb_channels=48, **kwargs)

    r.run("resnet", block(), r["x32"], r["temb"])
    r.run("resnet_shortcut", block(out_channels=64), r["x32"], r["temb"])
    r.run("resnet_scale_shift", block(time_embedding_norm="scale_shift"), r["x32"], r["temb"])
    r.run("resnet_skip_time_act", block(skip_time_act=True), r["x32"], r["temb"])
    r.run("resnet_output_scale", block(output_scale_factor=1.5), r["x32"], r["temb"])
    r.run("resnet_up", block(up=True), r["x32"], r["temb"])
    r.run("resnet_down", block(down=True, non_linearity="gelu"), r["x32"], r["temb"])
    no_temb = resnet.ResnetBlock2D(in_channels=32, groups=8, temb_channels=None)
    r.run("resnet_no_temb", no_temb, r["x32"], None)
    down = {"use_conv": True, "name": "op"}
    r.run("downsample", Downsample2D(32, out_channels=16, padding=1, **down), r["x32"])
    r.run("downsample_odd", Downsample2D(64, padding=1, **down), r["x64"])
    r.run("downsample_pad0", Downsample2D(32, padding=0, **down), r["x32"])
    r.run("downsample_mean", Downsample2D(32, use_conv=False), r["x32"])
    r.run("upsample", Upsample2D(32, use_conv=True, out_channels=16), r["x32"])
    r.run("upsample_plain", Upsample2D(32), r["x32"])
    r.run("upsample_size", Upsample2D(32, use_conv=True), r["x32"], (15, 11))


def make_transformers(r: Recorder) -> None:
    r.run("attention_self", Attention(32, heads=4, dim_head=8), r["tokens"])
    cross = {"cross_attention_dim": 24, "heads": 2, "dim_head": 20}
    r.run("attention_cross", Attention(32, **cross), r["tokens"], r["context"])
    image = {"bias": True, "norm_num_groups": 8, "eps": 1e-6, "residual_connection": True}
    full = Attention(32, heads=1, dim_head=32, rescale_output_factor=1.25, **image)
    r.run("attention_image", full, r["x32"])
    normed = Attention(32, heads=4, dim_head=8, bias=True, norm_num_groups=8)
    r.run("attention_norm_tokens", normed, r["tokens"])
    r.run("feed_forward", FeedForward(32, activation_fn="geglu"), r["tokens"])
    for case, only_cross in (("transformer_block", False), ("transformer_block_only_cross", True)):
        block = BasicTransformerBlock(
            32, 4, 8, cross_attention_dim=24, only_cross_attention=only_cross
        )
        r.run(case, block, r["tokens"], encoder_hidden_states=r["context"])
    for case, linear in (("transformer_conv", False), ("transformer_linear", True)):
        model = Transformer2DModel(
            4, 8, in_channels=32, num_layers=2, cross_attention_dim=24, norm_num_groups=8,
            use_linear_projection=linear,
        )
        r.run(case, model, r["x32"], r["context"], return_dict=False)


def make_embeddings(r: Recorder) -> None:
    r.tensors["timesteps"] = torch.tensor([0.0, 1.0, 999.0, 0.5, 123.456, 981.25])
    for dim, flip, shift in ((32, True, 0), (32, False, 1), (33, True, 0)):
        case = f"sinusoid_{dim}_{int(flip)}_{shift}"
        r.tensors[case] = get_timestep_embedding(r["timesteps"], dim, flip, shift)
    r.tensors["condition"] = randn(2, 12, seed=8)
    r.run("timestep_embedding", TimestepEmbedding(48, 32), r["temb"])
    conditioned = TimestepEmbedding(48, 32, act_fn="gelu", post_act_fn="silu", cond_proj_dim=12)
    r.run("timestep_embedding_condition", conditioned, r["temb"], r["condition"])


def make_unet_blocks(r: Recorder) -> None:
    common = {"temb_channels": 48, "resnet_groups": 8}
    cross = {"num_attention_heads": 4, "cross_attention_dim": 24}
    context = {"encoder_hidden_states": r["context"]}
    down = {"in_channels": 32, "out_channels": 64, "num_layers": 2, **common}
    r.run("down", blocks.DownBlock2D(**down), r["x32"], r["temb"])
    r.run("down_attn", blocks.AttnDownBlock2D(attention_head_dim=16, **down), r["x32"], r["temb"])
    crossed = blocks.CrossAttnDownBlock2D(
        transformer_layers_per_block=2, downsample_padding=0, **cross, **down
    )
    r.run("down_cross", crossed, r["x32"], r["temb"], **context)
    last = blocks.DownBlock2D(add_downsample=False, **down)
    r.run("down_last", last, r["x32"], r["temb"])

    mid = {"in_channels": 64, "output_scale_factor": 1.5, **common}
    bare = blocks.UNetMidBlock2D(num_layers=0, add_attention=False, **mid)
    r.run("mid", bare, r["x64"], r["temb"])
    r.run("mid_attn", blocks.UNetMidBlock2D(attention_head_dim=16, **mid), r["x64"], r["temb"])
    no_norm = blocks.UNetMidBlock2D(
        attention_head_dim=64, resnet_time_scale_shift="scale_shift", **mid
    )
    r.run("mid_attn_no_norm", no_norm, r["x64"], r["temb"])
    crossed = blocks.UNetMidBlock2DCrossAttn(use_linear_projection=True, **cross, **mid)
    r.run("mid_cross", crossed, r["x64"], r["temb"], **context)

    up = {"in_channels": 32, "out_channels": 64, "prev_output_channel": 64, "num_layers": 2,
          **common}
    skips = (r["skip32"], r["skip64"])
    r.run("up", blocks.UpBlock2D(**up), r["x64"], skips, r["temb"], upsample_size=(9, 13))
    r.run("up_attn", blocks.AttnUpBlock2D(attention_head_dim=16, **up), r["x64"], skips, r["temb"])
    crossed = blocks.CrossAttnUpBlock2D(only_cross_attention=True, **cross, **up)
    r.run("up_cross", crossed, r["x64"], skips, r["temb"], **context)


def make() -> None:
    r = Recorder()
    make_resnets(r)
    make_transformers(r)
    make_embeddings(r)
    make_unet_blocks(r)
    save("blocks", r.tensors, **r.metadata)
