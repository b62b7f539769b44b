"""Changes of a weight that LoRA files of every form describe, from their papers' formulas written out
in loops over numpy arrays; compared with LyCORIS' own functions where that package is installed."""
import itertools

import numpy as np
import torch

from . import common

OUT, IN, RANK = 8, 8, 2
QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


def draw(name: str, *shape: int) -> torch.Tensor:
    return common.randn(*shape, seed=sum(map(ord, name)) + len(shape))


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[out, r] · [r, …] → [out, …]."""
    return sum(np.multiply.outer(a[:, r], b[r]) for r in range(b.shape[0]))


def tucker(core: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """core [r, s, k, k], a [r, out], b [s, in] → [out, in, k, k]."""
    out = np.zeros((a.shape[1], b.shape[1], *core.shape[2:]), np.float64)
    for r, s in itertools.product(range(core.shape[0]), range(core.shape[1])):
        out += np.multiply.outer(np.multiply.outer(a[r], b[s]), core[r, s])
    return out


def kronecker(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[o1, i1] ⊗ [o2, i2, …] → [o1 o2, i1 i2, …]."""
    o2, i2 = second.shape[:2]
    out = np.zeros((first.shape[0] * o2, first.shape[1] * i2, *second.shape[2:]), np.float64)
    for o, i in itertools.product(range(first.shape[0]), range(first.shape[1])):
        out[o * o2:(o + 1) * o2, i * i2:(i + 1) * i2] = first[o, i] * second
    return out


def cases() -> dict[str, tuple[str, dict, object, float]]:
    """name: layer, shapes of the tensors, ΔW of their arrays, alpha."""
    k = (3, 3)
    return {
        "loha": (QUERY, {"hada_w1_a": (OUT, RANK), "hada_w1_b": (RANK, IN), "hada_w2_a": (OUT, RANK),
                         "hada_w2_b": (RANK, IN)},
                 lambda t: product(t["hada_w1_a"], t["hada_w1_b"])
                 * product(t["hada_w2_a"], t["hada_w2_b"]), 1.0),
        "loha_conv": (CONV, {"hada_w1_a": (OUT, RANK), "hada_w1_b": (RANK, IN * 9),
                             "hada_w2_a": (OUT, RANK), "hada_w2_b": (RANK, IN * 9)},
                      lambda t: (product(t["hada_w1_a"], t["hada_w1_b"])
                                 * product(t["hada_w2_a"], t["hada_w2_b"])).reshape(OUT, IN, 3, 3), 4.0),
        "loha_tucker": (CONV, {"hada_t1": (RANK, RANK, *k), "hada_w1_a": (RANK, OUT),
                               "hada_w1_b": (RANK, IN), "hada_t2": (RANK, RANK, *k),
                               "hada_w2_a": (RANK, OUT), "hada_w2_b": (RANK, IN)},
                        lambda t: tucker(t["hada_t1"], t["hada_w1_a"], t["hada_w1_b"])
                        * tucker(t["hada_t2"], t["hada_w2_a"], t["hada_w2_b"]), 1.0),
        "lokr": (QUERY, {"lokr_w1": (2, 4), "lokr_w2": (4, 2)},
                 lambda t: kronecker(t["lokr_w1"], t["lokr_w2"]), None),
        "lokr_low_rank": (QUERY, {"lokr_w1_a": (2, RANK), "lokr_w1_b": (RANK, 2),
                                  "lokr_w2_a": (4, RANK), "lokr_w2_b": (RANK, 4)},
                          lambda t: kronecker(product(t["lokr_w1_a"], t["lokr_w1_b"]),
                                              product(t["lokr_w2_a"], t["lokr_w2_b"])), 3.0),
        "lokr_conv": (CONV, {"lokr_w1": (2, 2), "lokr_w2_a": (4, RANK), "lokr_w2_b": (RANK, 4 * 9)},
                      lambda t: kronecker(t["lokr_w1"], product(t["lokr_w2_a"], t["lokr_w2_b"])
                                          .reshape(4, 4, 3, 3)), 1.0),
        "lokr_tucker": (CONV, {"lokr_w1": (2, 2), "lokr_t2": (RANK, RANK, *k), "lokr_w2_a": (RANK, 4),
                               "lokr_w2_b": (RANK, 4)},
                        lambda t: kronecker(t["lokr_w1"], tucker(t["lokr_t2"], t["lokr_w2_a"],
                                                                 t["lokr_w2_b"])), 1.0),
        "locon_tucker": (CONV, {"lora_up.weight": (OUT, RANK, 1, 1), "lora_mid.weight": (RANK, RANK, *k),
                                "lora_down.weight": (RANK, IN, 1, 1)},
                         lambda t: tucker(t["lora_mid.weight"], t["lora_up.weight"][:, :, 0, 0].T,
                                          t["lora_down.weight"][:, :, 0, 0]), 4.0),
        "diff": (CONV, {"diff": (OUT, IN, *k)}, lambda t: t["diff"], None),
    }


