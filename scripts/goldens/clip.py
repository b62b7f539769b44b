"""CLIPTextModel: tiny random encoders (hidden states, clip_skip) and the published sizes' keys."""
import torch
from transformers import CLIPTextConfig, CLIPTextModel

from . import common


def tiny(seed: int, **fields) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=99, num_hidden_layers=3, max_position_embeddings=77, bos_token_id=97,
        eos_token_id=98, pad_token_id=98, **fields,
    )
    model = common.randomise(CLIPTextModel(config), seed)
    with torch.no_grad():
        for table in (model.embeddings.token_embedding, model.embeddings.position_embedding):
            table.weight.copy_(common.randn(*table.weight.shape, seed=seed + table.num_embeddings))
    return model


def record(tensors: dict, name: str, model: CLIPTextModel, ids: torch.Tensor) -> None:
    tensors |= {f"{name}.weights.text_model.{k}": p for k, p in model.named_parameters()}
    tensors[f"{name}.ids"] = ids
    with torch.no_grad():
        out = model(ids, output_hidden_states=True)
        for i, hidden in enumerate(out.hidden_states):
            tensors[f"{name}.hidden.{i}"] = hidden
        tensors[f"{name}.last"] = out.last_hidden_state
        for skip in (1, 2):
            hidden = out.hidden_states[-(skip + 1)]
            tensors[f"{name}.skip.{skip}"] = model.final_layer_norm(hidden)


def listing(**fields) -> tuple[int, str]:
    """Parameter count and "name sizes" lines of a full-size encoder, without its memory."""
    with torch.device("meta"):
        model = CLIPTextModel(CLIPTextConfig(**fields))
    lines = [
        f"text_model.{name} {' '.join(map(str, p.shape))}\n" for name, p in model.named_parameters()
    ]
    return sum(p.numel() for p in model.parameters()), "".join(sorted(lines))


def make() -> None:
    ids = torch.randint(0, 97, (2, 77), generator=common.generator(1))
    ids[:, 0] = 97
    ids[0, 9:] = 98
    ids[1, 76] = 98
    short = torch.tensor([[97, 5, 31, 98]])
    tensors: dict[str, torch.Tensor] = {}
    quick = tiny(2, hidden_size=32, intermediate_size=64, num_attention_heads=2)
    record(tensors, "quick_gelu", quick, ids)
    gelu = tiny(3, hidden_size=64, intermediate_size=96, num_attention_heads=4, hidden_act="gelu",
                layer_norm_eps=1e-3)
    record(tensors, "gelu", gelu, short)
    vit_l = listing(hidden_size=768, intermediate_size=3072, num_attention_heads=12)
    vit_h = listing(hidden_size=1024, intermediate_size=4096, num_attention_heads=16,
                    num_hidden_layers=23, hidden_act="gelu")
    common.save("clip", tensors, vit_l_parameters=vit_l[0], vit_l_keys=vit_l[1],
                vit_h_parameters=vit_h[0], vit_h_keys=vit_h[1])
