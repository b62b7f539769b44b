"""Schedules, timesteps and trajectories of diffusers' schedulers.

A trajectory's key says how it was made, "steps=7,prediction_type=sample,…|x": every field differs
from the class's defaults, so that the C++ test can set it through SchedulerConfig::visit. Special
keys: steps, begin (img2img's first index), eta, learned (the model's output has a variance half).
The model is `model` below, a closed form that the test evaluates by itself.
"""
import contextlib
import inspect

import diffusers
import diffusers.schedulers.scheduling_ddpm as ddpm_module
import diffusers.schedulers.scheduling_dpmsolver_multistep as dpm_module
import diffusers.schedulers.scheduling_euler_ancestral_discrete as euler_a_module
import torch

from .common import randn, save

SAMPLERS = {
    "ddim": diffusers.DDIMScheduler,
    "ddpm": diffusers.DDPMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "dpmpp-2m": diffusers.DPMSolverMultistepScheduler,
}
STABLE_DIFFUSION = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "clip_sample": False,
    "skip_prk_steps": True,
}
NOISES = 12
SPACINGS = ("leading", "trailing", "linspace")
COUNTS = (1, 2, 3, 7, 20, 30, 50, 999, 1000)


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    return 0.5 * x + 0.3 * torch.tanh(x * (t / 1000 + 0.5))


def sample() -> torch.Tensor:
    return randn(2, 4, 4, 4, seed=1)


def noises() -> torch.Tensor:
    return randn(NOISES, 2, 4, 4, 4, seed=2)


def build(name: str, fields: dict) -> object:
    known = SAMPLERS[name]().config
    merged = {**STABLE_DIFFUSION, **fields}
    return SAMPLERS[name](**{k: v for k, v in merged.items() if k in known})


@contextlib.contextmanager
def fixed_noise(draws: list[int], step: list[int]):
    """Makes the schedulers' own draws come from noises(), and notes the steps that draw."""
    table = noises()

    def draw(*_, **__):
        draws.append(step[0])
        return table[step[0] % NOISES]

    modules = (diffusers.schedulers.scheduling_ddim, ddpm_module, dpm_module, euler_a_module)
    saved = [m.randn_tensor for m in modules]
    for m in modules:
        m.randn_tensor = draw
    try:
        yield
    finally:
        for m, f in zip(modules, saved):
            m.randn_tensor = f


def trajectory(name: str, **options) -> dict[str, torch.Tensor]:
    key = ",".join(f"{k}={v}" for k, v in options.items())
    steps = options.pop("steps")
    begin = options.pop("begin", 0)
    eta = options.pop("eta", 0)
    learned = options.pop("learned", False)
    s = build(name, options)
    s.set_timesteps(steps)
    if hasattr(s, "set_begin_index"):
        s.set_begin_index(begin)  # without it diffusers starts at the second of two equal timesteps
    if begin:
        x = s.add_noise(sample(), noises()[0], s.timesteps[begin : begin + 1])
    else:
        x = sample() * s.init_noise_sigma
    states, draws, step = [x], [], [0]
    with fixed_noise(draws, step):
        for i in range(begin, len(s.timesteps)):
            step[0] = i
            t = s.timesteps[i]
            seen = s.scale_model_input(x, t)
            output = model(seen, float(t))
            if learned:
                output = torch.cat([output, 0.25 + 0.5 * torch.tanh(seen) ** 2], dim=1)
            extra = {"eta": eta} if name == "ddim" else {}
            x = s.step(output, t, x, **extra).prev_sample
            states.append(x)
    x = torch.stack(states)
    assert x.dtype == torch.float32 and torch.isfinite(x).all(), key
    drawn = torch.tensor([i in draws for i in range(len(s.timesteps))], dtype=torch.uint8)
    return {f"{key}|x": x, f"{key}|draws": drawn}


def plans(name: str) -> dict[str, torch.Tensor]:
    out = {}
    for spacing in SPACINGS:
        s = build(name, {"timestep_spacing": spacing})
        for steps in COUNTS:
            s.set_timesteps(steps)
            t = s.timesteps.to(torch.float32)
            # diffusers itself fails there: a timestep beyond the table, or one level for all.
            repeats = steps == 1000 and t[0] == t[1]
            if name not in ("euler", "euler-a") and (t.max() > 999 or repeats):
                continue
            key = f"steps={steps},timestep_spacing={spacing}"
            out[f"{key}|timesteps"] = t
            if hasattr(s, "sigmas"):
                out[f"{key}|sigmas"] = s.sigmas
            out[f"{key}|init"] = torch.tensor(float(s.init_noise_sigma))
    return out


def common_cases(name: str) -> list[dict]:
    predictions = ["epsilon", "v_prediction"]
    if name not in ("pndm", "euler-a"):
        predictions.append("sample")
    cases = [
        {"steps": steps, "prediction_type": p, "timestep_spacing": spacing}
        for p in predictions
        for spacing in SPACINGS
        for steps in (7, 10)
    ]
    cases += [{"steps": n, "prediction_type": "v_prediction"} for n in (1, 2, 3)]
    cases += [{"steps": 10, "beta_schedule": b} for b in ("linear", "squaredcos_cap_v2")]
    cases += [{"steps": 10, "begin": 2}, {"steps": 10, "begin": 7}]
    if name != "pndm":
        cases += [
            {"steps": 7, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True,
             "timestep_spacing": spacing} for spacing in ("trailing", "leading")
        ]
    return cases


