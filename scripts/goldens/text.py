"""tests/golden/text/clip_ids.json: ids of transformers' CLIPTokenizer for hard prompts.

The vocabulary is the one of weights/default/tokenizer (CLIP's own, 49,408 pieces); the golden holds
the small files of several tokenizer folders around it and the ids that each of them gives.
"""
import json
import pathlib
import random
import shutil
import tempfile
import unicodedata

import tokenizers
import transformers
from transformers import CLIPTokenizer

from . import common

VOCABULARY = pathlib.Path(__file__).resolve().parents[2] / "weights" / "default" / "tokenizer"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def token(content: str, **flags: bool) -> dict:
    plain = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"content": content, **plain, **flags}


def folders() -> dict[str, dict[str, dict]]:
    """Folder name → file name → content, vocab.json and merges.txt left out."""
    config = {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    objects = {"bos_token": token(BOS), "eos_token": token(EOS), "unk_token": token(EOS)}
    typed = {k: {"__type": "AddedToken", **v} for k, v in objects.items()}
    strings = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS}
    return {
        "bare": {},
        "sd1": {
            "special_tokens_map.json": {**strings, "pad_token": EOS},
            "tokenizer_config.json": {**config, **strings, "pad_token": EOS},
        },
        "sd15": {
            "special_tokens_map.json": {**objects, "pad_token": EOS},
            "tokenizer_config.json": {**config, **typed, "pad_token": EOS},
        },
        "sd2": {
            "special_tokens_map.json": {**objects, "pad_token": "!"},
            "tokenizer_config.json": {**config, **typed, "pad_token": EOS},
        },
        "decoder": {
            "special_tokens_map.json": {"pad_token": EOS},
            "tokenizer_config.json": {
                **config,
                **strings,
                "pad_token": "!",
                "added_tokens_decoder": {
                    "0": token("!", normalized=False, special=True),
                    "49406": token(BOS, special=True),
                    "49407": token(EOS, special=True),
                },
            },
        },
        "added": {
            "special_tokens_map.json": {**strings, "pad_token": "!"},
            "tokenizer_config.json": config,
            "added_tokens.json": {"<cat-toy>": 49408, "Dog  Toy": 49409, "<cat": 50000},
        },
        "flags": {
            "special_tokens_map.json": {
                "bos_token": token(BOS, lstrip=True, rstrip=True),
                "eos_token": token(EOS, normalized=False, rstrip=True),
                "unk_token": token(EOS, normalized=False, lstrip=True),
                "pad_token": token("cat", normalized=False, single_word=True),
                "extra_special_tokens": ["<x>", token("<y>", lstrip=True)],
            },
            "tokenizer_config.json": config,
        },
    }


CURATED = """
a photograph of an astronaut riding a horse|wow!!!|! !a!b!|I'm you're we've he'll she'd it's don't
'S 'T 'RE 'VE 'M 'LL 'D|''s '''t 'sit 'test 'mood 'llama 'dog 're've|rock’n’roll ‘quoted’ “text”
ΟΔΟΣ ΣΑΣ Σ ς|İstanbul I ı i̇ İİ|Straße STRASSE ẞ ß|ﬁ ﬂ ﬃ ſ K Å Ω|Å Å Å é é|n̄̃ q̣̇ q̣̇|ạ̈̊ ạ̈
한국어 각 한 각 각|日本語の写真、富士山|中文字符测试，北京|が ぱ か゚ が|ไทยภาษา สวัสดี|हिन्दी क़ क़ ড়|עברית שָׁלוֹם שׁ|العربية مُحَمَّد ﷺ|தமிழ் మాట
👨‍👩‍👧‍👦 👍🏽 🇫🇷🇩🇪 🏳️‍🌈 ❤️ 1️⃣|🙂🙃a🙂1🙂|☃ ☃️ ©®™ ½ ² Ⅷ ① ٣ ೫|3.14159 1,000 2024 x2 2x 007|a1b2c3 l33t v2.0
<|endoftext|>|<|startoftext|>x<|endoftext|>|a<|endoftext|>b|<|ENDOFTEXT|> <|StartOfText|>|<|endoftext|≯|<|endoftext|≯|!!<|ENDOFTEXT|>!!|<|ENDOFTEXT|>>>|<|endof|<|endoftext|<|endoftext|>
cat concat cats cat's cat_ cat1 (cat)|a <x> b<x>c  <y>  d|<cat-toy> <CAT-TOY> dog  toy dog toy Dog  Toy <cat|a  <|startoftext|>  b  <|endoftext|>  c
(masterpiece:1.2), [bad hands], {x|y}, <lora:foo:0.8>|C++ & C# -- a/b\\c @user #tag $5 50% ^_^ ~ `x`|http://example.org/?q=a&b=c#d|....,,,;;;:::???|"'"'"'|don''t|!?!?!?|--- *** ===
̴߽ ़॑ ಼|𑤸 𑄮|𐵐𐵥 𐵰 Ᲊᲊ Ɤ ꟋꟌ꟎꟒Ƛ 𖺠|𮯰𮹝 𓑠 𖄰 𜳰|﷐ ￾ 􏿿   𐀀|͸ ͹ 𐐀𐐨 Ⴀ ა Ა Ꭰ ꭰ|ǅ ǈ ǋ ᾈ ᾳ ῼ|ΰ ΐ և ŉ ǰ ẘ
"""


