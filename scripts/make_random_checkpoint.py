#!/usr/bin/env python3
"""Writes a model folder of a published family's exact shapes with random weights.

For size, speed and memory work where the published weights are not at hand; the pictures are noise.
Layout, key names, dtypes and configs are those of the published folders (configs/FAMILY.json).
Weights are uniform with variance 1 / fan_in, so activations keep a scale near one and every
forward pass is finite. Each tensor depends on the seed and its key only. Needs numpy; tensors are
made and written in pieces, so memory stays below 100 MB.

    scripts/make_random_checkpoint.py sd15 /tmp/sd15 --dtype fp16
    build/release/bin/ldm-gen --model /tmp/sd15 --prompt "anything" --steps 2
"""
import argparse
import json
import math
import pathlib
import shutil
import sys
import zlib

try:
    import numpy
except ImportError:
    sys.exit("make_random_checkpoint: needs numpy\nhint: apt-get install python3-numpy, "
             "or the Python of scripts/reference.sh")

ROOT = pathlib.Path(__file__).resolve().parent.parent
DTYPES = {"fp32": ("F32", 4), "fp16": ("F16", 2), "bf16": ("BF16", 2)}
PIECE = 1 << 22  # elements made at a time


class Keys:
    """Collects tensor names and shapes under nested prefixes."""

    def __init__(self):
        self.shapes = {}

    def linear(self, name, inputs, outputs, bias=True):
        self.shapes[f"{name}.weight"] = (outputs, inputs)
        if bias:
            self.shapes[f"{name}.bias"] = (outputs,)

    def conv(self, name, inputs, outputs, kernel=3):
        self.shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        self.shapes[f"{name}.bias"] = (outputs,)

    def norm(self, name, channels):
        self.shapes[f"{name}.weight"] = (channels,)
        self.shapes[f"{name}.bias"] = (channels,)

    def resnet(self, name, inputs, outputs, time_dim=None):
        self.norm(f"{name}.norm1", inputs)
        self.conv(f"{name}.conv1", inputs, outputs)
        if time_dim:
            self.linear(f"{name}.time_emb_proj", time_dim, outputs)
        self.norm(f"{name}.norm2", outputs)
        self.conv(f"{name}.conv2", outputs, outputs)
        if inputs != outputs:
            self.conv(f"{name}.conv_shortcut", inputs, outputs, 1)

    def transformer(self, name, channels, context, linear_projection):
        project = self.linear if linear_projection else (lambda n, i, o: self.conv(n, i, o, 1))
        self.norm(f"{name}.norm", channels)
        project(f"{name}.proj_in", channels, channels)
        block = f"{name}.transformer_blocks.0"
        for i, source in ((1, channels), (2, context)):
            self.norm(f"{block}.norm{i}", channels)
            self.linear(f"{block}.attn{i}.to_q", channels, channels, bias=False)
            self.linear(f"{block}.attn{i}.to_k", source, channels, bias=False)
            self.linear(f"{block}.attn{i}.to_v", source, channels, bias=False)
            self.linear(f"{block}.attn{i}.to_out.0", channels, channels)
        self.norm(f"{block}.norm3", channels)
        self.linear(f"{block}.ff.net.0.proj", channels, 8 * channels)
        self.linear(f"{block}.ff.net.2", 4 * channels, channels)
        project(f"{name}.proj_out", channels, channels)

    def vae_attention(self, name, channels, published):
        self.norm(f"{name}.group_norm", channels)
        names = ("query", "key", "value", "proj_attn") if published else (
            "to_q", "to_k", "to_v", "to_out.0")
        for part in names:
            self.linear(f"{name}.{part}", channels, channels)


