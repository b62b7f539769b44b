"""Latents of whole runs with the samplers that are not in runs.py, on its tiny models."""
import json

import torch

from . import common, runs
from .schedulers import FORCED, SAMPLERS

RUNS = {  # sampler: what is set beside it
    "heun": {}, "dpm2": {}, "dpm2-a": {}, "lms": {}, "dpmpp-2m-sde": {"use_karras_sigmas": True},
    "unipc": {}, "deis": {}, "lcm": {}, "tcd": {},
}


def make() -> None:
    runs.SAMPLERS.update(SAMPLERS)
    for name in ("sd1", "sd2"):
        folder = runs.ROOT / name
        parts = runs.open_parts(folder)
        config = (folder / "scheduler" / "scheduler_config.json").read_text()
        whole = runs.cases(6, 64, 64)
        tensors, described = {}, {}
        picture = whole["img2img_0.75"]["init_image"]
        tensors["init_image"] = torch.from_numpy(runs.np.asarray(runs.picture(*picture)))
        for sampler, overrides in RUNS.items():
            for kind, like in (("text", "two_images"), ("img2img", "img2img_0.75")):
                if kind == "img2img" and sampler == "lms":
                    continue  # the public class weighs slopes that it does not have there
                case = {**whole[like], "sampler": sampler, "scheduler_config": config,
                        "overrides": {**overrides, **FORCED.get(sampler, {})}}
                tensors[f"{kind}_{sampler}.latents"] = runs.run(parts, case)[0]
                told = {k: v for k, v in case.items() if k not in ("scheduler_config", "init_image")}
                if "use_karras_sigmas" in overrides:
                    told["schedule"] = "karras"
                described[f"case.{kind}_{sampler}"] = json.dumps(told)
        common.save(f"runs/{name}_samplers", tensors, **described)