def prompts() -> list[str]:
    out = ["", " ", "\t\n", "a"] + [p for line in CURATED.strip().split("\n") for p in line.split("|")]
    out += [p for p in CURATED.strip().split("\n")]
    blanks = [9, 10, 11, 12, 13, 28, 29, 30, 31, 32, 0x85, 0xA0, 0x1680, 0x2000, 0x2003, 0x200B,
              0x200D, 0x2028, 0x2029, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF, 0x180E]
    out += [f"a{chr(c)}b {chr(c)}c{chr(c)}" for c in blanks]
    out += [f"x{chr(c)}y {chr(c)}" for c in [1, 7, 8, 0x1B, 0x7F, 0x80, 0x9F, 0xAD, 0x200E, 0x202E,
                                             0xFFFD, 0xFFFF, 0xE000, 0xF8FF, 0xE0001, 0x10FFFF]]
    chance = random.Random(20)
    by_category: dict[str, list[str]] = {}
    for point in range(1, 0x110000):
        if not 0xD800 <= point <= 0xDFFF:
            by_category.setdefault(unicodedata.category(chr(point)), []).append(chr(point))
    for category in sorted(by_category):
        for c in chance.sample(by_category[category], min(3, len(by_category[category]))):
            out.append(f"a {c} b {c}{c} 1{c} z{c}y")
    words = [w for p in out for w in p.split(" ") if w]
    everything = [c for c in by_category.values()]
    for _ in range(120):
        parts = [chance.choice(words) if chance.random() < 0.5 else
                 chance.choice(chance.choice(everything)) for _ in range(chance.randint(2, 9))]
        out.append(chance.choice(["", " "]).join(parts))
    return list(dict.fromkeys(out))


def long_prompts() -> list[str]:
    return [
        "",
        "a cat",
        " ".join(["word"] * 75),
        " ".join(["word"] * 76) + "  tail ",
        "a very long prompt, " * 20,
        "日本語の写真" * 30,
        "😀" * 100,
        "e\u0301 " * 90,
        "\u1112\u1161\u11ab" * 60,
        "wow!!! " * 30,
        "<|endoftext|> x " * 50,
        "İ" * 60,
    ]


def load(files: dict[str, dict], with_vocabulary: bool = True) -> CLIPTokenizer:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file in ("vocab.json", "merges.txt"):
            if with_vocabulary:
                shutil.copy(VOCABULARY / file, folder / file)
        for file, content in files.items():
            (folder / file).write_text(json.dumps(content))
        return CLIPTokenizer.from_pretrained(folder)


def saved(tokenizer: CLIPTokenizer) -> dict[str, dict]:
    """What save_pretrained writes, vocabulary and merges emptied."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        files = {p.name: json.loads(p.read_text()) for p in sorted(pathlib.Path(name).iterdir())}
    files["tokenizer.json"]["model"].update(vocab={}, merges=[])
    return files


def make() -> None:
    specs = folders()
    loaded = {name: load(files) for name, files in specs.items()}
    for name in ("sd1", "sd2", "added"):
        specs[f"{name}_saved"] = saved(loaded[name])
    ids = {n: [t(p, add_special_tokens=False).input_ids for p in prompts()] for n, t in loaded.items()}
    cases = []
    for i, text in enumerate(prompts()):
        base = ids["sd1"][i]
        other = {n: ids[n][i] for n in loaded if ids[n][i] != base}
        cases.append({"text": text, "sd1": base, **other})
    encodings = [
        {"text": text, "folder": name,
         "input_ids": loaded[name](text, padding="max_length", truncation=True,
                                   max_length=77).input_ids}
        for name in ("sd1", "sd2") for text in long_prompts()
    ]
    golden = {
        "made_by": "scripts/make_goldens.py text",
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
        "folders": specs,
        "cases": cases,
        "encodings": encodings,
    }
    path = common.GOLDEN / "text" / "clip_ids.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(golden, separators=(",", ":")).replace('{"text"', '\n{"text"') + "\n")
    print(f"  {path.relative_to(common.GOLDEN)}: {path.stat().st_size / 1e3:.0f} kB, "
          f"{len(cases)} prompts")