def unet_keys(config):
    k, widths, layers = Keys(), config["block_out_channels"], config["layers_per_block"]
    time_dim, context = 4 * widths[0], config["cross_attention_dim"]

    def transformer(name, channels):
        k.transformer(name, channels, context, config["use_linear_projection"])

    k.conv("conv_in", config["in_channels"], widths[0])
    k.linear("time_embedding.linear_1", widths[0], time_dim)
    k.linear("time_embedding.linear_2", time_dim, time_dim)
    skips, channels = [widths[0]], widths[0]
    for i, (kind, width) in enumerate(zip(config["down_block_types"], widths)):
        for j in range(layers):
            k.resnet(f"down_blocks.{i}.resnets.{j}", channels, width, time_dim)
            if "CrossAttn" in kind:
                transformer(f"down_blocks.{i}.attentions.{j}", width)
            channels = width
            skips.append(width)
        if i + 1 < len(widths):
            k.conv(f"down_blocks.{i}.downsamplers.0.conv", width, width)
            skips.append(width)
    for j in range(2):
        k.resnet(f"mid_block.resnets.{j}", channels, channels, time_dim)
    transformer("mid_block.attentions.0", channels)
    for i, (kind, width) in enumerate(zip(config["up_block_types"], reversed(widths))):
        for j in range(layers + 1):
            k.resnet(f"up_blocks.{i}.resnets.{j}", channels + skips.pop(), width, time_dim)
            if "CrossAttn" in kind:
                transformer(f"up_blocks.{i}.attentions.{j}", width)
            channels = width
        if i + 1 < len(widths):
            k.conv(f"up_blocks.{i}.upsamplers.0.conv", width, width)
    k.norm("conv_norm_out", channels)
    k.conv("conv_out", channels, config["out_channels"])
    return k.shapes


def vae_keys(config, published):
    k, widths, layers = Keys(), config["block_out_channels"], config["layers_per_block"]
    latent, last = config["latent_channels"], len(widths) - 1

    def mid(name, channels):
        k.vae_attention(f"{name}.attentions.0", channels, published)
        for j in range(2):
            k.resnet(f"{name}.resnets.{j}", channels, channels)

    k.conv("encoder.conv_in", config["in_channels"], widths[0])
    channels = widths[0]
    for i, width in enumerate(widths):
        for j in range(layers):
            k.resnet(f"encoder.down_blocks.{i}.resnets.{j}", channels, width)
            channels = width
        if i < last:
            k.conv(f"encoder.down_blocks.{i}.downsamplers.0.conv", width, width)
    mid("encoder.mid_block", channels)
    k.norm("encoder.conv_norm_out", channels)
    k.conv("encoder.conv_out", channels, 2 * latent)
    k.conv("quant_conv", 2 * latent, 2 * latent, 1)
    k.conv("post_quant_conv", latent, latent, 1)
    k.conv("decoder.conv_in", latent, channels)
    mid("decoder.mid_block", channels)
    for i, width in enumerate(reversed(widths)):
        for j in range(layers + 1):
            k.resnet(f"decoder.up_blocks.{i}.resnets.{j}", channels, width)
            channels = width
        if i < last:
            k.conv(f"decoder.up_blocks.{i}.upsamplers.0.conv", width, width)
    k.norm("decoder.conv_norm_out", channels)
    k.conv("decoder.conv_out", channels, config["out_channels"])
    return k.shapes


def text_encoder_keys(config, published):
    k, width = Keys(), config["hidden_size"]
    prefix = "text_model." if published else ""
    k.shapes[f"{prefix}embeddings.token_embedding.weight"] = (config["vocab_size"], width)
    k.shapes[f"{prefix}embeddings.position_embedding.weight"] = (
        config["max_position_embeddings"], width)
    if published:
        k.shapes[f"{prefix}embeddings.position_ids"] = (1, config["max_position_embeddings"])
    for i in range(config["num_hidden_layers"]):
        layer = f"{prefix}encoder.layers.{i}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            k.linear(f"{layer}.self_attn.{part}", width, width)
        k.norm(f"{layer}.layer_norm1", width)
        k.linear(f"{layer}.mlp.fc1", width, config["intermediate_size"])
        k.linear(f"{layer}.mlp.fc2", config["intermediate_size"], width)
        k.norm(f"{layer}.layer_norm2", width)
    k.norm(f"{prefix}final_layer_norm", width)
    return k.shapes


def pieces(name, shape, seed):
    """The tensor's values as fp32 arrays of at most PIECE elements."""
    random = numpy.random.Generator(numpy.random.SFC64([seed, zlib.crc32(name.encode())]))
    count = math.prod(shape)
    centre, spread = 0.0, 0.02
    if len(shape) > 1 and "embedding.weight" not in name:
        # Uniform in ±sqrt(3 / fan_in). Branches that end in a residual sum are damped, so that the
        # sum over all blocks stays near one.
        spread = math.sqrt(3 / math.prod(shape[1:]))
        if any(part in name for part in ("conv2.", "to_out.0.", "ff.net.2.", "proj_out.",
                                         "out_proj.", "mlp.fc2.", "proj_attn.")):
            spread *= 0.5
    elif "norm" in name and name.endswith("weight"):
        centre, spread = 1.0, 0.1
    for start in range(0, count, PIECE):
        values = random.random(min(PIECE, count - start), dtype=numpy.float32)
        yield (values - numpy.float32(0.5)) * numpy.float32(2 * spread) + numpy.float32(centre)


