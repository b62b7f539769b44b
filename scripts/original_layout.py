#!/usr/bin/env python3
"""Writes a diffusers model folder as one file in the original layout of latent diffusion models.

Walks the original constructors (CompVis/latent-diffusion openaimodel.py, model.py, x_transformer.py,
open_clip's transformer) with the sizes of the folder's configs and names every tensor as they do, so
that the program's own tables are checked by other code. Tensors are read from memory-mapped files
one at a time. Needs numpy; .ckpt also torch.

    scripts/original_layout.py FOLDER OUT.safetensors
    scripts/original_layout.py FOLDER OUT.ckpt --ema both --no-projection
"""
import argparse
import json
import math
import pathlib
import sys

import numpy

NUMPY = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4"}


def read_safetensors(path):
    """name → (dtype label, array mapped from the file); bf16 as 16-bit words."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    tensors = {}
    for name, info in header.items():
        count = math.prod(info["shape"])
        array = numpy.memmap(path, NUMPY[info["dtype"]], "r", 8 + length + info["data_offsets"][0],
                             (count,)) if count else numpy.empty(0)
        tensors[name] = (info["dtype"], array.reshape(info["shape"]))
    return tensors


class Component:
    """Tensors of one folder under today's diffusers names."""

    OLD = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}

    def __init__(self, folder):
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.tensors = {}
        for path in sorted(folder.glob("*.safetensors")):
            for name, tensor in read_safetensors(path).items():
                for old, new in self.OLD.items():
                    name = name.replace(old, new)
                self.tensors[name.removeprefix("text_model.")] = tensor
        self.used = set()

    def take(self, name):
        self.used.add(name)
        return self.tensors[name]

    def unused(self):
        return set(self.tensors) - self.used - {"embeddings.position_ids"}


