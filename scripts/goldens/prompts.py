"""Weighted prompts on the tiny models of runs.py: AUTOMATIC1111's published rules (attention syntax,
75-token chunks with a comma's reach of 20, BREAK, prompt editing, alternation, AND, emphasis
"Original" and "No norm") and ComfyUI's weighting, written here anew over transformers' tokenizer and
text encoder; and whole runs of a plain DDIM loop over diffusers' UNet on what they give."""
import json
import re

import torch
from diffusers import DDIMScheduler

from . import common, runs

STEPS = 6
ATTENTION = re.compile(
    r"\\\(|\\\)|\\\[|\\]|\\\\|\\|\(|\[|:\s*([+-]?[.\d]+)\s*\)|\)|]|[^\\()\[\]:]+|:")
BREAK = re.compile(r"\s*\bBREAK\b\s*")


def attention(text: str) -> list[tuple[str, float]]:
    """[(text, weight)]; ("BREAK", -1) between chunks."""
    pieces: list[list] = []
    round_at: list[int] = []
    square_at: list[int] = []

    def scale(start: int, factor: float) -> None:
        for piece in pieces[start:]:
            piece[1] *= factor

    for match in ATTENTION.finditer(text):
        word, weight = match.group(0), match.group(1)
        if word.startswith("\\"):
            pieces.append([word[1:], 1.0])
        elif word == "(":
            round_at.append(len(pieces))
        elif word == "[":
            square_at.append(len(pieces))
        elif weight is not None and round_at:
            scale(round_at.pop(), float(weight))
        elif word == ")" and round_at:
            scale(round_at.pop(), 1.1)
        elif word == "]" and square_at:
            scale(square_at.pop(), 1 / 1.1)
        else:
            for i, part in enumerate(BREAK.split(word)):
                if i > 0:
                    pieces.append(["BREAK", -1.0])
                pieces.append([part, 1.0])
    joined: list[list] = []
    for piece in pieces or [["", 1.0]]:
        if joined and joined[-1][1] == piece[1]:
            joined[-1][0] += piece[0]
        else:
            joined.append(list(piece))
    return [(t, w) for t, w in joined]


class Encoder:
    """One model's tokenizer and text encoder."""

    def __init__(self, parts: dict) -> None:
        self.tokenizer, self.text = parts["tokenizer"], parts["text_encoder"]
        self.bos, self.eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        self.pad = self.tokenizer.pad_token_id
        self.comma = self.words(",")[0]

    def words(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, truncation=False).input_ids

    def chunks(self, pieces: list[tuple[str, float]], long: str) -> list[list[tuple[int, float]]]:
        done: list[list[tuple[int, float]]] = []
        chunk: list[tuple[int, float]] = []
        comma = None
        for text, weight in pieces:
            if text == "BREAK" and weight == -1:
                done.append(chunk)
                chunk, comma = [], None
                continue
            for token in self.words(text):
                if len(chunk) == 75 and long == "truncate":
                    continue
                if token == self.comma:
                    comma = len(chunk)
                elif len(chunk) == 75 and comma is not None and 75 - comma <= 20:
                    done.append(chunk[:comma + 1])
                    chunk, comma = chunk[comma + 1:], None
                if len(chunk) == 75:
                    done.append(chunk)
                    chunk, comma = [], None
                chunk.append((token, weight))
        if chunk or not done:
            done.append(chunk)
        return done

    def framed(self, chunk: list[tuple[int, float]]) -> tuple[list[int], list[float]]:
        ids = [self.bos, *(i for i, _ in chunk), self.eos]
        weights = [1.0, *(w for _, w in chunk), 1.0]
        return ids + [self.pad] * (77 - len(ids)), weights + [1.0] * (77 - len(weights))

    def hidden(self, ids: list[int], skip: int) -> torch.Tensor:
        with torch.no_grad():
            states = self.text(torch.tensor([ids]), output_hidden_states=True).hidden_states
            return self.text.final_layer_norm(states[-(skip + 1)])

    def embed(self, text: str, long: str = "truncate", weighting: str = "mean-restoring",
              skip: int = 0, plain: bool = False) -> tuple[torch.Tensor, ...]:
        """ids [n·77], weights [n·77], embedding [1, n·77, D]."""
        pieces = [(text, 1.0)] if plain else attention(text)
        all_ids, all_weights, parts = [], [], []
        for chunk in self.chunks(pieces, long):
            ids, weights = self.framed(chunk)
            z = self.hidden(ids, skip)
            w = torch.tensor(weights)[None, :, None]
            if weighting == "comfyui":
                empty = self.hidden(self.framed([])[0], skip)
                z = empty + (z - empty) * w
            else:
                mean = z.mean()
                z = z * w
                if weighting == "mean-restoring":
                    z = z * (mean / z.mean())
            all_ids += ids
            all_weights += weights
            parts.append(z)
        return torch.tensor(all_ids), torch.tensor(all_weights), torch.cat(parts, 1)

    def pad_to(self, z: torch.Tensor, chunks: int, skip: int = 0) -> torch.Tensor:
        missing = chunks - z.shape[1] // 77
        return torch.cat([z] + [self.hidden(self.framed([])[0], skip)] * missing, 1)


