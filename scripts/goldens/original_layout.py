"""Names of whole published models in both layouts, by diffusers' own single-file converters.

Every tensor of the original layout is replaced by one that allocates nothing and tells its name and
row (idx * 2^17 + row, expanded), the public converters are run over all of them, and what comes out
says which rows of which original tensor became each of diffusers' tensors. Stored: for each component
a count, the SHA-256 of the lines "NAME ORIGINAL FIRST_ROW SHAPE", sorted, and every 40th line."""
import argparse
import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as public
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig
from diffusers.pipelines.stable_diffusion.convert_from_ckpt import convert_ldm_bert_checkpoint
from transformers import CLIPTextConfig, CLIPTextModel

from . import common

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import original_layout as layout  # noqa: E402

ROWS = 1 << 17


class ShapesOnly(layout.Component):
    """A component of zeros that take no memory."""

    def __init__(self, config, shapes):
        self.config, self.used = config, set()
        self.tensors = {name.removeprefix("text_model."):
                        ("F16", np.broadcast_to(np.float16(0), shape)) for name, shape in shapes}


def shapes_of(make):
    with torch.device("meta"):
        return [(name, tuple(t.shape)) for name, t in make().state_dict().items()
                if "position_ids" not in name]


class Tags:
    """Original name → tensor that tells the name and the row of each element."""

    def __init__(self, originals, dtype=torch.int32):
        self.names = sorted(originals)
        self.tensors = {}
        for i, name in enumerate(self.names):
            shape = tuple(originals[name][1].shape)
            rows = torch.arange(shape[0] if shape else 1, dtype=dtype) + i * ROWS
            self.tensors[name] = rows.reshape((-1,) + (1,) * (len(shape) - 1)).expand(shape)

    def lines(self, converted):
        for name, tensor in sorted(converted.items()):
            tag = int(tensor[(0,) * tensor.ndim])
            dims = ",".join(str(d) for d in tensor.shape)
            yield f"{name} {self.names[tag // ROWS]} {tag % ROWS} {dims}"


class Tree:
    """Attributes and items of an original module's tensors, for a converter that wants modules."""

    def __init__(self, tensors):
        self.parts, self.leaf = {}, None
        for name, tensor in tensors.items():
            node = self
            for part in name.split("."):
                node = node.parts.setdefault(part, Tree({}))
            node.leaf = torch.nn.Parameter(tensor, requires_grad=False)

    def __getattr__(self, name):
        if name not in self.parts:
            raise AttributeError(name)
        part = self.parts[name]
        return part if part.leaf is None else part.leaf

    def __getitem__(self, key):
        if isinstance(key, slice):
            return [self[i] for i in range(key.start, key.stop)]
        return getattr(self, str(key))


def summary(lines):
    lines = list(lines)
    text = "".join(f"{line}\n" for line in lines)
    return {"count": len(lines), "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "some": lines[::40]}


def components(family):
    """(our name, config, shapes, writer, public converter) of each part of a family."""
    config = json.loads((ROOT / "configs" / f"{family}.json").read_text(encoding="utf-8"))
    unet, vae = config["unet"], config.get("vae") or config["vqvae"]
    yield ("unet", unet, shapes_of(lambda: UNet2DConditionModel.from_config(unet)),
           layout.write_unet, lambda tags: public.convert_ldm_unet_checkpoint(tags, unet))
    yield ("vae", vae, shapes_of(lambda: AutoencoderKL.from_config(vae)),
           layout.write_autoencoder, lambda tags: public.convert_ldm_vae_checkpoint(tags, vae))
    if "bert" in config:
        yield "text_encoder", config["bert"], None, layout.write_bert, None
        return
    text = CLIPTextConfig(**config["text_encoder"])
    shapes = shapes_of(lambda: CLIPTextModel(text))
    if config["text_encoder"]["hidden_act"] == "quick_gelu":
        yield ("text_encoder", config["text_encoder"], shapes, layout.write_clip,
               public.convert_ldm_clip_checkpoint)
    else:
        model = argparse.Namespace(config=text)
        yield ("text_encoder", config["text_encoder"], shapes,
               lambda out, part: layout.write_open_clip(out, part, False),
               lambda tags: public.convert_open_clip_checkpoint(model, tags))


def bert_lines(config):
    """LDMBert's converter works on modules; the one it fills takes 2 GB for a moment."""
    fields = {k: v for k, v in config.items() if k not in ("architectures", "model_type")}
    bert = LDMBertConfig(**fields)
    width, inner = config["d_model"], config["encoder_attention_heads"] * config["head_dim"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width),
              "model.embed_positions.weight": (config["max_position_embeddings"], width),
              "model.layer_norm.weight": (width,), "model.layer_norm.bias": (width,),
              "to_logits.weight": (config["vocab_size"], width),
              "to_logits.bias": (config["vocab_size"],)}
    for i in range(config["encoder_layers"]):
        layer = f"model.layers.{i}"
        for norm in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{layer}.{norm}.{kind}": (width,) for kind in ("weight", "bias")}
        shapes |= {f"{layer}.self_attn.{p}_proj.weight": (inner, width) for p in "qkv"}
        shapes |= {f"{layer}.self_attn.out_proj.weight": (width, inner),
                   f"{layer}.self_attn.out_proj.bias": (width,)}
        hidden = config["encoder_ffn_dim"]
        shapes |= {f"{layer}.fc1.weight": (hidden, width), f"{layer}.fc1.bias": (hidden,),
                   f"{layer}.fc2.weight": (width, hidden), f"{layer}.fc2.bias": (width,)}
    out = layout.Writer()
    layout.write_bert(out, ShapesOnly(config, shapes.items()))
    tags = Tags(out.tensors, torch.float64)  # parameters must be of a floating type
    tree = Tree({name.removeprefix("cond_stage_model."): t for name, t in tags.tensors.items()})
    model = convert_ldm_bert_checkpoint(tree, bert)
    return tags.lines({k: v for k, v in model.state_dict().items() if "position_ids" not in k})


def make():
    result = {}
    for family in ("sd15", "sd21", "sd-x4-upscaler", "txt2img-large"):
        for name, config, shapes, write, convert in components(family):
            key = f"{family}/{name}"
            if convert is None:
                result[key] = summary(bert_lines(config))
                print(f"  {key}: {result[key]['count']} tensors")
                continue
            out = layout.Writer()
            write(out, ShapesOnly(config, shapes))
            tags = Tags(out.tensors)
            converted = convert(dict(tags.tensors))
            converted = {k.removeprefix("text_model."): v for k, v in converted.items()}
            expected = {n.removeprefix("text_model."): s for n, s in shapes}
            found = {n: tuple(t.shape) for n, t in converted.items()}
            assert found == expected, (key, set(found) ^ set(expected))
            if name == "text_encoder":
                converted = {f"text_model.{k}": v for k, v in converted.items()}
            result[key] = summary(tags.lines(converted))
            print(f"  {key}: {result[key]['count']} tensors")
    path = common.GOLDEN / "loading" / "original_names.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"  {path.relative_to(common.GOLDEN)}: {path.stat().st_size / 1e3:.0f} kB")