def to_bytes(values, dtype):
    if dtype == "fp32":
        return values.tobytes()
    if dtype == "fp16":
        return values.astype(numpy.float16).tobytes()
    bits = values.view(numpy.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(numpy.uint16).tobytes()


def write_safetensors(path, shapes, dtype, seed):
    label, size = DTYPES[dtype]
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in sorted(shapes.items()):
        is_ids = name.endswith("position_ids")
        end = offset + math.prod(shape) * (8 if is_ids else size)
        header[name] = {"dtype": "I64" if is_ids else label, "shape": list(shape),
                        "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in sorted(shapes.items()):
            if name.endswith("position_ids"):
                file.write(numpy.arange(shape[-1], dtype=numpy.int64).tobytes())
                continue
            for values in pieces(f"{path.parent.name}/{name}", shape, seed):
                file.write(to_bytes(values, dtype))
    print(f"{path}: {len(shapes)} tensors, {path.stat().st_size / 1e6:.0f} MB", file=sys.stderr)


def shrink(family):
    """Two UNet levels of 32 and 64 channels: the family's every config field, in a second's work."""
    unet, vae, text = family["unet"], family["vae"], family["text_encoder"]
    unet.update(block_out_channels=[32, 64], layers_per_block=1, cross_attention_dim=64,
                down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
                up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
                sample_size=unet["sample_size"] // 4)
    unet["attention_head_dim"] = [2, 4] if isinstance(unet["attention_head_dim"], list) else 4
    vae.update(block_out_channels=[32, 32, 64, 64], layers_per_block=1,
               sample_size=vae["sample_size"] // 4)
    text.update(hidden_size=64, intermediate_size=256, num_attention_heads=1, num_hidden_layers=2)


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_tokenizer(source, target, config):
    target.mkdir(parents=True, exist_ok=True)
    for name in ("vocab.json", "merges.txt"):
        if not (source / name).is_file():
            sys.exit(f"no {name} in {source}; name a folder that has it with --tokenizer")
        shutil.copyfile(source / name, target / name)
    write_json(target / "tokenizer_config.json", config)
    write_json(target / "special_tokens_map.json",
               {key: config[key] for key in ("bos_token", "eos_token", "pad_token", "unk_token")})


def main():
    families = sorted(f.stem for f in (ROOT / "configs").glob("sd*.json"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=families)
    parser.add_argument("out_dir", type=pathlib.Path)
    parser.add_argument("--dtype", choices=DTYPES, default="fp16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", choices=["full", "tiny"], default="full")
    parser.add_argument("--names", choices=["published", "current"], default="published",
                        help="published: text_model. prefix, position_ids, and the VAE's old "
                             "attention names; current: what diffusers saves today")
    parser.add_argument("--tokenizer", type=pathlib.Path,
                        default=ROOT / "weights" / "default" / "tokenizer",
                        help="folder with CLIP's vocab.json and merges.txt (default: %(default)s)")
    args = parser.parse_args()
    if args.out_dir.exists() and any(args.out_dir.iterdir()):
        parser.error(f"{args.out_dir} exists and is not empty")

    family = json.loads((ROOT / "configs" / f"{args.family}.json").read_text(encoding="utf-8"))
    if args.scale == "tiny":
        shrink(family)
    published = args.names == "published"
    write_tokenizer(args.tokenizer, args.out_dir / "tokenizer", family["tokenizer"])
    write_json(args.out_dir / "scheduler" / "scheduler_config.json", family["scheduler"])
    for part, name, shapes in (
            ("text_encoder", "model", text_encoder_keys(family["text_encoder"], published)),
            ("unet", "diffusion_pytorch_model", unet_keys(family["unet"])),
            ("vae", "diffusion_pytorch_model", vae_keys(family["vae"], published))):
        write_json(args.out_dir / part / "config.json", family[part])
        write_safetensors(args.out_dir / part / f"{name}.safetensors", shapes, args.dtype,
                          args.seed)
    write_json(args.out_dir / "model_index.json", family["model_index"])  # last: marks completion


if __name__ == "__main__":
    main()
