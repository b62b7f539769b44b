#!/usr/bin/env python3
"""Whole runs of ldm-gen against the public pipelines, for every kind of model and every layout.

For each family: a tiny random model of its configs is written as a diffusers folder
(make_random_checkpoint.py), run by diffusers and by ldm-gen in fp32 on the CPU, and latents (largest
difference over their std, at most 1e-4) and pictures (at most one level of 255) are compared. Where
the family has an original layout, the same weights as one .safetensors and one .ckpt file, and
ldm-convert's folder of that, must give the very same pictures.

    LD_LIBRARY_PATH=… build/reference/bin/python scripts/check_parity.py [FAMILY…]

Not part of the test suite: it needs diffusers and transformers (scripts/reference.sh)."""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = 4
SEED = 7
PROMPT = "a red cat on the small house"
NEGATIVE = "blue sea"


def picture(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([x / width, y / height, 0.5 + 0.5 * np.sin(x / 7) * np.cos(y / 5)], -1)
    return Image.fromarray((rgb * 255).round().astype(np.uint8))


def mask(width, height):
    pixels = np.zeros((height, width), np.uint8)
    pixels[height // 4 : height // 2, width // 3 :] = 255
    return Image.fromarray(pixels)


def depth(width, height):
    y, x = np.mgrid[0:height, 0:width]
    return Image.fromarray(((x + 2 * y) * 255 / (width + 2 * height)).astype(np.uint8))


def generator():
    return torch.Generator("cpu").manual_seed(SEED)


def load_unet_2d(folder):
    """UNet2DModel; the public class has one head width for all levels, LSUN churches one number of
    heads, which is set by hand."""
    import diffusers

    config = json.loads((folder / "config.json").read_text())
    widths = config["attention_head_dim"]
    if isinstance(widths, list):
        config["attention_head_dim"] = widths[0]
    unet = diffusers.UNet2DModel.from_config(config)
    unet.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))
    if isinstance(widths, list):
        for module in unet.modules():
            if isinstance(module, diffusers.models.attention_processor.Attention):
                module.heads = config["block_out_channels"][0] // widths[0]
    return unet


def load_parts(folder):
    """Every component of the folder's index, as the public classes; missing ones are None."""
    import diffusers
    import transformers
    from diffusers.pipelines.deprecated.alt_diffusion import modeling_roberta_series as alt
    from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertModel

    own = {"LDMBertModel": LDMBertModel, "RobertaSeriesModelWithTransformation":
           alt.RobertaSeriesModelWithTransformation}
    parts = {}
    for name, entry in json.loads((folder / "model_index.json").read_text()).items():
        if name.startswith("_") or not isinstance(entry, list) or entry[1] is None:
            continue
        if entry[1] == "ClassEmbedder":
            parts[name] = load_file(folder / name / "model.safetensors")["embedding.weight"]
            continue
        source = diffusers if hasattr(diffusers, entry[1]) else transformers
        kind = own.get(entry[1]) or getattr(source, entry[1])
        loaded = load_unet_2d(folder / name) if entry[1] == "UNet2DModel" else kind.from_pretrained(
            folder / name)
        if isinstance(loaded, torch.nn.Module):
            loaded = loaded.float().eval()
        parts[name] = loaded
    return parts


def run_pipeline(pipeline, vae, **kwargs):
    """(latents as they leave the sampler, picture [H, W, 3] uint8) of a public pipeline."""
    seen = {}
    decode = vae.decode

    def capture(z, *args, **kw):
        seen["z"] = z
        return decode(z, *args, **kw)

    vae.decode = capture
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline(generator=generator(), **kwargs).images[0]
    vae.decode = decode
    return seen["z"] * vae.config.scaling_factor, np.asarray(image)


def with_guidance(parts, **kwargs):
    return {"prompt": PROMPT, "negative_prompt": NEGATIVE, "guidance_scale": 5.0,
            "num_inference_steps": STEPS, **kwargs}


def stable_diffusion(parts, side):
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None,
                                   requires_safety_checker=False)
    return run_pipeline(pipe, parts["vae"], **with_guidance(parts, width=side, height=side)), []


