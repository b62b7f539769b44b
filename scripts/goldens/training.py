"""Training steps of autoencoders and denoisers, against plain PyTorch over diffusers' networks.

Weights, data and every draw come from formulas that both sides compute; stored are ten losses and
digests of the first gradients, the last weights and their averages.
"""
import math
import pathlib

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel, VQModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from .common import digest, fill_by_formula, randn, save

STEPS, BATCH, SEED = 10, 3, 7
TOKENIZER = pathlib.Path(__file__).resolve().parents[2] / "weights" / "tokenizers" / "clip"
CAPTIONS = ["a red apple on a blue background", "two cats", "a small rocket, green background"]
MASK = (1 << 64) - 1


def mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def draw(purpose: str, number: int) -> torch.Generator:
    """The generator of `ldm/train/draws.h`."""
    key = mix(SEED)
    for letter in purpose.encode():
        key = mix(key ^ letter)
    return torch.Generator().manual_seed(mix(key ^ number))


def rate(step: int) -> float:
    """Two steps of warm-up, then half a cosine wave down to a tenth."""
    if step < 2:
        return (step + 1) / 2
    part = (step - 2) / (STEPS - 2)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * part))


def by_name(modules: dict[str, torch.nn.Module]) -> dict[str, torch.nn.Parameter]:
    named = {f"{m}.{n}": p for m, module in modules.items() for n, p in module.named_parameters()}
    return dict(sorted(named.items()))


def run(out: dict, name: str, modules: dict[str, torch.nn.Module], loss_of) -> None:
    named = by_name(modules)
    parameters = list(named.values())
    # A key's bias shifts all scores alike: its gradient is zero, and Adam turns its rounding into
    # whole steps.
    told = [i for i, n in enumerate(named) if not n.endswith(("k_proj.bias", "to_k.bias"))]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01)
    shadow = [p.detach().clone() for p in parameters]
    losses = []
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = 2e-3 * rate(step)
        optimizer.zero_grad()
        loss = loss_of(step)
        loss.backward()
        if step == 0:
            out[f"{name}.gradients"] = digest([parameters[i].grad for i in told])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        decay = min(0.9, (2 + step) / (11 + step))
        for s, p in zip(shadow, parameters):
            s.lerp_(p.detach(), 1 - decay)
        losses.append(loss.detach())
    out[f"{name}.losses"] = torch.stack(losses)
    out[f"{name}.weights"] = digest([parameters[i] for i in told])
    out[f"{name}.averages"] = digest([shadow[i] for i in told])


def pictures(step: int) -> torch.Tensor:
    return torch.stack([0.5 * randn(3, 16, 16, seed=step * BATCH + i) for i in range(BATCH)])


CODER = dict(in_channels=3, out_channels=3, block_out_channels=(8, 8), layers_per_block=1,
             norm_num_groups=4, latent_channels=2,
             down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)


def make_kl(out: dict) -> None:
    model = fill_by_formula(AutoencoderKL(**CODER), 300)

    def loss_of(step: int) -> torch.Tensor:
        x = pictures(step)
        posterior = model.encode(x).latent_dist
        noise = torch.stack([torch.randn(2, 8, 8, generator=draw("posterior", step * BATCH + i))
                             for i in range(BATCH)])
        y = model.decode(posterior.mean + posterior.std * noise).sample
        kl = posterior.kl().mean() / x[0].numel()
        return F.l1_loss(y, x) + 0.5 * F.mse_loss(y, x) + 1e-3 * kl

    run(out, "kl", {"m": model}, loss_of)


def make_vq(out: dict) -> None:
    model = fill_by_formula(VQModel(num_vq_embeddings=16, vq_embed_dim=2, **CODER), 400)

    def loss_of(step: int) -> torch.Tensor:
        x = pictures(step)
        z = model.encode(x).latents
        flat = z.permute(0, 2, 3, 1).reshape(-1, 2)
        index = torch.cdist(flat, model.quantize.embedding.weight).argmin(1)
        codes = model.quantize.embedding(index).view(BATCH, 8, 8, 2).permute(0, 3, 1, 2)
        loss = F.mse_loss(codes, z.detach()) + 0.25 * F.mse_loss(z, codes.detach())
        y = model.decoder(model.post_quant_conv(z + (codes - z).detach()))
        return F.l1_loss(y, x) + loss

    run(out, "vq", {"m": model}, loss_of)


def make_denoiser(out: dict, prediction_type: str) -> None:
    unet = fill_by_formula(UNet2DConditionModel(
        sample_size=8, in_channels=2, out_channels=2, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1,
        attention_head_dim=2, cross_attention_dim=8, norm_num_groups=4), 500)
    text = fill_by_formula(CLIPTextModel(CLIPTextConfig(
        vocab_size=49408, hidden_size=8, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=77, hidden_act="quick_gelu",
        bos_token_id=49406, eos_token_id=49407, pad_token_id=1)), 900)
    tokenizer = CLIPTokenizer.from_pretrained(TOKENIZER)
    process = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                            prediction_type=prediction_type)

    def loss_of(step: int) -> torch.Tensor:
        numbers = [step * BATCH + i for i in range(BATCH)]
        x0 = torch.stack([randn(2, 8, 8, seed=n) for n in numbers])
        noise = torch.stack([torch.randn(2, 8, 8, generator=draw("noise", n)) for n in numbers])
        t = torch.stack([torch.randint(1000, (), generator=draw("timestep", n)) for n in numbers])
        said = ["" if torch.rand((), generator=draw("dropout", n)) < 0.4 else CAPTIONS[n % 3]
                for n in numbers]
        ids = tokenizer(said, padding="max_length", max_length=77, truncation=True,
                        return_tensors="pt").input_ids
        answer = unet(process.add_noise(x0, noise, t), t, text(ids).last_hidden_state).sample
        alpha = process.alphas_cumprod[t]
        snr = alpha / (1 - alpha)
        least = snr.clamp(max=5.0)
        if prediction_type == "epsilon":
            target, weight = noise, least / snr
        elif prediction_type == "sample":
            target, weight = x0, least
        else:
            target, weight = process.get_velocity(x0, noise, t), least / (snr + 1)
        return (weight * (answer - target).square().mean((1, 2, 3))).mean()

    run(out, prediction_type, {"text_encoder": text, "unet": unet}, loss_of)


def make_muon(out: dict) -> None:
    """Five steps of torch.optim.Muon with given gradients, at rates 1, 1/2, 1/3 ..."""
    for number, (name, shape) in enumerate({"wide": (6, 40), "tall": (40, 6),
                                            "square": (8, 8)}.items()):
        start = randn(*shape, seed=700 + number)
        gradients = torch.stack([randn(*shape, seed=800 + 10 * number + i) for i in range(5)])
        value = torch.nn.Parameter(start.clone())
        muon = torch.optim.Muon([value], lr=0.05, weight_decay=0.02, momentum=0.95,
                                adjust_lr_fn="match_rms_adamw")
        for step, gradient in enumerate(gradients):
            muon.param_groups[0]["lr"] = 0.05 / (step + 1)
            value.grad = gradient.clone()
            muon.step()
        out.update({f"{name}.start": start, f"{name}.gradients": gradients, f"{name}.end": value})


def make() -> None:
    muon: dict[str, torch.Tensor] = {}
    make_muon(muon)
    save("muon", muon)
    out: dict[str, torch.Tensor] = {}
    make_kl(out)
    make_vq(out)
    for prediction_type in ("epsilon", "v_prediction", "sample"):
        make_denoiser(out, prediction_type)
    save("training", out, steps=STEPS, batch=BATCH, seed=SEED)
