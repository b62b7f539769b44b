"""What every golden maker shares: seeds, deterministic random weights, files with provenance."""
import pathlib

import diffusers
import torch
import transformers
from safetensors.torch import save_file

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"


def generator(seed: int) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(seed)


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed))


def randomise(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Fills every parameter so that outputs keep a scale near one; norms and biases included, so
    that a missing bias or a swapped norm shows."""
    g = generator(seed)
    with torch.no_grad():
        for name, p in sorted(module.named_parameters()):
            if p.ndim > 1:
                fan_in = p[0].numel()
                p.copy_(torch.randn(p.shape, generator=g) / fan_in**0.5)
            elif "norm" in name and name.endswith("weight"):
                p.copy_(1 + 0.2 * torch.randn(p.shape, generator=g))
            else:
                p.copy_(0.1 * torch.randn(p.shape, generator=g))
    return module.eval()


def save(name: str, tensors: dict[str, torch.Tensor], **metadata: str) -> None:
    """Writes tests/golden/NAME.safetensors; metadata says how it came to be."""
    path = GOLDEN / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "made_by": f"scripts/make_goldens.py {name.split('/')[0]}",
    }
    meta.update({k: str(v) for k, v in metadata.items()})
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path, meta)
    print(f"  {path.relative_to(GOLDEN)}: {path.stat().st_size / 1e3:.0f} kB")


def fill_by_formula(module: torch.nn.Module, seed: int) -> torch.nn.Module:
    """`fill_named` for all parameters of a module."""
    fill_named(dict(module.named_parameters()), seed)
    return module


def fill_named(parameters: dict[str, torch.Tensor], seed: int) -> None:
    """Weights that both sides compute: the i-th parameter in name order from seed + i, matrices
    of variance 2/fan_in, other weights around one, biases around zero
    (tests/support/tensors.h, `fill_by_formula`)."""
    with torch.no_grad():
        for i, (name, p) in enumerate(sorted(parameters.items())):
            values = randn(*p.shape, seed=seed + i)
            if p.ndim > 1:
                p.copy_(values * (2.0 / p[0].numel()) ** 0.5)
            else:
                p.copy_(0.1 * values + (1.0 if name.endswith("weight") else 0.0))


def digest(tensors: list[torch.Tensor]) -> torch.Tensor:
    """[N, 5]: of each tensor the norm and four values spread over it (`digest` in C++)."""
    rows = []
    for t in tensors:
        flat = t.detach().flatten()
        places = [0, flat.numel() // 3, 2 * flat.numel() // 3, flat.numel() - 1]
        rows.append(torch.stack([flat.norm(), *(flat[i] for i in places)]))
    return torch.stack(rows)
