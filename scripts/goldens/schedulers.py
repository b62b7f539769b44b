"""Schedules, timesteps and trajectories of diffusers' schedulers.

A trajectory's key says how it was made, "steps=7,prediction_type=sample,…|x": every field differs
from the class's defaults, so that the C++ test can set it through SchedulerConfig::visit. Special
keys: steps, begin (img2img's first index), eta, learned (the model's output has a variance half).
The model is `model` below, a closed form that the test evaluates by itself.
"""
import contextlib
import inspect
import math

import diffusers
import diffusers.schedulers.scheduling_ddpm as ddpm_module
import diffusers.schedulers.scheduling_dpmsolver_multistep as dpm_module
import diffusers.schedulers.scheduling_euler_ancestral_discrete as euler_a_module
import diffusers.schedulers.scheduling_k_dpm_2_ancestral_discrete as dpm2_a_module
import diffusers.schedulers.scheduling_lcm as lcm_module
import diffusers.schedulers.scheduling_tcd as tcd_module
import numpy
import torch

from . import k_samplers
from .common import randn, save

SAMPLERS = {
    "ddim": diffusers.DDIMScheduler,
    "ddpm": diffusers.DDPMScheduler,
    "pndm": diffusers.PNDMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "dpmpp-2m": diffusers.DPMSolverMultistepScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "dpm2": diffusers.KDPM2DiscreteScheduler,
    "dpm2-a": diffusers.KDPM2AncestralDiscreteScheduler,
    "lms": diffusers.LMSDiscreteScheduler,
    "dpmpp-sde": k_samplers.sde_class(),
    "dpmpp-2m-sde": diffusers.DPMSolverMultistepScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "deis": diffusers.DEISMultistepScheduler,
    "edm-euler": diffusers.EDMEulerScheduler,
    "lcm": diffusers.LCMScheduler,
    "tcd": diffusers.TCDScheduler,
}
# Samplers without a class whose step and levels could be run as they are.
OWN = (*k_samplers.SAMPLERS, "ipndm")
# What a sampler is, whatever a config says.
FORCED = {"dpmpp-2m-sde": {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}}
ONE_CALL = ("dpmpp-3m-sde", "ipndm")
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
FEW_COUNTS = (1, 2, 3, 7, 20, 50)
FIRST_SAMPLERS = ("ddim", "ddpm", "pndm", "euler", "euler-a", "dpmpp-2m")


def model(x: torch.Tensor, t: float) -> torch.Tensor:
    return 0.5 * x + 0.3 * torch.tanh(x * (t / 1000 + 0.5))


def sample() -> torch.Tensor:
    return randn(2, 4, 2, 2, seed=1)


def noises() -> torch.Tensor:
    return randn(NOISES, 2, 4, 2, 2, seed=2)


def build(name: str, fields: dict) -> object:
    known = SAMPLERS[name]().config
    merged = {**STABLE_DIFFUSION, **fields, **FORCED.get(name, {})}
    return SAMPLERS[name](**{k: v for k, v in merged.items() if k in known})


@contextlib.contextmanager
def fixed_noise(draws: list[int], step: list[int]):
    """Makes the schedulers' own draws come from noises(), and notes the steps that draw."""
    table = noises()

    def draw(*_, **__):
        draws.append(step[0])
        return table[step[0] % NOISES]

    modules = (diffusers.schedulers.scheduling_ddim, ddpm_module, dpm_module, euler_a_module,
               dpm2_a_module, lcm_module, tcd_module)
    saved = [m.randn_tensor for m in modules]
    for m in modules:
        m.randn_tensor = draw
    try:
        yield
    finally:
        for m, f in zip(modules, saved):
            m.randn_tensor = f


def set_levels(s: object, steps: int, schedule: str | None) -> None:
    """The run's levels; those that diffusers has no field for are given to it as a list."""
    if schedule == "ays":
        s.set_timesteps(sigmas=SCHEDULES["ays"](steps, None, None))
    elif schedule:
        sigmas = training_sigmas(s)
        s.set_timesteps(sigmas=[*SCHEDULES[schedule](steps, sigmas[-1], sigmas[0]), 0.0])
    else:
        s.set_timesteps(steps)


