#!/usr/bin/env python3
"""Writes a model folder of a published family's exact shapes with random weights.

For size, speed and memory work where the published weights are not at hand; the pictures are noise.
Layout, key names, dtypes and configs are those of the published folders (configs/FAMILY.json).
Weights are uniform with variance 1 / fan_in, so activations keep a scale near one and every
forward pass is finite. Each tensor depends on the seed and its key only. Needs numpy, and diffusers
for the classes that only the original latent-diffusion models have; tensors are made and written in
pieces, so memory stays below 100 MB.

    scripts/make_random_checkpoint.py sd15 /tmp/sd15 --dtype fp16
    scripts/make_random_checkpoint.py --family ldm-cin --scale tiny /tmp/cin
    scripts/make_random_checkpoint.py sd21 /tmp/sd21.ckpt --layout original --ema both
    build/release/bin/ldm-gen --model /tmp/sd15 --prompt "anything" --steps 2
"""
import argparse
import io
import json
import math
import pathlib
import shutil
import sys
import tempfile
import zlib

try:
    import numpy
except ImportError:
    sys.exit("make_random_checkpoint: needs numpy\nhint: apt-get install python3-numpy, "
             "or the Python of scripts/reference.sh")

import original_layout

ROOT = pathlib.Path(__file__).resolve().parent.parent
DTYPES = {"fp32": ("F32", 4), "fp16": ("F16", 2), "bf16": ("BF16", 2)}
PIECE = 1 << 22  # elements made at a time
# What a family is called for short, and the config that stands for it.
SHORT_NAMES = {"ldm-txt2img": "txt2img-large", "ldm-cin": "cin256-v2", "ldm-uncond": "celebahq256",
               "sd-ip2p": "instruct-pix2pix"}
# diffusers' attention names today, and in folders published before its version 0.15.
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


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

    def transformer(self, name, channels, context, linear_projection, only_cross=False):
        project = self.linear if linear_projection else (lambda n, i, o: self.conv(n, i, o, 1))
        self.norm(f"{name}.norm", channels)
        project(f"{name}.proj_in", channels, channels)
        block = f"{name}.transformer_blocks.0"
        for i, source in ((1, context if only_cross else channels), (2, context)):
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
        for part in OLD_ATTENTION.values() if published else OLD_ATTENTION:
            self.linear(f"{name}.{part}", channels, channels)


def unet_keys(config, _published):
    k, widths, layers = Keys(), config["block_out_channels"], config["layers_per_block"]
    time_dim, context = 4 * widths[0], config["cross_attention_dim"]

    only_cross = config["only_cross_attention"]
    if not isinstance(only_cross, list):
        only_cross = [only_cross] * len(widths)

    def transformer(name, channels, level=None):
        k.transformer(name, channels, context, config["use_linear_projection"],
                      level is not None and only_cross[level])

    k.conv("conv_in", config["in_channels"], widths[0])
    k.linear("time_embedding.linear_1", widths[0], time_dim)
    k.linear("time_embedding.linear_2", time_dim, time_dim)
    if config["num_class_embeds"]:
        k.shapes["class_embedding.weight"] = (config["num_class_embeds"], time_dim)
    skips, channels = [widths[0]], widths[0]
    for i, (kind, width) in enumerate(zip(config["down_block_types"], widths)):
        for j in range(layers):
            k.resnet(f"down_blocks.{i}.resnets.{j}", channels, width, time_dim)
            if "CrossAttn" in kind:
                transformer(f"down_blocks.{i}.attentions.{j}", width, i)
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
                transformer(f"up_blocks.{i}.attentions.{j}", width, len(widths) - 1 - i)
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
            if config["down_block_types"][i].startswith("Attn"):
                k.vae_attention(f"encoder.down_blocks.{i}.attentions.{j}", width, published)
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
            if config["up_block_types"][i].startswith("Attn"):
                k.vae_attention(f"decoder.up_blocks.{i}.attentions.{j}", width, published)
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