WORDS = " ".join(f"token{i}" for i in range(12))  # 36 tokens or so of the tiny vocabulary
EMBEDDED = {
    "weight": ("a (red:1.3) [apple] ((token)) on (a:0.7) token", {}),
    "nested": ("(a [red (apple:1.5)] token:0.8), [[a]]", {}),
    "negative_weight": ("a (red:-0.5) (apple:0)", {}),
    "escapes": (r"a \(red\) \[apple\] (to\)ken:1.2) \\", {}),
    "colons": ("time 12:30, (a: red apple) token: a", {}),
    "plain_weighting": ("a (red:1.3) [apple]", {"weighting": "plain"}),
    "comfyui": ("a (red:1.3) [apple]", {"weighting": "comfyui"}),
    "clip_skip": ("a (red:1.3) apple", {"skip": 1}),
    "break": ("a red BREAK apple (token:1.2)BREAK(a red)", {}),
    "break_first": ("BREAK a red apple BREAK", {}),
    "unicode": ("Ünï (猫:1.2) 🍎 [ΟΔΟΣ]", {}),
    "chunk": (f"(a red apple:1.2), {WORDS} {WORDS} {WORDS}", {"long": "chunk"}),
    "comma": (f"{WORDS} {WORDS}, red apple a red, (apple:1.4) {WORDS}, a", {"long": "chunk"}),
    "chunk_comfyui": (f"{WORDS} (a red:0.6) {WORDS} {WORDS}",
                      {"long": "chunk", "weighting": "comfyui"}),
    "cut": (f"(a red apple:1.2), {WORDS} {WORDS} {WORDS}", {}),
    "plain_chunk": (f"(a [red] apple:1.2), {WORDS} {WORDS} {WORDS}", {"long": "chunk", "plain": True}),
    "empty": ("", {}),
}
# prompt: what it reads as at each of STEPS steps, by the published examples' rule (step k <= when: before)
TIMED = {
    "edit": ("a [red:apple:0.5] token", ["a red token"] * 3 + ["a apple token"] * 3),
    "edit_step": ("a [red:(apple:1.2):2] token", ["a red token"] * 2 + ["a (apple:1.2) token"] * 4),
    "add": ("a token [red:0.34]", ["a token "] * 2 + ["a token red"] * 4),
    "remove": ("a [red::4] token", ["a red token"] * 4 + ["a  token"] * 2),
    "nested": ("a [red:[apple:token:4]:2]", ["a red"] * 2 + ["a apple"] * 2 + ["a token"] * 2),
    "alternate": ("a [red|apple|(token:0.8)]", ["a red", "a apple", "a (token:0.8)"] * 2),
    "alternate_empty": ("[to|]ken", ["token", "ken"] * 3),
    "weighted_edit": ("(a [red:apple:0.5]:1.3)", ["(a red:1.3)"] * 3 + ["(a apple:1.3)"] * 3),
}


# of each chunk's 77 rows; the rest is padding in most, and the files must stay small
ROWS = [*range(6), 76]
COLUMNS = 16  # tokens of the changing prompts, all shorter
SD2 = ("weight", "cut")


def record_embeddings(tensors: dict, described: dict, name: str, encoder: Encoder) -> None:
    for key, (prompt, settings) in EMBEDDED.items():
        if name == "sd2" and key not in SD2:
            continue
        ids, weights, z = encoder.embed(prompt, **settings)
        tensors |= {f"{name}.{key}.ids": ids.half(), f"{name}.{key}.weights": weights,
                    f"{name}.{key}.embedding": z[0].unflatten(0, (-1, 77))[:, ROWS]}
        described[f"embedding.{name}.{key}"] = json.dumps({"prompt": prompt, **settings})