def training_sigmas(s: object) -> list[float]:
    alphas = s.alphas_cumprod.double()
    return ((1 - alphas) / alphas).sqrt().tolist()


def polyexponential(steps: int, high: float, low: float, rho: float = 1.0) -> list[float]:
    """k-diffusion's get_sigmas_polyexponential."""
    ramp = torch.linspace(1, 0, steps, dtype=torch.float64) ** rho
    return torch.exp(ramp * (math.log(high) - math.log(low)) + math.log(low)).tolist()


def sgm_uniform(steps: int, *_) -> list[float]:
    """Even timesteps from the last down, without timestep 0; σ interpolated in log σ."""
    log_sigmas = numpy.log(training_sigmas(build("euler", {})))
    timesteps = numpy.linspace(999, 0, steps + 1)[:-1]
    return numpy.exp(numpy.interp(timesteps, numpy.arange(1000), log_sigmas)).tolist()


def ays(steps: int, *_) -> list[float]:
    """The published levels at ten steps; others even along their logarithms."""
    levels = [*diffusers.schedulers.AysSchedules["StableDiffusionSigmas"][:-1], 0.029]
    places = numpy.linspace(0, 10, steps + 1)
    return [*numpy.exp(numpy.interp(places, numpy.arange(11), numpy.log(levels)))[:-1], 0.0]


SCHEDULES = {
    "polyexponential": polyexponential,
    "polyexponential-2": lambda n, high, low: polyexponential(n, high, low, 2.0),
    "sgm-uniform": sgm_uniform,
    "ays": ays,
}


def own_trajectory(name: str, **options) -> dict[str, torch.Tensor]:
    key = ",".join(f"{k}={v}" for k, v in options.items())
    steps, begin = options.pop("steps"), options.pop("begin", 0)
    level = begin if name in ONE_CALL else begin // 2
    fields = {**STABLE_DIFFUSION, **options}
    if name == "dpmpp-3m-sde" and "use_karras_sigmas" not in options:
        fields["use_exponential_sigmas"] = True

    def start(s, sigma):
        x = sample()
        return x + noises()[0] * sigma if begin else x * float(s.init_noise_sigma)

    if name == "ipndm":
        x, calls, draws = k_samplers.ipndm_trajectory(fields, steps, level, start, model)
    else:
        x, calls, draws = k_samplers.trajectory(name, fields, steps, level, begin, start, noises(), model)
    out = {f"{key}|x": x}
    if draws:
        drawn = [i in draws for i in range(begin + len(calls))]
        out[f"{key}|draws"] = torch.tensor(drawn, dtype=torch.uint8)
    if calls and not begin:
        out[f"{key}|timesteps"] = torch.tensor([t for t, _ in calls])
        out[f"{key}|sigmas"] = torch.tensor([*(sigma for _, sigma in calls), 0.0])
    return out


def trajectory(name: str, **options) -> dict[str, torch.Tensor]:
    key = ",".join(f"{k}={v}" for k, v in options.items())
    steps = options.pop("steps")
    begin = options.pop("begin", 0)
    eta = options.pop("eta", 0)
    learned = options.pop("learned", False)
    schedule = options.pop("schedule", None)
    s = build(name, options)
    set_levels(s, steps, schedule)
    if name in ("deis", "lms"):  # whose weights lose digits in fp32
        s.sigmas = s.sigmas.double()
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
            extra = {"eta": eta} if name in ("ddim", "tcd") else {}
            if name == "dpmpp-sde":
                s.noise_sampler = lambda *_: (draws.append(step[0]), noises()[step[0] % NOISES])[1]
            x = s.step(output, t, x, **extra).prev_sample
            states.append(x)
    x = torch.stack(states)
    assert x.dtype == torch.float32 and torch.isfinite(x).all(), key
    if not draws:
        return {f"{key}|x": x}
    drawn = torch.tensor([i in draws for i in range(len(s.timesteps))], dtype=torch.uint8)
    return {f"{key}|x": x, f"{key}|draws": drawn}