def class_embedder_keys(config, _published):
    return {"embedding.weight": (config["num_classes"], config["embed_dim"])}


def diffusers_keys(config, published):
    """Names and shapes of the class in diffusers, which allocates nothing on the meta device."""
    try:
        import diffusers
        import torch
        from diffusers.pipelines.latent_diffusion import pipeline_latent_diffusion as ldm
    except ImportError as error:
        sys.exit(f"make_random_checkpoint: {error}\nhint: this family needs diffusers, see "
                 "scripts/reference.sh")
    with torch.device("meta"):
        if class_name(config) == "LDMBertModel":
            model = ldm.LDMBertModel(ldm.LDMBertConfig(**config))
        elif class_name(config) == "RobertaSeriesModelWithTransformation":
            from diffusers.pipelines.deprecated.alt_diffusion import modeling_roberta_series as alt
            model = alt.RobertaSeriesModelWithTransformation(alt.RobertaSeriesConfig(**config))
        else:
            fields = dict(config)
            if isinstance(fields.get("attention_head_dim"), list):
                # One head width a level is this project's extension; shapes do not depend on it.
                fields["attention_head_dim"] = fields["attention_head_dim"][0]
            model = getattr(diffusers, class_name(config)).from_config(fields)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if not published:
        return shapes
    renamed = {}
    for name, shape in shapes.items():
        for new, old in OLD_ATTENTION.items():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = shape
    return renamed


def class_name(config):
    return config.get("_class_name") or config.get("architectures", [None])[0]


KEYS = {"UNet2DConditionModel": unet_keys, "AutoencoderKL": vae_keys,
        "CLIPTextModel": text_encoder_keys, "ClassEmbedder": class_embedder_keys}