def alt_diffusion(parts, side):
    from diffusers.pipelines.deprecated.alt_diffusion import AltDiffusionPipeline

    pipe = AltDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None,
                                requires_safety_checker=False)
    return run_pipeline(pipe, parts["vae"], **with_guidance(parts, width=side, height=side)), []


def inpainting(parts, side):
    from diffusers import StableDiffusionInpaintPipeline

    pipe = StableDiffusionInpaintPipeline(**parts, safety_checker=None, feature_extractor=None,
                                          requires_safety_checker=False)
    result = run_pipeline(pipe, parts["vae"], **with_guidance(
        parts, image=picture(side, side), mask_image=mask(side, side), width=side, height=side,
        strength=1.0))
    return result, ["--init-image", "picture.png", "--mask", "mask.png"]


def inpainting_part(parts, side):
    from diffusers import StableDiffusionInpaintPipeline

    pipe = StableDiffusionInpaintPipeline(**parts, safety_checker=None, feature_extractor=None,
                                          requires_safety_checker=False)
    result = run_pipeline(pipe, parts["vae"], **with_guidance(
        parts, image=picture(side, side), mask_image=mask(side, side), width=side, height=side,
        strength=0.75))
    return result, ["--init-image", "picture.png", "--mask", "mask.png", "--strength", "0.75"]


def pix2pix(parts, side):
    from diffusers import StableDiffusionInstructPix2PixPipeline

    pipe = StableDiffusionInstructPix2PixPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    result = run_pipeline(pipe, parts["vae"], **with_guidance(
        parts, image=picture(side, side), image_guidance_scale=1.3))
    return result, ["--init-image", "picture.png", "--image-guidance-scale", "1.3"]


def depth_to_image(parts, side):
    from diffusers import StableDiffusionDepth2ImgPipeline

    pipe = StableDiffusionDepth2ImgPipeline(**parts, depth_estimator=None, feature_extractor=None)
    grey = torch.from_numpy(np.asarray(depth(side, side)).astype(np.float32))[None]
    result = run_pipeline(pipe, parts["vae"], **with_guidance(
        parts, image=picture(side, side), depth_map=grey, strength=0.8))
    return result, ["--init-image", "picture.png", "--depth", "depth.png"]


def upscaler(parts, side):
    from diffusers import StableDiffusionUpscalePipeline

    small = side // 4
    pipe = StableDiffusionUpscalePipeline(**parts)
    result = run_pipeline(pipe, parts["vae"], **with_guidance(
        parts, image=picture(small, small), noise_level=30))
    return result, ["--init-image", "small.png", "--noise-level", "30"]


def latent_text(parts, side):
    from diffusers import LDMTextToImagePipeline

    # The pipeline has no negative prompt: it guides away from the empty one. It divides sizes by 8
    # whatever the autoencoder does.
    side = 8 * parts["unet"].config.sample_size
    kwargs = with_guidance(parts, width=side, height=side)
    del kwargs["negative_prompt"]
    return run_pipeline(LDMTextToImagePipeline(**parts), parts["vqvae"], **kwargs), ["-n", ""]


def unconditional(parts, side):
    from diffusers import LDMPipeline

    return run_pipeline(LDMPipeline(**parts), parts["vqvae"], batch_size=1,
                        num_inference_steps=STEPS), None


def class_conditional(parts, side):
    """No public pipeline: the loop of the original notebook over the public parts."""
    unet, vae, scheduler = parts["unet"], parts["vqvae"], parts["scheduler"]
    table, chosen = parts["class_embedder"], 3
    null = 1000 if len(table) == 1001 else None
    latents = torch.randn(1, unet.config.in_channels, unet.config.sample_size,
                          unet.config.sample_size, generator=generator())
    scheduler.set_timesteps(STEPS)
    with torch.no_grad():
        for t in scheduler.timesteps:
            wanted = unet(latents, t, encoder_hidden_states=table[chosen][None, None]).sample
            if null is not None:
                away = unet(latents, t, encoder_hidden_states=table[null][None, None]).sample
                wanted = away + 5.0 * (wanted - away)
            latents = scheduler.step(wanted, t, latents).prev_sample
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    image = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).byte().numpy()
    return (latents, image), ["--class", str(chosen)]