def record_words(tensors: dict, described: dict, encoder: Encoder) -> None:
    for key, (prompt, words) in TIMED.items():
        read = [encoder.embed(text)[:2] for text in words]
        tensors[f"timed.{key}.ids"] = torch.stack([ids[:COLUMNS] for ids, _ in read]).half()
        tensors[f"timed.{key}.weights"] = torch.stack([weights[:COLUMNS] for _, weights in read])
        described[f"timed.{key}"] = json.dumps({"prompt": prompt})


def sample(parts: dict, texts: list, guidance: float, seed: int) -> torch.Tensor:
    """texts: at each step (unconditional [1, S, D], [([1, S, D], weight)])."""
    scheduler = DDIMScheduler.from_config(parts["scheduler"].config)
    scheduler.set_timesteps(len(texts))
    latents = torch.randn(1, 4, 8, 8, generator=common.generator(seed))
    for t, (negative, prompts) in zip(scheduler.timesteps, texts):
        with torch.no_grad():
            uncond = parts["unet"](latents, t, negative).sample
            guided = uncond.clone()
            for z, weight in prompts:
                guided += guidance * weight * (parts["unet"](latents, t, z).sample - uncond)
        latents = scheduler.step(guided, t, latents).prev_sample
    return latents


def record_runs(tensors: dict, described: dict, parts: dict, encoder: Encoder) -> None:
    def embed(text: str, long: str = "truncate") -> torch.Tensor:
        return encoder.embed(text, long)[2]

    long = f"a (red:1.2) apple, {WORDS} {WORDS} {WORDS}"
    empty, ugly = embed(""), embed("(ugly:1.2)")
    chunks = embed(long, "chunk")
    count = chunks.shape[1] // 77
    cases = {
        "weights": ("a (red:1.4) [apple]", "(ugly:1.2)", 5.0,
                    [(ugly, [(embed("a (red:1.4) [apple]"), 1.0)])] * STEPS),
        "edit": ("a [red:apple:0.5] token", "[ugly:3]", 5.0,
                 [(empty if i < 3 else embed("ugly"),
                   [(embed(words), 1.0)]) for i, words in enumerate(TIMED["edit"][1])]),
        "alternate": ("a [red|apple]", "", 5.0,
                      [(empty, [(embed("a red" if i % 2 == 0 else "a apple"), 1.0)])
                       for i in range(STEPS)]),
        "and": ("a red AND (apple:1.2) :0.7 AND token :-0.3", "(ugly:1.2)", 4.0,
                [(ugly, [(embed("a red"), 1.0), (embed("(apple:1.2)"), 0.7),
                         (embed("token"), -0.3)])] * STEPS),
        "and_unguided": ("a red AND apple :0.7", "", 1.0,
                         [(empty, [(embed("a red"), 1.0), (embed("apple"), 0.7)])] * STEPS),
        "long": (long, "(ugly:1.2)", 5.0,
                 [(encoder.pad_to(ugly, count), [(chunks, 1.0)])] * STEPS),
        "long_negative": ("a red apple", long, 5.0,
                          [(chunks, [(encoder.pad_to(embed("a red apple"), count), 1.0)])] * STEPS),
        "long_and": (f"{long} AND a token :0.5", "", 5.0,
                     [(encoder.pad_to(empty, count),
                       [(chunks, 1.0), (encoder.pad_to(embed("a token"), count), 0.5)])] * STEPS),
    }
    for seed, (key, (prompt, negative, guidance, texts)) in enumerate(cases.items()):
        tensors[f"run.{key}.latents"] = sample(parts, texts, guidance, 40 + seed)
        described[f"run.{key}"] = json.dumps({"prompt": prompt, "negative_prompt": negative,
                                              "guidance_scale": guidance, "seed": 40 + seed})


def make() -> None:
    tensors: dict[str, torch.Tensor] = {}
    described: dict[str, str] = {}
    for name in ("sd1", "sd2"):
        parts = runs.open_parts(runs.ROOT / name)
        encoder = Encoder(parts)
        record_embeddings(tensors, described, name, encoder)
        if name == "sd1":
            record_words(tensors, described, encoder)
            record_runs(tensors, described, parts, encoder)
    common.save("prompts", tensors, steps=STEPS, **described)