def pieces(name, shape, seed):
    """The tensor's values as fp32 arrays of at most PIECE elements."""
    random = numpy.random.Generator(numpy.random.SFC64([seed, zlib.crc32(name.encode())]))
    count = math.prod(shape)
    centre, spread = 0.0, 0.02
    if any(part in name for part in ("quantize.", "class_embed")):
        spread = math.sqrt(3)  # variance one: codes like latents, classes like text
    elif len(shape) > 1 and "embedding.weight" not in name:
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
    def ends(values):
        return [values[0], values[-1]] if isinstance(values, list) else values

    for config in family.values():
        kind = class_name(config)
        if kind in ("UNet2DConditionModel", "UNet2DModel"):
            full_width = config["block_out_channels"][0]
            for key in ("down_block_types", "up_block_types", "only_cross_attention"):
                if key in config:
                    config[key] = ends(config[key])
            config.update(block_out_channels=[32, 64], layers_per_block=1,
                          sample_size=config["sample_size"] // 4)
        if kind == "UNet2DConditionModel":
            config["cross_attention_dim"] = 64
            heads = config["attention_head_dim"]
            # Single files say nothing of heads: these are as wide as those of the whole family.
            if isinstance(heads, list):
                wide = full_width // heads[0]
                config["attention_head_dim"] = [max(1, 32 // wide), 64 // wide]
        elif kind == "UNet2DModel":
            widths = config["attention_head_dim"]
            config["attention_head_dim"] = [4, 8] if isinstance(widths, list) else 32
        elif kind in ("AutoencoderKL", "VQModel"):
            levels = len(config["block_out_channels"])
            config.update(block_out_channels=[32] * (levels // 2) + [64] * (levels - levels // 2),
                          layers_per_block=1, sample_size=config["sample_size"] // 4)
            if kind == "VQModel":
                config["num_vq_embeddings"] = 256
        elif kind == "AutoencoderTiny":
            config.update({key: [16] * 4 for key in config if key.endswith("block_out_channels")})
        elif kind == "CLIPTextModel":
            config.update(hidden_size=64, intermediate_size=256, num_attention_heads=1,
                          num_hidden_layers=2)
            if family["tokenizer"]["tokenizer_class"] == "T5Tokenizer":
                config["vocab_size"] = sentencepiece_model()[1]
        elif kind == "LDMBertModel":
            config.update(d_model=64, encoder_ffn_dim=256, encoder_attention_heads=8, head_dim=8,
                          encoder_layers=2, vocab_size=len(bert_vocabulary()))
        elif kind == "RobertaSeriesModelWithTransformation":
            config.update(hidden_size=64, intermediate_size=256, num_attention_heads=2,
                          num_hidden_layers=2, max_position_embeddings=90, project_dim=64,
                          vocab_size=sentencepiece_model()[1] + 2)
        elif kind == "ClassEmbedder":
            config["embed_dim"] = 64


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_clip_tokenizer(source, target, config):
    for name in ("vocab.json", "merges.txt"):
        if not (source / name).is_file():
            sys.exit(f"no {name} in {source}; name a folder that has it with --tokenizer")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)
    write_json(target / "special_tokens_map.json",
               {key: config[key] for key in ("bos_token", "eos_token", "pad_token", "unk_token")})


def bert_vocabulary():
    """A small WordPiece vocabulary that can spell every ASCII text, and some words of prompts."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    marks = [chr(c) for c in range(33, 127) if not chr(c).isalnum()]
    letters = list("0123456789abcdefghijklmnopqrstuvwxyz")
    words = ("the of and in on with an photo painting picture red green blue small large cat dog "
             "house tree sun moon sea city horse bird flower astronaut").split()
    ends = "##s ##es ##ed ##ing ##er ##ly ##ful ##light ##scape".split()
    return special + marks + letters + [f"##{letter}" for letter in letters] + words + ends


def write_bert_tokenizer(source, target, config, vocab_size):
    if (source / "vocab.txt").is_file():
        lines = (source / "vocab.txt").read_text(encoding="utf-8").splitlines()
    else:
        lines = bert_vocabulary()
    lines += [f"[unused{i}]" for i in range(vocab_size - len(lines))]
    if len(lines) != vocab_size:
        sys.exit(f"{source / 'vocab.txt'} has {len(lines)} tokens, the model {vocab_size}")
    target.mkdir(parents=True, exist_ok=True)
    (target / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(target / "special_tokens_map.json",
               {key: value for key, value in config.items() if str(key).endswith("_token")})


def sentencepiece_model():
    """(bytes, number of pieces) of a small unigram model that can spell every ASCII text."""
    try:
        import sentencepiece
    except ImportError as error:
        sys.exit(f"make_random_checkpoint: {error}\nhint: this family needs sentencepiece, see "
                 "scripts/reference.sh")
    words = [word for word in bert_vocabulary() if word.isalpha()]
    lines = [f"{a} {b}" for i, a in enumerate(words) for b in words[i % 5 :: 5]]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=120, hard_vocab_limit=False,
        required_chars="".join(chr(c) for c in range(33, 127)), character_coverage=1.0,
        num_threads=1, minloglevel=2)
    data = model.getvalue()
    return data, sentencepiece.SentencePieceProcessor(model_proto=data).get_piece_size()


def write_sentencepiece_tokenizer(args, target, config):
    file = {"XLMRobertaTokenizer": "sentencepiece.bpe.model"}.get(config["tokenizer_class"],
                                                                  "spiece.model")
    target.mkdir(parents=True, exist_ok=True)
    if (args.tokenizer / file).is_file():
        shutil.copyfile(args.tokenizer / file, target / file)
    elif args.scale == "tiny":
        (target / file).write_bytes(sentencepiece_model()[0])
    else:
        sys.exit(f"no {file} in {args.tokenizer}; name a folder that has it with --tokenizer")
    write_json(target / "special_tokens_map.json",
               {key: value for key, value in config.items() if str(key).endswith("_token")})


def write_tokenizer(args, family, target):
    config = family["tokenizer"]
    if config["tokenizer_class"] in ("XLMRobertaTokenizer", "T5Tokenizer"):
        write_sentencepiece_tokenizer(args, target, config)
        write_json(target / "tokenizer_config.json", config)
        return
    if config["tokenizer_class"] == "BertTokenizer":
        write_bert_tokenizer(args.tokenizer, target, config, family["bert"]["vocab_size"])
    else:
        write_clip_tokenizer(args.tokenizer, target, config)
    write_json(target / "tokenizer_config.json", config)


def write_component(folder, config, args):
    kind = class_name(config)
    in_transformers = kind in ("CLIPTextModel", "LDMBertModel", "ClassEmbedder",
                               "RobertaSeriesModelWithTransformation")
    file = "model" if in_transformers else "diffusion_pytorch_model"
    shapes = KEYS.get(kind, diffusers_keys)(config, args.names == "published")
    write_json(folder / "config.json", config)
    write_safetensors(folder / f"{file}.safetensors", shapes, args.dtype, args.seed)


def parse_arguments():
    families = sorted([f.stem for f in (ROOT / "configs").glob("*.json")] + list(SHORT_NAMES))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s [options] FAMILY OUT_DIR")
    parser.add_argument("words", nargs="+", metavar="FAMILY OUT_DIR",
                        help=f"one of {', '.join(families)}; and a folder to make")
    parser.add_argument("--family", choices=families, metavar="FAMILY",
                        help="the family, where it is not given before OUT_DIR")
    parser.add_argument("--dtype", choices=DTYPES, default="fp16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", choices=["full", "tiny"], default="full")
    parser.add_argument("--names", choices=["published", "current"], default="published",
                        help="published: text_model. prefix, position_ids, and the old attention "
                             "names of autoencoders; current: what diffusers saves today")
    parser.add_argument("--layout", choices=["diffusers", "original"], default="diffusers",
                        help="original: OUT_DIR is one file, OUT.safetensors or OUT.ckpt, as the "
                             "original code saves it")
    original_layout.add_arguments(parser)
    parser.add_argument("--tokenizer", type=pathlib.Path,
                        default=ROOT / "weights" / "default" / "tokenizer",
                        help="folder with CLIP's vocab.json and merges.txt (default: %(default)s), "
                             "or with BERT's vocab.txt (default: a small one is made up)")
    args = parser.parse_intermixed_args()
    if args.family is None:
        args.family = args.words.pop(0)
    if args.family not in families or len(args.words) != 1:
        parser.error(f"expected FAMILY OUT_DIR, FAMILY one of {', '.join(families)}")
    args.out_dir = pathlib.Path(args.words[0])
    if args.out_dir.exists() and (args.out_dir.is_file() or any(args.out_dir.iterdir())):
        parser.error(f"{args.out_dir} exists and is not empty")
    return args


def write_folder(args):
    config = SHORT_NAMES.get(args.family, args.family)
    family = json.loads((ROOT / "configs" / f"{config}.json").read_text(encoding="utf-8"))
    if args.scale == "tiny":
        shrink(family)
    index = family.pop("model_index", None)
    if index is None:  # an autoencoder by itself
        write_component(args.out_dir, family["vae"], args)
        return
    for part, config in family.items():
        folder = args.out_dir / part
        if part == "tokenizer":
            write_tokenizer(args, family, folder)
        elif part.endswith("scheduler"):
            write_json(folder / "scheduler_config.json", config)
        else:
            write_component(folder, config, args)
    write_json(args.out_dir / "model_index.json", index)  # last: marks completion


def main():
    args = parse_arguments()
    if args.layout == "diffusers":
        write_folder(args)
        return
    path = args.out_dir
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        args.out_dir = pathlib.Path(folder)
        write_folder(args)
        original_layout.write_original(folder, path, args)


if __name__ == "__main__":
    main()
