"""LPIPS, its training and its scores, against the public package `lpips` 0.1.4.

Weights and pictures come from formulas that both sides compute; stored are distances, digests of
gradients, and ten-step training curves.
"""
import contextlib
import io
import types
import warnings

import lpips
import numpy as np
import torch
from lpips import trainer as lpips_trainer

from .common import digest, fill_by_formula, fill_named, randn, save

SIZES = {"vgg": (32, 40), "alex": (64, 47), "squeeze": (40, 33)}


def picture(seed: int, height: int, width: int, count: int = 2) -> torch.Tensor:
    return (0.5 * randn(count, 3, height, width, seed=seed)).clamp(-1, 1)


def backbone_parameters(net: lpips.LPIPS) -> dict[str, torch.Tensor]:
    """The backbone's under torchvision's names: "net.slice2.4.bias" is "features.4.bias"."""
    return {
        "features." + name.split(".", 2)[2]: p
        for name, p in net.named_parameters()
        if name.startswith("net.")
    }


def lin_parameters(net: lpips.LPIPS) -> list[torch.Tensor]:
    return [list(lin.parameters())[0] for lin in net.lins]


def fill(net: lpips.LPIPS) -> lpips.LPIPS:
    fill_named(backbone_parameters(net), 1000)
    with torch.no_grad():
        for k, weight in enumerate(lin_parameters(net)):
            weight.copy_(randn(*weight.shape, seed=2000 + k).abs() / weight.shape[1])
    return net.eval()


@contextlib.contextmanager
def quietly():
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def make_net(name: str, **options) -> lpips.LPIPS:
    with quietly():
        return fill(lpips.LPIPS(False, name, pnet_rand=True, **options))


def make_distances(out: dict[str, torch.Tensor]) -> None:
    for name, size in SIZES.items():
        net = make_net(name, pnet_tune=True)
        in0, in1 = picture(1, *size), picture(2, *size).requires_grad_(True)
        distance = net(in0, in1)
        out[f"{name}.distance"] = distance.flatten()
        distance.sum().backward()
        out[f"{name}.picture_grad"] = digest([in1.grad])
        grads = [p.grad for _, p in sorted(backbone_parameters(net).items())]
        out[f"{name}.backbone_grads"] = digest(grads)
        out[f"{name}.lin_grads"] = digest([p.grad for p in lin_parameters(net)])
        net.spatial = True
        out[f"{name}.map"] = digest(list(net(in0, in1)))


def make_trainer(name: str, tune: bool) -> lpips.Trainer:
    trainer = lpips.Trainer()
    with quietly():
        trainer.initialize("lpips", name, use_gpu=False, is_train=True, pnet_rand=True,
                           pnet_tune=tune, lr=1e-3)
    fill(trainer.net)
    fill_by_formula(trainer.rankLoss.net, 3000)
    if tune:
        # The package's clamp also reaches SqueezeNet's own 1x1 convolutions.
        trainer.clamp_weights = types.MethodType(clamp_weightings, trainer)
    return trainer


def clamp_weightings(trainer: lpips.Trainer) -> None:
    with torch.no_grad():
        for weight in lin_parameters(trainer.net):
            weight.clamp_(min=0)


def make_curve(out: dict[str, torch.Tensor], mode: str, name: str, side: int) -> None:
    trainer = make_trainer(name, tune=mode != "lin")
    rows = []
    for step in range(10):
        ref, noise0, noise1 = (picture(100 * k + step, side, side, 3) for k in (1, 2, 3))
        judge = torch.tensor([0.0, 1.0, 0.4]).view(3, 1, 1, 1)
        data = {"ref": ref, "p0": (ref + 0.3 * noise0).clamp(-1, 1),
                "p1": (ref + 0.5 * noise1).clamp(-1, 1), "judge": judge}
        trainer.set_input(data)
        trainer.optimize_parameters()
        if step == 0:
            grads = [p.grad for _, p in sorted(trainer.rankLoss.net.named_parameters())]
            out[f"{mode}.rank_grads"] = digest(grads)
            out[f"{mode}.lin_grads"] = digest([p.grad for p in lin_parameters(trainer.net)])
        if step == 5:
            with quietly():
                trainer.update_learning_rate(4)
        rows.append([trainer.loss_total.item(), float(np.mean(trainer.acc_r))])
    out[f"{mode}.curve"] = torch.tensor(rows)
    out[f"{mode}.lins"] = digest(lin_parameters(trainer.net))
    rank = sorted(trainer.rankLoss.net.named_parameters())
    out[f"{mode}.rank"] = digest([p for _, p in rank])
    if mode != "lin":
        weights = sorted(backbone_parameters(trainer.net).items())
        out[f"{mode}.backbone"] = digest([p for _, p in weights])


class Loader:
    """What the package's scores iterate over: batches of distances instead of pictures."""

    def __init__(self, batches: list[dict[str, torch.Tensor]]):
        self.batches = batches

    def load_data(self):
        return self.batches


def make_scores(out: dict[str, torch.Tensor]) -> None:
    d0, d1 = randn(40, seed=7).abs(), randn(40, seed=8).abs()
    d1[::9] = d0[::9]
    judge = (randn(40, seed=9) * 0.4 + 0.5).clamp(0, 1)
    same = (judge * 3).round() / 3
    zero = torch.zeros(40)
    distance = lambda a, b: b - a  # noqa: E731
    with contextlib.redirect_stderr(io.StringIO()):
        two = Loader([{"ref": zero, "p0": d0, "p1": d1, "judge": judge}])
        out["score.2afc"] = torch.tensor(lpips_trainer.score_2afc_dataset(two, distance)[0])
        jnd = Loader([{"p0": zero, "p1": d0, "same": same}])
        out["score.jnd"] = torch.tensor(lpips_trainer.score_jnd_dataset(jnd, distance)[0])


def make() -> None:
    torch.use_deterministic_algorithms(True)
    out: dict[str, torch.Tensor] = {}
    make_distances(out)
    make_curve(out, "lin", "alex", 32)
    make_curve(out, "scratch", "squeeze", 32)
    make_scores(out)
    save("lpips", out, reference="lpips 0.1.4, torchvision 0.26.0")