class Writer:
    """Collects (name → dtype, lazily made array) in the original's names."""

    def __init__(self):
        self.tensors = {}

    def put(self, name, component, source, reshape=None):
        dtype, array = component.take(source)
        self.tensors[name] = (dtype, array if reshape is None else reshape(array))

    def layer(self, name, component, source, trailing=0, bias=True):
        self.put(f"{name}.weight", component, f"{source}.weight",
                 lambda a: a.reshape(a.shape[:2] + (1,) * trailing) if trailing else a)
        if bias:
            self.put(f"{name}.bias", component, f"{source}.bias")

    def joined(self, name, component, sources, heads=1, trailing=0):
        """Projections joined head by head: the rows of head 0's q, k and v come first."""
        dtype = component.tensors[sources[0]][0]
        arrays = [component.take(source)[1] for source in sources]
        per_head = [a.reshape((heads, a.shape[0] // heads) + a.shape[1:2]) for a in arrays]
        whole = numpy.concatenate(per_head, axis=1)
        whole = whole.reshape((-1,) + whole.shape[2:])
        if trailing and whole.ndim > 1:
            whole = whole.reshape(whole.shape + (1,) * trailing)
        self.tensors[name] = (dtype, whole)


def res_block(out, unet, name, source):
    out.layer(f"{name}.in_layers.0", unet, f"{source}.norm1")
    out.layer(f"{name}.in_layers.2", unet, f"{source}.conv1")
    out.layer(f"{name}.emb_layers.1", unet, f"{source}.time_emb_proj")
    out.layer(f"{name}.out_layers.0", unet, f"{source}.norm2")
    out.layer(f"{name}.out_layers.3", unet, f"{source}.conv2")
    if f"{source}.conv_shortcut.weight" in unet.tensors:
        out.layer(f"{name}.skip_connection", unet, f"{source}.conv_shortcut")


def spatial_transformer(out, unet, name, source):
    for key in [k for k in unet.tensors if k.startswith(f"{source}.")]:
        out.put(name + key[len(source):], unet, key)


def attention_block(out, unet, name, source, heads):
    out.layer(f"{name}.norm", unet, f"{source}.group_norm")
    for kind, trailing in (("weight", 1), ("bias", 0)):
        out.joined(f"{name}.qkv.{kind}", unet,
                   [f"{source}.to_{part}.{kind}" for part in "qkv"], heads, trailing)
    out.layer(f"{name}.proj_out", unet, f"{source}.to_out.0", trailing=1)


def write_unet(out, unet):
    config, root = unet.config, "model.diffusion_model."
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    spatial = config.get("_class_name") != "UNet2DModel"
    head_dim = config.get("attention_head_dim", 8)
    downs, ups = config["down_block_types"], config["up_block_types"]

    def attend(name, source, level):
        if spatial:
            spatial_transformer(out, unet, name, source)
        else:
            width = head_dim[level] if isinstance(head_dim, list) else head_dim
            attention_block(out, unet, name, source, max(1, widths[level] // width))

    def sampler(name, source, conv):
        if config.get("downsample_type") == "resnet":
            res_block(out, unet, name, source)
        else:
            out.layer(f"{name}.{conv}", unet, f"{source}.conv")

    out.layer(f"{root}time_embed.0", unet, "time_embedding.linear_1")
    out.layer(f"{root}time_embed.2", unet, "time_embedding.linear_2")
    if "class_embedding.weight" in unet.tensors:
        out.layer(f"{root}label_emb", unet, "class_embedding", bias=False)
    out.layer(f"{root}input_blocks.0.0", unet, "conv_in")
    number = 1
    for level, kind in enumerate(downs):
        for j in range(layers):
            name = f"{root}input_blocks.{number}"
            res_block(out, unet, f"{name}.0", f"down_blocks.{level}.resnets.{j}")
            if "Attn" in kind:
                attend(f"{name}.1", f"down_blocks.{level}.attentions.{j}", level)
            number += 1
        if level + 1 < len(widths):
            sampler(f"{root}input_blocks.{number}.0", f"down_blocks.{level}.downsamplers.0", "op")
            number += 1
    res_block(out, unet, f"{root}middle_block.0", "mid_block.resnets.0")
    attend(f"{root}middle_block.1", "mid_block.attentions.0", len(widths) - 1)
    res_block(out, unet, f"{root}middle_block.2", "mid_block.resnets.1")
    number = 0
    for step, kind in enumerate(ups):
        for j in range(layers + 1):
            name, modules = f"{root}output_blocks.{number}", 1
            res_block(out, unet, f"{name}.0", f"up_blocks.{step}.resnets.{j}")
            if "Attn" in kind:
                attend(f"{name}.1", f"up_blocks.{step}.attentions.{j}", len(widths) - 1 - step)
                modules = 2
            if j == layers and step + 1 < len(widths):
                sampler(f"{name}.{modules}", f"up_blocks.{step}.upsamplers.0", "conv")
            number += 1
    out.layer(f"{root}out.0", unet, "conv_norm_out")
    out.layer(f"{root}out.2", unet, "conv_out")


def write_autoencoder(out, vae, root="first_stage_model."):
    config = vae.config
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]

    def resnet(name, source):
        for part in ("norm1", "conv1", "norm2", "conv2"):
            out.layer(f"{name}.{part}", vae, f"{source}.{part}")
        if f"{source}.conv_shortcut.weight" in vae.tensors:
            out.layer(f"{name}.nin_shortcut", vae, f"{source}.conv_shortcut")

    def attention(name, source):
        if f"{source}.group_norm.weight" not in vae.tensors:
            return
        out.layer(f"{name}.norm", vae, f"{source}.group_norm")
        for part, there in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0")):
            out.layer(f"{name}.{part}", vae, f"{source}.{there}", trailing=2)

    for coder in ("encoder", "decoder"):
        name = root + coder
        out.layer(f"{name}.conv_in", vae, f"{coder}.conv_in")
        out.layer(f"{name}.norm_out", vae, f"{coder}.conv_norm_out")
        out.layer(f"{name}.conv_out", vae, f"{coder}.conv_out")
        resnet(f"{name}.mid.block_1", f"{coder}.mid_block.resnets.0")
        attention(f"{name}.mid.attn_1", f"{coder}.mid_block.attentions.0")
        resnet(f"{name}.mid.block_2", f"{coder}.mid_block.resnets.1")
    for level in range(levels):
        for j in range(layers):
            resnet(f"{root}encoder.down.{level}.block.{j}",
                   f"encoder.down_blocks.{level}.resnets.{j}")
            attention(f"{root}encoder.down.{level}.attn.{j}",
                      f"encoder.down_blocks.{level}.attentions.{j}")
        mirrored = levels - 1 - level
        for j in range(layers + 1):
            resnet(f"{root}decoder.up.{level}.block.{j}",
                   f"decoder.up_blocks.{mirrored}.resnets.{j}")
            attention(f"{root}decoder.up.{level}.attn.{j}",
                      f"decoder.up_blocks.{mirrored}.attentions.{j}")
        if level + 1 < levels:
            out.layer(f"{root}encoder.down.{level}.downsample.conv", vae,
                      f"encoder.down_blocks.{level}.downsamplers.0.conv")
        if level > 0:
            out.layer(f"{root}decoder.up.{level}.upsample.conv", vae,
                      f"decoder.up_blocks.{mirrored}.upsamplers.0.conv")
    out.layer(f"{root}quant_conv", vae, "quant_conv")
    out.layer(f"{root}post_quant_conv", vae, "post_quant_conv")
    if "quantize.embedding.weight" in vae.tensors:
        out.layer(f"{root}quantize.embedding", vae, "quantize.embedding", bias=False)


def write_clip(out, text, text_model=True):
    root = "cond_stage_model.transformer." + ("text_model." if text_model else "")
    for name in list(text.tensors):
        out.put(root + name, text, name)


def write_open_clip(out, text, projection=True):
    root, layers = "cond_stage_model.model.", text.config["num_hidden_layers"]
    out.layer(f"{root}token_embedding", text, "embeddings.token_embedding", bias=False)
    out.put(f"{root}positional_embedding", text, "embeddings.position_embedding.weight")
    out.layer(f"{root}ln_final", text, "final_layer_norm")
    for i in range(layers):
        name, source = f"{root}transformer.resblocks.{i}", f"encoder.layers.{i}"
        out.layer(f"{name}.ln_1", text, f"{source}.layer_norm1")
        out.layer(f"{name}.ln_2", text, f"{source}.layer_norm2")
        for kind in ("weight", "bias"):
            out.joined(f"{name}.attn.in_proj_{kind}", text,
                       [f"{source}.self_attn.{part}_proj.{kind}" for part in "qkv"])
        out.layer(f"{name}.attn.out_proj", text, f"{source}.self_attn.out_proj")
        out.layer(f"{name}.mlp.c_fc", text, f"{source}.mlp.fc1")
        out.layer(f"{name}.mlp.c_proj", text, f"{source}.mlp.fc2")
    if not projection:
        return
    # What the whole CLIP has beside: its last layer, which diffusers' folders lack, and the pooled
    # output's parameters.
    last, width = f"{root}transformer.resblocks.{layers - 1}.", text.config["hidden_size"]
    for name, tensor in list(out.tensors.items()):
        if name.startswith(last):
            out.tensors[name.replace(last, f"{root}transformer.resblocks.{layers}.")] = tensor
    out.tensors[f"{root}text_projection"] = ("F32", numpy.eye(width, dtype="<f4"))
    out.tensors[f"{root}logit_scale"] = ("F32", numpy.array(4.6, dtype="<f4"))


def write_bert(out, text):
    root = "cond_stage_model.transformer."
    out.layer(f"{root}token_emb", text, "model.embed_tokens", bias=False)
    out.layer(f"{root}pos_emb.emb", text, "model.embed_positions", bias=False)
    for i in range(text.config["encoder_layers"]):
        source, layers = f"model.layers.{i}", f"{root}attn_layers.layers"
        out.layer(f"{layers}.{2 * i}.0", text, f"{source}.self_attn_layer_norm")
        for part in "qkv":
            out.layer(f"{layers}.{2 * i}.1.to_{part}", text, f"{source}.self_attn.{part}_proj",
                      bias=False)
        out.layer(f"{layers}.{2 * i}.1.to_out", text, f"{source}.self_attn.out_proj")
        out.layer(f"{layers}.{2 * i + 1}.0", text, f"{source}.final_layer_norm")
        out.layer(f"{layers}.{2 * i + 1}.1.net.0.0", text, f"{source}.fc1")
        out.layer(f"{layers}.{2 * i + 1}.1.net.2", text, f"{source}.fc2")
    out.layer(f"{root}norm", text, "model.layer_norm")
    if "to_logits.weight" in text.tensors:
        out.layer(f"{root}to_logits", text, "to_logits", bias="to_logits.bias" in text.tensors)


def write_condition(out, folder, args):
    if (folder / "class_embedder").is_dir():
        embedder = Component(folder / "class_embedder")
        out.layer("cond_stage_model.embedding", embedder, "embedding", bias=False)
        return [embedder]
    if (folder / "bert").is_dir():
        text = Component(folder / "bert")
        write_bert(out, text)
        return [text]
    if not (folder / "text_encoder").is_dir():
        return []
    text = Component(folder / "text_encoder")
    if text.config.get("hidden_act") == "quick_gelu":
        write_clip(out, text, not args.no_text_model)
    else:
        write_open_clip(out, text, not args.no_projection)
    return [text]


def add_averaged(out, how):
    """LitEma: names lose their dots; `only` leaves the plain UNet out."""
    for name in [n for n in out.tensors if n.startswith("model.diffusion_model.")]:
        flat = "model_ema." + name.removeprefix("model.").replace(".", "")
        out.tensors[flat] = out.tensors[name]
        if how == "only":
            del out.tensors[name]
    out.tensors["model_ema.decay"] = ("F32", numpy.array(0.9999, dtype="<f4"))
    out.tensors["model_ema.num_updates"] = ("I32", numpy.array(7, dtype="<i4"))


def add_schedule(out, scheduler):
    """Buffers that training leaves in every checkpoint."""
    beta = [math.sqrt(scheduler[f"beta_{end}"]) for end in ("start", "end")]
    betas = numpy.linspace(*beta, scheduler.get("num_train_timesteps", 1000)) ** 2
    alphas = numpy.cumprod(1 - betas)
    for name, values in (("betas", betas), ("alphas_cumprod", alphas),
                         ("sqrt_alphas_cumprod", numpy.sqrt(alphas)),
                         ("posterior_variance", betas), ("logvar", betas * 0)):
        out.tensors[name] = ("F32", values.astype("<f4"))


def original_tensors(folder, args):
    folder = pathlib.Path(folder)
    out = Writer()
    if not (folder / "model_index.json").exists():
        vae = Component(folder)
        write_autoencoder(out, vae, "")
        return out.tensors, [vae]
    unet = Component(folder / "unet")
    vae = Component(folder / ("vae" if (folder / "vae").is_dir() else "vqvae"))
    write_unet(out, unet)
    write_autoencoder(out, vae)
    rest = write_condition(out, folder, args)
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    add_schedule(out, scheduler)
    if args.scale_factor:
        out.tensors["scale_factor"] = ("F32", numpy.array(args.scale_factor, dtype="<f4"))
    if args.ema:
        add_averaged(out, args.ema)
    return out.tensors, [unet, vae, *rest]


def write_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": {"format": "pt", **metadata}}, 0
    for name, (dtype, array) in sorted(tensors.items()):
        size = array.size * numpy.dtype(NUMPY[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": list(array.shape),
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, (_, array) in sorted(tensors.items()):
            file.write(numpy.ascontiguousarray(array).tobytes())


def write_ckpt(path, tensors, global_step):
    import torch
    state = {}
    for name, (dtype, array) in tensors.items():
        array = numpy.array(array)  # a copy: torch wants writable memory
        if dtype == "BF16":
            state[name] = torch.from_numpy(array.view("<i2")).view(torch.bfloat16)
        else:
            state[name] = torch.from_numpy(array)
    checkpoint = {"state_dict": state}
    if global_step is not None:
        checkpoint["global_step"] = global_step
    torch.save(checkpoint, path)


def add_arguments(parser):
    parser.add_argument("--ema", choices=["both", "only"],
                        help="add model_ema.* copies of the UNet, or leave only them")
    parser.add_argument("--no-projection", action="store_true",
                        help="OpenCLIP without its last layer, text_projection and logit_scale")
    parser.add_argument("--no-text-model", action="store_true",
                        help="CLIP keys without text_model., as transformers 5 names them")
    parser.add_argument("--scale-factor", type=float, help="write the tensor scale_factor")
    parser.add_argument("--prediction-type", help="write it as modelspec.prediction_type")
    parser.add_argument("--global-step", type=int, help="write it into a .ckpt")


def write_original(folder, path, args):
    tensors, components = original_tensors(folder, args)
    for component in components:
        if component.unused():
            sys.exit(f"original_layout: no place for {sorted(component.unused())[:5]}")
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        metadata = {}
        if args.prediction_type:
            metadata["modelspec.prediction_type"] = args.prediction_type
        write_safetensors(path, tensors, metadata)
    else:
        write_ckpt(path, tensors, args.global_step)
    print(f"{path}: {len(tensors)} tensors, {path.stat().st_size / 1e6:.0f} MB", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path, help="OUT.safetensors, or OUT.ckpt")
    add_arguments(parser)
    args = parser.parse_args()
    write_original(args.folder, args.output, args)


if __name__ == "__main__":
    main()