def compare_with_lycoris(name: str, t: dict, change: torch.Tensor) -> None:
    try:
        from lycoris.functional import locon, loha, lokr
    except ImportError:
        return
    if name == "loha_tucker":
        theirs = loha.make_weight_tucker(t["hada_t1"], t["hada_w1_b"], t["hada_w1_a"], t["hada_t2"],
                                         t["hada_w2_b"], t["hada_w2_a"], torch.tensor(1.0))
    elif name.startswith("loha"):
        theirs = loha.make_weight(t["hada_w1_b"], t["hada_w1_a"], t["hada_w2_b"], t["hada_w2_a"],
                                  torch.tensor(1.0))
    elif name.startswith("lokr"):
        keys = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
        weights = [t.get(key) for key in keys]
        if name == "lokr_conv":
            weights[5] = weights[5].reshape(RANK, 4, 3, 3)
        rank = next((w.shape[1] for w in (weights[1], weights[4]) if w is not None), 1.0)
        theirs = lokr.diff_weight(*weights, gamma=float(rank))
    elif name == "locon_tucker":
        theirs = locon.diff_weight(t["lora_down.weight"], t["lora_up.weight"], t["lora_mid.weight"])
    else:
        return
    worst = (theirs.reshape(change.shape) - change).abs().max().item()
    print(f"  {name}: LyCORIS differs by {worst:.1e}")
    assert worst < 1e-4


def make() -> None:
    tensors: dict[str, torch.Tensor] = {}
    described: dict[str, str] = {}
    for name, (layer, shapes, formula, alpha) in cases().items():
        factors = {key: draw(name + key, *shape) for key, shape in shapes.items()}
        change = torch.from_numpy(formula({k: v.double().numpy() for k, v in factors.items()})).float()
        compare_with_lycoris(name, factors, change)
        tensors |= {f"{name}:{layer}.{key}": value for key, value in factors.items()}
        scale = 1.0
        if alpha is not None:
            tensors[f"{name}:{layer}.alpha"] = torch.tensor(alpha)
            scale = alpha / RANK
        tensors[f"change.{name}"] = change * scale
        described[f"case.{name}"] = layer
    dora(tensors)
    common.save("lora", tensors, **described)


def dora(tensors: dict) -> None:
    """A weight with its norms replaced, half way there: W + s (m (W + ΔW) / ‖W + ΔW‖ - W)."""
    weight = draw("weight", OUT, IN, 3, 3)
    up, down = draw("up", OUT, RANK, 1, 1), draw("down", RANK, IN, 3, 3)
    moved = weight + torch.einsum("or,rikl->oikl", up[:, :, 0, 0], down)
    for kind, norms in (("out", draw("norms", OUT, 1, 1, 1).abs()),
                        ("in", draw("norms", 1, IN, 1, 1).abs())):
        rows = moved.flatten(1).norm(dim=1).view(OUT, 1, 1, 1)
        columns = moved.transpose(0, 1).flatten(1).norm(dim=1).view(1, IN, 1, 1)
        whole = norms * moved / (rows if kind == "out" else columns)
        tensors |= {f"dora_{kind}:{CONV}.lora_up.weight": up,
                    f"dora_{kind}:{CONV}.lora_down.weight": down,
                    f"dora_{kind}:{CONV}.dora_scale": norms,
                    f"dora_{kind}.weight": weight,
                    f"dora_{kind}.merged": weight + 0.5 * (whole - weight)}