LIMITS = [
    {"steps": 7, "clip_sample": True},
    {"steps": 7, "clip_sample": True, "clip_sample_range": 0.5, "prediction_type": "v_prediction"},
    {"steps": 7, "thresholding": True, "sample_max_value": 1.5},
    {"steps": 7, "thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 3.0,
     "prediction_type": "v_prediction"},
]
SIGMA_SPACINGS = [
    {"steps": 8, "use_karras_sigmas": True},
    {"steps": 8, "use_exponential_sigmas": True},
    {"steps": 1, "use_karras_sigmas": True},
]


def dpm_cases() -> list[dict]:
    cases = [{"steps": 20}]
    for algorithm in ("dpmsolver++", "dpmsolver", "sde-dpmsolver++", "sde-dpmsolver"):
        for solver in ("midpoint", "heun"):
            for order in (1, 2, 3):
                if algorithm == "sde-dpmsolver" and order == 3 or solver == "heun" and order != 2:
                    continue
                cases.append({"steps": 7, "algorithm_type": algorithm, "solver_type": solver,
                              "solver_order": order, "final_sigmas_type": "sigma_min"})
    for p in ("v_prediction", "sample"):
        cases.append({"steps": 7, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min",
                      "prediction_type": p})
    for order in (2, 3):
        cases.append({"steps": 10, "solver_order": order, "lower_order_final": False})
        cases.append({"steps": 16, "solver_order": order, "euler_at_final": True})
        cases.append({"steps": 16, "solver_order": order, "final_sigmas_type": "sigma_min"})
        cases.append({"steps": 10, "solver_order": order, "begin": 4})
    cases.append({"steps": 7, "algorithm_type": "sde-dpmsolver++"})
    cases.append({"steps": 7, "beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1})
    cases.append({"steps": 7, "beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True})
    cases.append({"steps": 8, "use_lu_lambdas": True})
    cases.append({"steps": 7, "algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min",
                  "thresholding": True, "sample_max_value": 1.5})
    return cases + LIMITS[2:] + SIGMA_SPACINGS


def own_cases(name: str) -> list[dict]:
    if name == "ddim":
        return LIMITS + [
            {"steps": 7, "eta": 0.5}, {"steps": 7, "eta": 1.0, "prediction_type": "v_prediction"},
            {"steps": 7, "set_alpha_to_one": False}, {"steps": 50},
        ]
    if name == "ddpm":
        kinds = ("fixed_small_log", "fixed_large")
        return LIMITS + [{"steps": 7, "variance_type": v} for v in kinds] + [
            {"steps": 7, "variance_type": v, "learned": True} for v in ("learned", "learned_range")
        ] + [{"steps": 7, "steps_offset": 0}, {"steps": 7, "beta_schedule": "laplace"}]
    if name == "pndm":
        return [
            {"steps": 7, "skip_prk_steps": False}, {"steps": 4, "skip_prk_steps": False},
            {"steps": 10, "skip_prk_steps": False, "prediction_type": "v_prediction",
             "timestep_spacing": "linspace"},
            {"steps": 7, "set_alpha_to_one": True}, {"steps": 10, "begin": 1}, {"steps": 20},
        ]
    if name == "euler":
        return SIGMA_SPACINGS + [
            {"steps": 8, "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.0},
            {"steps": 7, "final_sigmas_type": "sigma_min"},
            {"steps": 7, "interpolation_type": "log_linear"},
            {"steps": 7, "timestep_type": "continuous", "prediction_type": "v_prediction"},
        ]
    return dpm_cases() if name == "dpmpp-2m" else []


def tables() -> dict[str, torch.Tensor]:
    out = {}
    for name in ("linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"):
        s = diffusers.DDPMScheduler(beta_schedule=name, beta_start=0.00085, beta_end=0.012)
        out[f"beta_schedule={name}|betas"] = s.betas
        out[f"beta_schedule={name}|alphas_cumprod"] = s.alphas_cumprod
    key = "beta_schedule=scaled_linear,rescale_betas_zero_snr=True"
    s = build("ddim", {"rescale_betas_zero_snr": True})
    out[f"{key}|betas"], out[f"{key}|alphas_cumprod"] = s.betas, s.alphas_cumprod
    betas = torch.linspace(0.001, 0.03, 100).tolist()
    s = diffusers.DDIMScheduler(num_train_timesteps=100, trained_betas=betas)
    out["trained|betas"], out["trained|alphas_cumprod"] = s.betas, s.alphas_cumprod
    return out


def defaults(name: str) -> str:
    """The class's own defaults, to which the C++ row's must be equal."""
    skipped = {"trained_betas", "flow_shift", "use_dynamic_shifting", "time_shift_type"}
    parameters = inspect.signature(SAMPLERS[name].__init__).parameters.values()
    return ",".join(
        f"{p.name}={p.default}" for p in parameters if p.name != "self" and p.name not in skipped
    )


def make() -> None:
    save("schedulers/common", {"sample": sample(), "noise": noises(), **tables()})
    for name in SAMPLERS:
        out = plans(name)
        for case in common_cases(name) + own_cases(name):
            out.update(trajectory(name, **case))
        save(f"schedulers/{name}", out, defaults=defaults(name))
