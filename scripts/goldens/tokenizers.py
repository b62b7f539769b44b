"""tests/golden/text/tokenizers.json and *.model: ids of the public BERT and SentencePiece tokenizers.

Texts are those of clip_ids.json. BERT's ids are transformers' BertTokenizer's. SentencePiece ids are
those of the sentencepiece package itself, framed as by the transformers classes; texts with special
tokens in them are cut there first. The models are tiny, trained here.
"""
import io
import json
import pathlib
import re
import tempfile
import unicodedata

import sentencepiece
import transformers
from tokenizers import normalizers, pre_tokenizers

from . import common, text

OUT = common.GOLDEN / "text"
SPECIALS = {"xlm-roberta": ["<s>", "</s>", "<pad>", "<unk>", "<mask>"], "t5": ["</s>", "<pad>", "<unk>"],
            "rinna": ["<s>", "</s>", "<unk>", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]}
EXTRA = [
    "<s> a</s> <pad>b <unk> <mask>c <mask>", "[CLS] x [SEP][PAD] [MASK]y", "<extra_id_0> and <extra_id_99>",
    "▁ ▁a a▁b", "ｆｕｌｌ　ｗｉｄｔｈ ＡＢＣ", "セ\u3099 カ\u3099", "ΟΔΟΣ ΣΑΣ.", "İstanbul", "x" * 99 + " " + "y" * 100 + " z" * 3,
    "a" * 101, "é" * 101, "[UNK] [unk] [MASK]ed", "未来の都市、油絵", "un" + "believ" * 5 + "able",
]


def corpus() -> list[str]:
    base = """a photograph of an astronaut riding a horse on mars
    an oil painting of a red fox in the snow by a famous artist, highly detailed, 4k
    the quick brown fox jumps over the lazy dog
    portrait of a young woman with blue eyes, soft light, trending on artstation
    a city street at night in the rain, neon lights, cyberpunk style
    un chat noir sur un canapé rouge, peinture à l'huile
    ein Haus am See, Ölgemälde, schöne Wolken
    富士山の写真、夕暮れ、美しい空
    桜の木の下の猫、水彩画
    北京的街道，夜景
    кот на крыше, акварель
    ο ήλιος και η θάλασσα
    한국어 사진 고양이""".split("\n")
    lines = [line.strip() for line in base]
    words = sorted({w for line in lines for w in line.split()})
    pairs = [f"{a} {b}" for i, a in enumerate(words) for b in words[i % 7 :: 7]]
    return lines * 8 + pairs


def rules() -> str:
    """A small character map: full width to ASCII, blanks, ligatures, two kana with voicing marks."""
    pairs = {chr(0xFEE0 + c): chr(c) for c in range(0x21, 0x7F)}
    pairs |= {c: " " for c in "\t\n\r\u00a0\u3000\u2003\u2028"}
    pairs |= {"ﬁ": "fi", "ﬂ": "fl", "①": "1", "²": "2", "½": "1/2", "セ\u3099": "ゼ", "カ\u3099": "ガ", "\u200b": ""}
    pairs |= {unicodedata.normalize("NFD", c): c for c in "éèàöüçñ"}
    spell = lambda s: " ".join(f"{ord(c):X}" for c in s)
    return "".join(f"{spell(a)}\t{spell(b)}\n" for a, b in sorted(pairs.items()))


def train(name: str, **options) -> sentencepiece.SentencePieceProcessor:
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as tsv:
        tsv.write(rules())
        tsv.flush()
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus()), model_writer=model, normalization_rule_tsv=tsv.name,
            character_coverage=1.0, num_threads=1, hard_vocab_limit=False, minloglevel=2, **options)
    path = OUT / f"{name}.model"
    path.write_bytes(model.getvalue())
    print(f"  text/{path.name}: {path.stat().st_size / 1e3:.0f} kB")
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def segment(prompt: str, specials: dict[str, int], encode) -> list[int]:
    """Special tokens as they stand, what is between them by `encode`."""
    pattern = "|".join(map(re.escape, sorted(specials, key=len, reverse=True)))
    ids = []
    for part in re.split(f"({pattern})", prompt):
        ids += [specials[part]] if part in specials else encode(part)
    return ids


def bert_vocabulary() -> list[str]:
    words = sorted({w.lower() for line in corpus() for w in re.findall(r"\w+", line)})
    chars = sorted({c for w in words for c in w} | set("abcdefghijklmnopqrstuvwxyz0123456789"))
    accents = sorted({c for w in words for c in unicodedata.normalize("NFD", w)} - set(chars))
    marks = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~。、，")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + marks + chars + accents
    pieces += ["##" + c for c in chars] + words + ["##able", "##ing", "un", "A", "Ö", "É", "##ö", "i\u0307"]
    return list(dict.fromkeys(pieces))


