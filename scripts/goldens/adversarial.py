"""The PatchGAN discriminator and the adversarial losses, against taming-transformers.

Weights and pictures come from formulas that both sides compute; stored are outputs, digests of
gradients, and a ten-step training curve.
"""
import types

import torch
from taming.modules.discriminator.model import NLayerDiscriminator
from taming.modules.losses import vqperceptual as taming

from .common import digest, fill_by_formula, randn, save

R1_GAMMA, START = 10.0, 3


def make_discriminator(n_layers: int) -> NLayerDiscriminator:
    return fill_by_formula(NLayerDiscriminator(3, 8, n_layers), 100).train()


def gradients(module: torch.nn.Module) -> list[torch.Tensor]:
    return [p.grad for _, p in sorted(module.named_parameters())]


def r1(real: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    (grad,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return R1_GAMMA / 2 * (grad**2).sum(dim=(1, 2, 3)).mean()


def adaptive_weight(nll, g_loss, last_layer, weight=1.0) -> torch.Tensor:
    stub = types.SimpleNamespace(discriminator_weight=weight)
    method = taming.VQLPIPSWithDiscriminator.calculate_adaptive_weight
    return method(stub, nll, g_loss, last_layer=last_layer)


def make_outputs(out: dict[str, torch.Tensor]) -> None:
    x = randn(2, 3, 32, 40, seed=1)
    for n_layers in (1, 3):
        d = make_discriminator(n_layers)
        out[f"train.{n_layers}"] = d(x)
        stats = [b for n, b in sorted(d.named_buffers()) if "running" in n]
        out[f"stats.{n_layers}"] = torch.cat(stats)
        out[f"eval.{n_layers}"] = d.eval()(x)


def make_losses(out: dict[str, torch.Tensor]) -> None:
    real, fake = randn(2, 3, 32, 32, seed=2), randn(2, 3, 32, 32, seed=3)
    for name, loss_of in {"hinge": taming.hinge_d_loss, "vanilla": taming.vanilla_d_loss}.items():
        d = make_discriminator(3)
        loss = loss_of(d(real), d(fake))
        loss.backward()
        out[f"{name}.loss"], out[f"{name}.grads"] = loss, digest(gradients(d))
    d = make_discriminator(3)
    real.requires_grad_(True)
    penalty = r1(real, d(real))
    penalty.backward()
    # The last bias shifts every logit alike: it has no part in a gradient by the pictures.
    grads = [p.grad for _, p in sorted(d.named_parameters()) if p.grad is not None]
    out["r1.loss"], out["r1.grads"] = penalty, digest(grads)


def make_curve(out: dict[str, torch.Tensor]) -> None:
    d = make_discriminator(2)
    decoder = fill_by_formula(torch.nn.Conv2d(4, 3, 3, padding=1), 200)
    optimizers = [torch.optim.Adam(m.parameters(), lr=2e-3, betas=(0.5, 0.9)) for m in (decoder, d)]
    rows = []
    for step in range(10):
        real = randn(2, 3, 16, 16, seed=300 + step).clamp(-1, 1)
        fake = decoder(randn(2, 4, 16, 16, seed=400 + step))
        nll = (real - fake).abs().mean()
        active = step >= START
        row = [nll.detach(), *torch.zeros(4)]
        loss = nll
        if active:
            g_loss = -d(fake).mean()
            row[1], row[2] = g_loss.detach(), adaptive_weight(nll, g_loss, decoder.weight)
            loss = nll + adaptive_weight(nll, g_loss, decoder.weight, 0.8) * g_loss
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        if active:
            leaf = real.clone().requires_grad_(True)
            logits = d(leaf)
            d_loss = taming.hinge_d_loss(logits, d(fake.detach()))
            if step % 2 == 0:
                penalty = 2 * 1e-3 * r1(leaf, logits)
                row[4] = penalty.detach()
                d_loss = d_loss + penalty
            row[3] = d_loss.detach()
            optimizers[1].zero_grad()
            d_loss.backward()
            optimizers[1].step()
        rows.append(torch.stack(row))
    out["curve"] = torch.stack(rows)
    out["curve.decoder"] = digest([decoder.bias, decoder.weight])
    out["curve.discriminator"] = digest([p for _, p in sorted(d.named_parameters())])


def make() -> None:
    torch.use_deterministic_algorithms(True)
    out: dict[str, torch.Tensor] = {}
    make_outputs(out)
    make_losses(out)
    make_curve(out)
    save("adversarial", out, reference="taming-transformers-rom1504 0.0.6")
