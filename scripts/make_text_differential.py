#!/usr/bin/env python3
"""Writes random Unicode strings with the ids that a public tokenizer gives them, for the hidden test
"ids equal a large reference file" of test_text:

  scripts/make_text_differential.py bert TOKENIZER_FOLDER 100000 /tmp/bert.tsv
  LDM_TEXT_DIFFERENTIAL=/tmp/bert.tsv LDM_TEXT_TOKENIZER=TOKENIZER_FOLDER \\
    build/rel/tests/test_text "ids equal a large reference file"

KIND is clip, bert, xlm-roberta, t5 or albert (transformers' class), or one of xlm-roberta-spm and
t5-spm: the sentencepiece package itself with the class's ids and without special tokens. Python needs
transformers, tokenizers and sentencepiece; scripts/reference.sh says how to get them.
"""
import argparse
import pathlib
import random
import sys
import unicodedata

WORDS = """a photograph of an astronaut riding horse mars oil painting Van Gogh style highly detailed
4k trending on artstation cat's don't ΟΔΟΣ İstanbul Straße ﬁne naïve café résumé 日本語 写真 富士山 한국어
русский עברית العربية ไทย हिन्दी ½ ² ① ™ http://x.org/?q=1 foo_bar C++ #tag @user 3.14 1,000 ... !!! ---
（全角）ｆｕｌｌ ﾊﾝｶｸ が ぱ é ö ạ̈ 👨‍👩‍👧 🇫🇷 ❤️ <s> </s> <pad> <unk> <mask> [CLS] [SEP] [PAD] [MASK] [UNK] ▁ ▁x ``q''""".split()


def texts(count: int, seed: int, special: bool):
    chance = random.Random(seed)
    words = [w for w in WORDS if special or not (w[0] in "<[▁" and len(w) > 0)]
    by_category: dict[str, list[str]] = {}
    for point in range(1, 0x110000):
        if not 0xD800 <= point <= 0xDFFF:
            by_category.setdefault(unicodedata.category(chr(point)), []).append(chr(point))
    categories = sorted(by_category)
    common = [c for c in map(chr, range(0x20, 0x250))] + [chr(c) for c in range(0x3040, 0x3100)]
    blanks = [" ", " ", " ", "", "  ", "\t", "\n", "\u00a0", "\u3000", "\u200b", "\u2028"]

    def part() -> str:
        roll = chance.random()
        if roll < 0.45:
            return chance.choice(words)
        if roll < 0.65:
            return "".join(chance.choices(common, k=chance.randint(1, 8)))
        if roll < 0.9:
            return "".join(chance.choice(by_category[chance.choice(categories)])
                           for _ in range(chance.randint(1, 3)))
        return chr(chance.choice([*range(1, 0xD800), *range(0xE000, 0x3000)]) if roll < 0.95 else
                   chance.randrange(0x10000, 0x110000))

    for _ in range(count):
        out = ""
        for _ in range(chance.randint(1, 9)):
            out += part() + chance.choice(blanks)
        yield out.replace("\0", "")


def reference(kind: str, folder: str):
    """The function from text to ids."""
    if kind.endswith("-spm"):
        import sentencepiece

        file = next(p for p in sorted(pathlib.Path(folder).iterdir()) if p.name.endswith(".model"))
        model = sentencepiece.SentencePieceProcessor(model_file=str(file))
        if kind == "t5-spm":
            return model.encode
        return lambda text: [i + 1 if i else 3 for i in model.encode(text)]
    import transformers

    names = {"clip": "CLIPTokenizer", "bert": "BertTokenizer", "t5": "T5Tokenizer",
             "xlm-roberta": "XLMRobertaTokenizer", "albert": "AlbertTokenizer"}
    tokenizer = getattr(transformers, names[kind]).from_pretrained(folder)
    return lambda text: tokenizer(text, add_special_tokens=False).input_ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind")
    parser.add_argument("folder")
    parser.add_argument("count", type=int)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    ids = reference(options.kind, options.folder)
    with options.out.open("w") as out:
        for text in texts(options.count, options.seed, not options.kind.endswith("-spm")):
            out.write(f"{text.encode().hex()}\t{' '.join(map(str, ids(text)))}\n")
    print(f"{options.count} strings: {options.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