def ranges(points: list[int]) -> list[list[int]]:
    out: list[list[int]] = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def bert_classes() -> dict[str, list[list[int]]]:
    """What BertNormalizer and BertPreTokenizer make of every code point."""
    def normalizer(**options):
        off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
        return normalizers.BertNormalizer(**{**off, **options}).normalize_str

    clean, cjk = normalizer(clean_text=True), normalizer(handle_chinese_chars=True)
    strip, split = normalizer(strip_accents=True), pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    found: dict[str, list[int]] = {"removed": [], "ideograph": [], "accent": [], "punctuation": []}
    for point in range(1, 0x110000):
        if 0xD800 <= point <= 0xDFFF:
            continue
        c = chr(point)
        tests = {"removed": clean(f"a{c}b") == "ab", "ideograph": cjk(f"a{c}b") == f"a {c} b",
                 "accent": strip(c) == "", "punctuation": len(split(f"a{c}b")) == 3}
        for name, yes in tests.items():
            if yes:
                found[name].append(point)
    return {name: ranges(points) for name, points in found.items()}


def saved(tokenizer) -> dict[str, dict]:
    """What save_pretrained writes, the vocabulary emptied."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer.save_pretrained(name)
        files = {p.name: json.loads(p.read_text()) for p in sorted(pathlib.Path(name).iterdir())}
    files["tokenizer.json"]["model"]["vocab"] = []
    return files


def load(cls, files: dict, name: str, content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, name).write_bytes(content)
        for file, value in files.items():
            pathlib.Path(folder, file).write_text(json.dumps(value))
        return cls.from_pretrained(folder)


def bert(prompts: list[str]) -> dict:
    vocabulary = bert_vocabulary()
    base = {"tokenizer_class": "BertTokenizer", "model_max_length": 512}
    configs = {
        "uncased": base,
        "cased": {**base, "do_lower_case": False},
        "keep": {**base, "strip_accents": False},
        "joined": {**base, "tokenize_chinese_chars": False, "strip_accents": True, "do_lower_case": False},
    }
    out: dict = {"vocabulary": vocabulary, "configs": configs, "classes": bert_classes(), "ids": {}}
    content = ("\n".join(vocabulary) + "\n").encode()
    for name, config in configs.items():
        tokenizer = load(transformers.BertTokenizer, {"tokenizer_config.json": config}, "vocab.txt", content)
        out["ids"][name] = [tokenizer(p, add_special_tokens=False).input_ids for p in prompts]
        if name == "uncased":
            out["saved"] = saved(tokenizer)
            out["encodings"] = [
                tokenizer(p, padding="max_length", truncation=True, max_length=77).input_ids
                for p in text.long_prompts()]
    return out


def sentencepieces(prompts: list[str]) -> dict:
    xlmr = train("xlm-roberta", vocab_size=420, model_type="unigram")
    t5 = train("t5", vocab_size=400, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    rinna = train("rinna", vocab_size=420, model_type="bpe", control_symbols=["[PAD]", "[CLS]", "[SEP]", "[MASK]"])
    last = xlmr.get_piece_size() + 1
    fairseq = lambda s: [i + 1 if i else 3 for i in xlmr.encode(s)]
    specials = {
        "xlm-roberta": {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": last},
        "t5": {"<pad>": 0, "</s>": 1, "<unk>": 2,
               **{f"<extra_id_{i}>": t5.get_piece_size() + 99 - i for i in range(100)}},
        "rinna": {t: rinna.piece_to_id(t) for t in SPECIALS["rinna"]},
    }
    encoders = {"xlm-roberta": fairseq, "t5": t5.encode, "rinna": lambda s: rinna.encode(s.lower())}
    files = {
        "xlm-roberta": {"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 77}},
        "t5": {"tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "model_max_length": 512}},
        "rinna": {
            "tokenizer_config.json": {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "do_lower_case": True,
                                      "additional_special_tokens": []},
            "special_tokens_map.json": {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
                                        "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
                                        "mask_token": "[MASK]"},
        },
    }
    names = {"xlm-roberta": "sentencepiece.bpe.model", "t5": "spiece.model", "rinna": "spiece.model"}
    classes = {"xlm-roberta": transformers.XLMRobertaTokenizer, "t5": transformers.T5Tokenizer}
    out: dict = {"files": files, "names": names, "ids": {}, "saved": {}, "encodings": {}, "other": {}}
    for name, encode in encoders.items():
        out["ids"][name] = [segment(p, specials[name], encode) for p in prompts]
        if name not in classes:
            continue
        content = (OUT / f"{name}.model").read_bytes()
        tokenizer = load(classes[name], files[name], names[name], content)
        theirs = [tokenizer(p, add_special_tokens=False).input_ids for p in prompts]
        out["other"][name] = [i for i, ids in enumerate(theirs) if ids != out["ids"][name][i]]
        out["saved"][name] = saved(tokenizer)
        out["encodings"][name] = [
            tokenizer(p, padding="max_length", truncation=True, max_length=77).input_ids
            for p in text.long_prompts()]
        print(f"  {name}: transformers differs from the library in {len(out['other'][name])} of {len(prompts)}")
    return out


def make() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    prompts = text.prompts() + EXTRA
    golden = {
        "made_by": "scripts/make_goldens.py tokenizers",
        "transformers": transformers.__version__,
        "sentencepiece": sentencepiece.__version__,
        "extra": EXTRA,
        "bert": bert(prompts),
        "sentencepiece_models": sentencepieces(prompts),
    }
    path = OUT / "tokenizers.json"
    path.write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=False) + "\n")
    print(f"  text/{path.name}: {path.stat().st_size / 1e3:.0f} kB, {len(prompts)} prompts")