def call_sigmas(name: str, s: object) -> torch.Tensor:
    """The level of each model call and of the end."""
    sigmas = s.sigmas
    if name not in ("dpm2", "dpm2-a", "dpmpp-sde"):
        return sigmas
    calls = len(s.timesteps)
    if name == "dpm2":
        second = s.sigmas_interpol
    elif name == "dpm2-a":
        second = torch.cat([s.sigmas_interpol[:1], s.sigmas_interpol[:-1]])
    else:
        second = torch.cat([sigmas[:1], (sigmas[:-1].log() + sigmas[1:].log()).mul(0.5).exp()])
    at = [float(second[i] if i % 2 else sigmas[i]) for i in range(calls)]
    return torch.tensor([*at, 0.0])


def plans(name: str) -> dict[str, torch.Tensor]:
    out = {}
    for spacing in SPACINGS:
        s = build(name, {"timestep_spacing": spacing})
        for steps in COUNTS if name in FIRST_SAMPLERS else FEW_COUNTS:
            s.set_timesteps(steps)
            t = s.timesteps.to(torch.float32)
            # diffusers itself fails there: a timestep beyond the table, or one level for all.
            repeats = steps == 1000 and t[0] == t[1]
            if name not in ("euler", "euler-a") and (t.max() > 999 or repeats):
                continue
            key = f"steps={steps},timestep_spacing={spacing}"
            out[f"{key}|timesteps"] = t
            if hasattr(s, "sigmas"):
                out[f"{key}|sigmas"] = call_sigmas(name, s)
            out[f"{key}|init"] = torch.tensor(float(s.init_noise_sigma))
    return out


def common_cases(name: str) -> list[dict]:
    predictions = ["epsilon", "v_prediction"]
    if name not in ("pndm", "euler-a", "dpm2", "dpm2-a", "dpmpp-sde", "edm-euler"):
        predictions.append("sample")
    cases = [
        {"steps": steps, "prediction_type": p, "timestep_spacing": spacing}
        for p in predictions
        for spacing in SPACINGS
        for steps in ((7, 10) if name in FIRST_SAMPLERS else (7,))
    ]
    cases += [{"steps": n, "prediction_type": "v_prediction"} for n in (1, 2, 3)]
    schedules = ("linear",) if name == "dpm2-a" else ("linear", "squaredcos_cap_v2")  # NaN there
    cases += [{"steps": 10, "beta_schedule": b} for b in schedules]
    if name != "lms":  # the public class weighs slopes that it does not have there
        cases += [{"steps": 10, "begin": 2}, {"steps": 10, "begin": 8}]
    if name in FIRST_SAMPLERS and name != "pndm" or name in ZERO_SNR:
        cases += [
            {"steps": 7, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True,
             "timestep_spacing": spacing} for spacing in ("trailing", "leading")
        ]
    return cases


ZERO_SNR = ("dpmpp-2m-sde", "unipc", "lcm", "tcd")
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