# family: how diffusers runs it, whether an original layout exists
FAMILIES = {
    "sd15": (stable_diffusion, True),
    "sd21": (stable_diffusion, True),
    "sd21-base": (stable_diffusion, True),
    "sd-inpainting": (inpainting, True),
    "sd-inpainting:part": (inpainting_part, False),
    "instruct-pix2pix": (pix2pix, True),
    "sd-depth": (depth_to_image, True),
    "sd-x4-upscaler": (upscaler, True),
    "txt2img-large": (latent_text, True),
    "text2img256": (latent_text, True),
    "cin256-v2": (class_conditional, True),
    "cin256": (class_conditional, True),
    "celebahq256": (unconditional, True),
    "ffhq256": (unconditional, True),
    "lsun-beds256": (unconditional, True),
    "lsun-churches256": (unconditional, True),
    "altdiffusion": (alt_diffusion, False),
    "japanese-sd": (stable_diffusion, False),
}


def run(program, *args):
    done = subprocess.run([str(program), *map(str, args)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{program.name} {' '.join(map(str, args))}:\n{done.stderr.strip()}")
    return done.stdout


def generate(build, model, work, name, extra, side):
    """(latents, picture) that ldm-gen makes of `model`."""
    out, latents = work / f"{name}.png", work / f"{name}.safetensors"
    prompt = [] if extra is None or "--class" in extra else ["--prompt", PROMPT]
    negative = [] if not prompt or "-n" in extra else ["-n", NEGATIVE]
    words = [work / w if w.endswith(".png") else w for w in extra or []]
    if "--init-image" not in words:
        words += ["-W", side, "-H", side]  # a single file does not say what it was trained on
    run(build / "ldm-gen", "--model", model, *prompt, *negative, *words, "--steps", STEPS,
        "-g", "5", "--seed", SEED, "--dtype", "fp32", "--device", "cpu", "--threads", "1",
        "-o", out, "--save-latents", latents, "--overwrite", "--quiet")
    return load_file(latents)["latents"], np.asarray(Image.open(out).convert("RGB"))


def compare(reference, found):
    difference = (reference[0] - found[0]).abs().max().item() / reference[0].std().item()
    levels = np.abs(reference[1].astype(int) - found[1].astype(int)).max()
    return difference, levels


def check_layouts(build, folder, work, ours, extra, side, config):
    """Single files and conversions of the same weights: differing ones, by name."""
    wrong = []
    for suffix in ("safetensors", "ckpt"):
        single = work / f"single.{suffix}"
        run(pathlib.Path(sys.executable), ROOT / "scripts/original_layout.py", folder, single)
        for companion in ("vocab.txt",):
            for found in folder.glob(f"*/{companion}"):
                shutil.copyfile(found, work / companion)
        extra_single = list(extra or [])
        if config["scheduler"].get("prediction_type") == "v_prediction":
            extra_single += ["--prediction-type", "v_prediction"]
        arguments = extra_single if extra is not None else None
        converted = work / f"converted-{suffix}"
        run(build / "ldm-convert", single, converted,
            *(["--prediction-type", "v_prediction"] if "--prediction-type" in extra_single else []))
        for name, model, flags in ((suffix, single, arguments), (converted.name, converted, extra)):
            again = generate(build, model, work, name, flags, side)
            if not (torch.equal(ours[0], again[0]) and np.array_equal(ours[1], again[1])):
                wrong.append(name)
    return wrong


def check(family, build, work, layouts):
    config_name = family.split(":")[0]
    folder = work / "folder"
    run(pathlib.Path(sys.executable), ROOT / "scripts/make_random_checkpoint.py", config_name,
        folder, "--scale", "tiny", "--dtype", "fp32", "--names", "current")
    config = json.loads((ROOT / "configs" / f"{config_name}.json").read_text())
    reference_run, has_original = FAMILIES[family]
    parts = load_parts(folder)
    vae = parts.get("vae", parts.get("vqvae"))
    side = parts["unet"].config.sample_size * 2 ** (len(vae.config.block_out_channels) - 1)
    picture(side, side).save(work / "picture.png")
    mask(side, side).save(work / "mask.png")
    depth(side, side).save(work / "depth.png")
    picture(side // 4, side // 4).save(work / "small.png")
    with torch.no_grad():
        reference, extra = reference_run(parts, side)
    ours = generate(build, folder, work, "folder", extra, side)
    difference, levels = compare(reference, ours)
    wrong = []
    if layouts and has_original:
        wrong = check_layouts(build, folder, work, ours, extra, side, config)
    return difference, levels, wrong


def check_autoencoder(family, build, work, layouts):
    """encode and decode of an autoencoder by itself, against the public class."""
    import diffusers

    folder = work / "folder"
    run(pathlib.Path(sys.executable), ROOT / "scripts/make_random_checkpoint.py", family, folder,
        "--scale", "tiny", "--dtype", "fp32", "--names", "current")
    kind = json.loads((folder / "config.json").read_text())["_class_name"]
    vae = getattr(diffusers, kind).from_pretrained(folder).eval()
    scale = vae.config.scaling_factor
    picture(64, 96).save(work / "picture.png")
    pixels = torch.from_numpy(np.asarray(picture(64, 96)).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        coded = vae.encode(pixels)
        latents = (coded.latents if hasattr(coded, "latents") else coded.latent_dist.mode()) * scale
        decoded = vae.decode(latents / scale).sample
    image = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round()[0].permute(1, 2, 0).byte().numpy()

    def code(name, model):
        file, out = work / f"{name}.safetensors", work / f"{name}.png"
        common = ["--model", model, "--dtype", "fp32", "--device", "cpu", "--threads", "1"]
        run(build / "ldm-gen", "encode", work / "picture.png", *common, "-o", file)
        run(build / "ldm-gen", "decode", file, *common, "-o", out)
        return load_file(file)["latents"], np.asarray(Image.open(out).convert("RGB"))

    ours = code("folder", folder)
    wrong = []
    for suffix in ("safetensors", "ckpt") if layouts and kind != "AutoencoderTiny" else ():
        single = work / f"single.{suffix}"
        run(pathlib.Path(sys.executable), ROOT / "scripts/original_layout.py", folder, single)
        again = code(f"from-{suffix}", single)
        if not (torch.equal(ours[0], again[0]) and np.array_equal(ours[1], again[1])):
            wrong.append(suffix)
    return (*compare((latents, image), ours), wrong)


def quieten():
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    warnings.simplefilter("ignore")


AUTOENCODERS = ("kl-f4", "kl-f8", "kl-f16", "kl-f32", "vq-f4", "vq-f8", "vq-f16", "taesd")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", help=f"of {', '.join([*FAMILIES, *AUTOENCODERS])}; all by default")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release/bin")
    parser.add_argument("--no-layouts", action="store_true", help="diffusers folders only")
    parser.add_argument("--keep", type=pathlib.Path, help="keep the files in this folder")
    args = parser.parse_args()
    quieten()
    failed = []
    for family in args.families or [*FAMILIES, *AUTOENCODERS]:
        work = pathlib.Path(tempfile.mkdtemp(prefix="parity-", dir=args.keep))
        try:
            run_check = check_autoencoder if family in AUTOENCODERS else check
            difference, levels, wrong = run_check(family, args.build, work, not args.no_layouts)
            good = difference <= 1e-4 and levels <= 1 and not wrong
            print(f"{family:20} latents {difference:.1e} of the std, picture {levels} of 255"
                  f"{', differing: ' + ', '.join(wrong) if wrong else ''}"
                  f"{'' if good else '  FAILED'}", flush=True)
        except Exception as error:  # one family must not hide the others
            good = False
            print(f"{family:20} FAILED: {error}", flush=True)
        if not good:
            failed.append(family)
        if not args.keep:
            shutil.rmtree(work)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
