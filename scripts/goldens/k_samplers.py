"""Samplers that diffusers has no class for, written from their papers, beside classes of diffusers
that need something to run here (torchsde, another schedule).

A sampler is a function of (model, sigmas, draw): model(x, sigma) is x_0, draw() unit noise. Each runs
on EulerDiscreteScheduler's noise levels, as k-diffusion's samplers do.
"""
import math
import sys
import types

import diffusers
import numpy
import torch

LIKE_EULER = {"num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02,
              "beta_schedule": "linear", "prediction_type": "epsilon",
              "timestep_spacing": "linspace", "steps_offset": 0, "use_karras_sigmas": False,
              "use_exponential_sigmas": False, "use_beta_sigmas": False}


def sde_class():
    """DPMSolverSDEScheduler; torchsde only makes its noise, which the goldens replace."""
    sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
    from diffusers.schedulers import scheduling_dpmsolver_sde

    return scheduling_dpmsolver_sde.DPMSolverSDEScheduler


def ancestral(sigma: float, sigma_next: float) -> tuple[float, float]:
    """Where a step leads to before noise brings it back to sigma_next, and that noise's size:
    down² + up² = sigma_next². In fp32, whose cancellation is part of what all public code gives."""
    a, b = torch.tensor(sigma, dtype=torch.float32), torch.tensor(sigma_next, dtype=torch.float32)
    up = (b**2 * (a**2 - b**2) / a**2) ** 0.5
    return float((b**2 - up**2) ** 0.5), float(up)