def later_cases(name: str) -> list[dict]:
    """Of the samplers that joined after the first."""
    if name in ("heun", "dpm2", "dpm2-a", "lms", "dpmpp-sde", "dpmpp-2m-sde"):
        clips = [{"steps": 7, "clip_sample": True}] if name == "heun" else []
        return SIGMA_SPACINGS + clips + [{"steps": 20}, {"steps": 7, "use_beta_sigmas": True}]
    if name == "unipc":
        solvers = [{"steps": 10, "solver_order": o} for o in (1, 2, 3)] + [
            {"steps": 10, "solver_order": o, "solver_type": "bh1", "final_sigmas_type": "sigma_min"}
            for o in (1, 2, 3)]  # NaN at a final 0
        epsilon = [{"steps": 7, "predict_x0": False, "final_sigmas_type": "sigma_min",
                    "prediction_type": p} for p in ("epsilon", "v_prediction", "sample")]
        return SIGMA_SPACINGS + LIMITS[2:] + solvers + epsilon + [
            {"steps": 20}, {"steps": 10, "lower_order_final": False, "final_sigmas_type": "sigma_min"},
            {"steps": 8, "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.0},
            {"steps": 10, "solver_order": 3, "begin": 4}, {"steps": 7, "use_beta_sigmas": True}]
    if name == "deis":
        # One step of Karras' levels ends where it begins there.
        return SIGMA_SPACINGS[:2] + LIMITS[2:] + [
            {"steps": n, "solver_order": o} for n in (10, 16) for o in (1, 2, 3)
        ] + [{"steps": 10, "solver_order": 3, "begin": 4}, {"steps": 7, "use_beta_sigmas": True},
             {"steps": 10, "solver_order": 3, "lower_order_final": False}]
    if name == "edm-euler":
        return [{"steps": 7, "sigma_schedule": "exponential"}, {"steps": 7, "rho": 3.0},
                {"steps": 7, "sigma_min": 0.01, "sigma_max": 20.0, "sigma_data": 1.0},
                {"steps": 7, "final_sigmas_type": "sigma_min"}]
    if name == "lcm":
        return LIMITS + [{"steps": 4}, {"steps": 50}, {"steps": 8, "original_inference_steps": 100},
                         {"steps": 4, "timestep_scaling": 0.1}]
    if name == "tcd":
        return [{"steps": n, "eta": e, "prediction_type": p} for n in (4, 7) for e in (0.3, 1.0)
                for p in ("epsilon", "v_prediction", "sample")]
    return []


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
            {"steps": 7, "use_beta_sigmas": True}, {"steps": 20, "use_beta_sigmas": True},
        ] + [{"steps": n, "schedule": s} for s in SCHEDULES for n in (1, 7, 10, 20)]
    return dpm_cases() if name == "dpmpp-2m" else later_cases(name)


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
    if name in OWN:
        own = {"use_exponential_sigmas": True} if name == "dpmpp-3m-sde" else {}
        return ",".join(f"{k}={v}" for k, v in {**k_samplers.LIKE_EULER, **own}.items())
    skipped = {"self", "trained_betas", "flow_shift", "use_dynamic_shifting", "time_shift_type",
               "disable_corrector", "solver_p", "shift_terminal", "noise_sampler_seed"}
    parameters = inspect.signature(SAMPLERS[name].__init__).parameters.values()
    forced = FORCED.get(name, {})
    return ",".join(
        f"{p.name}={forced.get(p.name, p.default)}" for p in parameters if p.name not in skipped
    )


def own_sampler_cases(name: str) -> list[dict]:
    cases = [
        {"steps": 7, "prediction_type": p, "timestep_spacing": spacing}
        for p in ("epsilon", "v_prediction", "sample")
        for spacing in SPACINGS
    ]
    cases += [{"steps": n} for n in (1, 2, 3, 20)]
    cases += [{"steps": 10, "beta_schedule": "linear"}, {"steps": 8, "use_karras_sigmas": True},
              {"steps": 8, "use_exponential_sigmas": True}]
    if name == "restart":
        return cases + [{"steps": n, "timestep_spacing": s} for n in (36, 50)
                        for s in ("linspace", "leading")]
    return cases + [{"steps": 10, "begin": 2}, {"steps": 10, "begin": 8}]


def make() -> None:
    save("schedulers/common", {"sample": sample(), "noise": noises(), **tables()})
    for name in SAMPLERS:
        out = plans(name)
        for case in common_cases(name) + own_cases(name):
            out.update(trajectory(name, **case))
        save(f"schedulers/{name}", out, defaults=defaults(name))
    for name in OWN:
        out = {}
        for case in own_sampler_cases(name):
            out.update(own_trajectory(name, **case))
        save(f"schedulers/{name}", out, defaults=defaults(name))
