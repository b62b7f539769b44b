"""Heat maps of a word (DAAM) on the tiny models of runs.py: the prompt branch's attention to the
word's tokens, from attention processors of diffusers' pipeline, averaged as Tang et al. 2023 do."""

import torch
from diffusers import StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor

from . import common, runs, steering

BASE = {"prompt": "a red apple and a red token5", "word": "apple", "num_inference_steps": 5,
        "guidance_scale": 5.0, "seed": 31, "sampler": "ddim", "width": 64}
CASES = {
    "apple": {},
    "twice": {"word": "red", "num_images": 2},
    "unguided": {"guidance_scale": 1.0, "sampler": "euler"},
    "wide": {"width": 104, "word": "token5"},
}


class Listener(AttnProcessor):
    """Adds up what the last rows of each cross-attention give to some tokens."""

    def __init__(self, tokens: list[int], images: int, size: tuple[int, int]):
        super().__init__()
        self.tokens, self.images, self.size = tokens, images, size
        self.sum, self.count = torch.zeros(images, *size), 0

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **kwargs):
        if encoder_hidden_states is not None:
            query = attn.head_to_batch_dim(attn.to_q(hidden_states))
            key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
            scores = attn.get_attention_scores(query, key)  # [B·heads, N, S]
            scores = scores.unflatten(0, (-1, attn.heads))[-self.images:]
            word = scores[..., self.tokens].mean((1, 3))
            h, w = self.size
            while h * w > word.shape[1]:
                h, w = (h + 1) // 2, (w + 1) // 2
            maps = torch.nn.functional.interpolate(word.view(self.images, 1, h, w), self.size,
                                                   mode="bicubic").clamp(min=0)
            self.sum += maps[:, 0]
            self.count += 1
        return super().__call__(attn, hidden_states, encoder_hidden_states, **kwargs)


def run(folder, case: dict) -> torch.Tensor:
    parts = {**runs.open_parts(folder), "scheduler": steering.scheduler_of(folder, case["sampler"])}
    pipe = StableDiffusionPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    ids = pipe.tokenizer(case["prompt"]).input_ids
    word = pipe.tokenizer(case["word"]).input_ids[1:-1]
    starts = [i for i in range(len(ids)) if ids[i:i + len(word)] == word]
    tokens = [i + j for i in starts for j in range(len(word))]
    number = case.get("num_images", 1)
    listener = Listener(tokens, number, (8, case["width"] // 8))
    pipe.unet.set_attn_processor(listener)
    pipe(case["prompt"], num_inference_steps=case["num_inference_steps"], height=64,
         width=case["width"], guidance_scale=case["guidance_scale"], num_images_per_prompt=number,
         generator=[common.generator(case["seed"] + k) for k in range(number)],
         output_type="latent")
    return listener.sum / listener.count


def make() -> None:
    tensors, described = runs.run_cases(BASE, CASES, run)
    common.save("heatmap", tensors, **described)