def dpmpp_2s_a(model, x, sigmas, draw):
    """DPM-Solver++(2S), Lu et al. 2022b, Algorithm 1 in λ = -log σ, x scaled so that α = 1."""
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        x0 = model(x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        down, up = ancestral(sigma, sigma_next)
        h = math.log(sigma / down)
        middle = sigma * math.exp(-h / 2)
        u = middle / sigma * x - math.expm1(-h / 2) * x0
        x = down / sigma * x - math.expm1(-h) * model(u, middle)
        x = x + up * draw()
    return x


def dpmpp_3m_sde(model, x, sigmas, draw):
    """Third-order multistep on dx = 2(x - x_0) dλ + noise: x_0 by its divided differences in λ
    (Lu et al. 2022b, appendix B.6, for the SDE), the integrals exp(-2h)-weighted."""
    outputs, lambdas = [], []
    for sigma, sigma_next in zip(sigmas[:-1], sigmas[1:]):
        x0 = model(x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        outputs.append(x0)
        lambdas.append(-math.log(sigma))
        h = -math.log(sigma_next) - lambdas[-1]
        decay = math.exp(-2 * h)
        x = decay * x + (1 - decay) * x0
        first = second = None
        if len(outputs) > 1:
            first = (outputs[-1] - outputs[-2]) / (lambdas[-1] - lambdas[-2])
        if len(outputs) > 2:
            before = (outputs[-2] - outputs[-3]) / (lambdas[-2] - lambdas[-3])
            # Newton's form: f[λ0, λ-1, λ-2]; the slope at λ0 is f[λ0, λ-1] + (λ0 - λ-1) f[…].
            second = (first - before) / (lambdas[-1] - lambdas[-3])
            first = first + (lambdas[-1] - lambdas[-2]) * second
        if first is not None:  # ∫ 2 e^{-2(h-s)} s ds
            x = x + (h - (1 - decay) / 2) * first
        if second is not None:  # half of ∫ 2 e^{-2(h-s)} s² ds, as all public code has it
            x = x + (h**2 - h + (1 - decay) / 2) / 2 * second
        x = x + sigma_next * math.sqrt(1 - decay) * draw()
    return x


def heun_step(model, x, sigma, sigma_next):
    slope = (x - model(x, sigma)) / sigma
    there = x + (sigma_next - sigma) * slope
    if sigma_next == 0:
        return there
    slope_there = (there - model(there, sigma_next)) / sigma_next
    return x + (sigma_next - sigma) * (slope + slope_there) / 2


def restart(model, x, sigmas, draw, times=0, each=0):
    """Xu et al. 2023, Algorithm 2: from σ ≈ 0.1 `times` times up to σ ≈ 2 by noise and down again in
    `each` Heun steps, even in σ^(1/7)."""
    low = min(range(len(sigmas)), key=lambda i: abs(sigmas[i] - 0.1))
    high = min(range(len(sigmas)), key=lambda i: abs(sigmas[i] - 2.0))
    for i in range(len(sigmas) - 1):
        x = heun_step(model, x, sigmas[i], sigmas[i + 1])
        for _ in range(times if i + 1 == low and high < low else 0):
            x = x + math.sqrt(sigmas[high] ** 2 - sigmas[low] ** 2) * draw()
            a, b = sigmas[high] ** (1 / 7), sigmas[low] ** (1 / 7)
            again = [(a + (b - a) * k / each) ** 7 for k in range(each + 1)]
            again[0], again[-1] = sigmas[high], sigmas[low]
            for sigma, sigma_next in zip(again[:-1], again[1:]):
                x = heun_step(model, x, sigma, sigma_next)
    return x


def restart_plan(steps: int) -> dict[str, int]:
    if steps < 20:
        return {}
    return {"times": 1, "each": 9} if steps < 36 else {"times": 2, "each": steps // 4}


def x0_of(prediction: str, output, x, sigma: float):
    if prediction == "epsilon":
        return x - sigma * output
    if prediction == "v_prediction":
        return -sigma / math.sqrt(sigma**2 + 1) * output + x / (sigma**2 + 1)
    return output


SAMPLERS = {"dpmpp-2s-a": dpmpp_2s_a, "dpmpp-3m-sde": dpmpp_3m_sde, "restart": restart}


class Levels:
    """A noise schedule with EulerDiscreteScheduler's levels and its way from σ to the timestep."""

    def __init__(self, fields: dict, steps: int):
        fields = {k: v for k, v in fields.items() if k in LIKE_EULER}
        self.euler = diffusers.EulerDiscreteScheduler(**{**LIKE_EULER, **fields})
        self.euler.set_timesteps(steps)
        self.sigmas = [float(s) for s in self.euler.sigmas]
        alphas = self.euler.alphas_cumprod.numpy()
        self.log_sigmas = numpy.log(((1 - alphas) / alphas) ** 0.5)
        self.planned = dict(zip(self.sigmas, self.euler.timesteps.tolist()))

    def timestep(self, sigma: float) -> float:
        if sigma in self.planned:
            return self.planned[sigma]
        return float(self.euler._sigma_to_t(numpy.float64(sigma), self.log_sigmas))


def trajectory(name: str, fields: dict, steps: int, level: int, begin: int, start, noises, model):
    """(states, [timesteps, sigmas] of the calls, calls after which noise was drawn) of a run from a
    level, whose call is number `begin`."""
    plan = restart_plan(steps) if name == "restart" else {}
    levels = Levels(fields, steps - plan.get("times", 0) * plan.get("each", 0))
    sigmas = levels.sigmas[level:]
    states, calls, draws = [], [], []

    def denoise(x, sigma):
        states.append(x)
        t = levels.timestep(sigma)
        calls.append((t, sigma))
        output = model(x / math.sqrt(sigma**2 + 1), t)
        return x0_of(fields.get("prediction_type", "epsilon"), output, x, sigma)

    def draw():
        at = begin + len(calls) - 1
        draws.append(at)
        return noises[at % len(noises)]

    x = start(levels.euler, sigmas[0])
    states.append(SAMPLERS[name](denoise, x, sigmas, draw, **plan))
    return torch.stack(states), calls, draws


class IPNDM(diffusers.IPNDMScheduler):
    """IPNDMScheduler on EulerDiscreteScheduler's levels: its alphas and betas are √ᾱ and √(1-ᾱ)."""

    def take(self, levels: Levels) -> None:
        sigmas = torch.tensor(levels.sigmas, dtype=torch.float64)
        self.set_timesteps(len(sigmas) - 1)
        self.alphas = 1 / (sigmas**2 + 1) ** 0.5
        self.betas = sigmas * self.alphas
        self.timesteps = levels.euler.timesteps


def ipndm_trajectory(fields: dict, steps: int, begin: int, start, model):
    levels = Levels(fields, steps)
    s = IPNDM()
    s.take(levels)
    s.set_begin_index(begin)
    x = start(levels.euler, levels.sigmas[begin])
    states = [x]
    for i in range(begin, steps):
        sigma, scale = levels.sigmas[i], float(s.alphas[i])
        output = model(x / math.sqrt(sigma**2 + 1), float(s.timesteps[i]))
        x0 = x0_of(fields.get("prediction_type", "epsilon"), output, x, sigma)
        # Its model predicts v of the variance-preserving sample.
        v = scale * (x - x0) / sigma - float(s.betas[i]) * x0
        moved = s.step(v.double(), s.timesteps[i], x.double() * scale).prev_sample
        x = (moved / s.alphas[i + 1]).float()
        states.append(x)
    return torch.stack(states), [], []
