"""LDMBertModel, RobertaSeriesModelWithTransformation and ClassEmbedder: tiny random encoders, and the
keys of the published sizes."""
import torch
from diffusers.pipelines.deprecated.alt_diffusion.modeling_roberta_series import (
    RobertaSeriesConfig,
    RobertaSeriesModelWithTransformation,
)
from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertConfig, LDMBertModel

from . import common

UNUSED = ("to_logits.", "roberta.pooler.")


def kept(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {k: p for k, p in model.named_parameters() if not k.startswith(UNUSED)}


def fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def listing(make) -> dict[str, str]:
    """The number of keys, of values, and the hash of lines "name 64x32" of a full-size encoder."""
    with torch.device("meta"):
        parameters = kept(make())
    lines = sorted(f"{name} {'x'.join(map(str, p.shape))}\n" for name, p in parameters.items())
    return {"keys": len(lines), "values": sum(p.numel() for p in parameters.values()),
            "hash": f"{fnv1a(''.join(lines)):016x}"}


def ldm_bert(tensors: dict) -> None:
    config = LDMBertConfig(vocab_size=61, max_position_embeddings=20, encoder_layers=3, encoder_ffn_dim=48,
                           encoder_attention_heads=3, head_dim=6, d_model=24)
    model = common.randomise(LDMBertModel(config), 1)
    ids = torch.randint(1, 61, (2, 20), generator=common.generator(2))
    ids[0, 7:] = 0
    tensors |= {f"bert.weights.{k}": p for k, p in kept(model).items()}
    tensors["bert.ids"] = ids
    with torch.no_grad():
        tensors["bert.out"] = model(ids)[0]
        tensors["bert.short"] = model(ids[:, :5])[0]


def roberta(tensors: dict, name: str, seed: int, pre: bool) -> None:
    config = RobertaSeriesConfig(
        vocab_size=67, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=40,
        max_position_embeddings=24, type_vocab_size=1, layer_norm_eps=1e-5, project_dim=16,
        has_pre_transformation=pre)
    model = common.randomise(RobertaSeriesModelWithTransformation(config), seed)
    ids = torch.randint(4, 67, (2, 20), generator=common.generator(seed + 1))
    ids[:, 0] = 0
    ids[0, 6], ids[0, 7:] = 2, 1
    ids[1, 19] = 2
    tensors |= {f"{name}.weights.{k}": p for k, p in kept(model).items()}
    tensors[f"{name}.ids"] = ids
    with torch.no_grad():
        tensors[f"{name}.out"] = model(ids, attention_mask=ids.ne(1).long())[0]
        tensors[f"{name}.unmasked"] = model(ids, attention_mask=None)[0]


def make() -> None:
    tensors: dict[str, torch.Tensor] = {}
    ldm_bert(tensors)
    roberta(tensors, "roberta", 3, pre=False)
    roberta(tensors, "pre", 7, pre=True)
    table = torch.nn.Embedding(11, 8, _weight=common.randn(11, 8, seed=9))
    classes = torch.tensor([[3], [10], [0]])
    tensors |= {"class.weights.embedding.weight": table.weight, "class.ids": classes, "class.out": table(classes)}

    sizes = dict(vocab_size=250002, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
                 intermediate_size=4096, max_position_embeddings=514, type_vocab_size=1)
    full = {
        "bert": lambda: LDMBertModel(LDMBertConfig()),
        "m9": lambda: RobertaSeriesModelWithTransformation(RobertaSeriesConfig(**sizes, project_dim=768)),
        "m18": lambda: RobertaSeriesModelWithTransformation(
            RobertaSeriesConfig(**sizes, project_dim=1024, has_pre_transformation=True)),
    }
    metadata = {f"{name}_{k}": v for name, build in full.items() for k, v in listing(build).items()}
    common.save("text_encoders", tensors, **metadata)
