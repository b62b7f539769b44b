#!/usr/bin/env python3
"""Writes weights/tokenizers/clip and clip-sd2 from the published package open-clip-torch:

  pip download --no-deps open-clip-torch && scripts/make_tokenizer_data.py open_clip_torch-*.whl

clip is the tokenizer folder of Stable Diffusion 1 (CLIP's 49,408 pieces, padding with
<|endoftext|>); clip-sd2 is that of Stable Diffusion 2, which pads with "!" (id 0).
"""
import gzip
import json
import pathlib
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent / "weights" / "tokenizers"
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
MERGES = 49152 - 256 - 2

README = """# Tokenizers

Vocabularies for single files, which carry none. `scripts/make_tokenizer_data.py` writes them.

| folder | what | from |
| --- | --- | --- |
| `clip` | CLIP's byte-level BPE, 49,408 pieces; Stable Diffusion 1 pads with `<\\|endoftext\\|>` | `bpe_simple_vocab_16e6.txt.gz` of the PyPI package {package}; its licence (MIT) is `clip/LICENSE` |
| `clip-sd2` | links to the same vocabulary; Stable Diffusion 2 pads with `!` (id 0) | as `clip` |

BERT's vocabulary (bert-base-uncased, 30,522 lines), which the original latent-diffusion
text-to-image models need, is in no published package: put its `vocab.txt` beside the model file.
"""


def alphabet() -> list[str]:
    """GPT-2's printable spelling of the 256 bytes, in the order of CLIP's ids: printable bytes first."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def write(path: pathlib.Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, indent=1, sort_keys=True)
    path.write_text(text.rstrip("\n") + "\n" if path.suffix != ".json" else text, encoding="utf-8")
    print(f"{path.relative_to(ROOT.parent.parent)}: {path.stat().st_size} bytes")


def small_files(name: str, pad: str) -> None:
    """As published: the named tokens are looked for in lower-cased text, the padding as typed."""
    def token(content: str) -> dict:
        return {"content": content, "lstrip": False, "normalized": True, "rstrip": False,
                "single_word": False}

    write(ROOT / name / "special_tokens_map.json",
          {"bos_token": token(BOS), "eos_token": token(EOS), "unk_token": token(EOS), "pad_token": pad})
    write(ROOT / name / "tokenizer_config.json",
          {"model_max_length": 77, "pad_token": EOS, "tokenizer_class": "CLIPTokenizer"})


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    wheel = pathlib.Path(sys.argv[1])
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("open_clip/bpe_simple_vocab_16e6.txt.gz")
        licence = next(n for n in archive.namelist() if n.endswith("LICENSE"))
        licence = archive.read(licence).decode()
    rules = gzip.decompress(packed).decode().split("\n")[1 : MERGES + 1]
    pieces = alphabet()
    pieces += [c + "</w>" for c in pieces]
    pieces += [rule.replace(" ", "") for rule in rules] + [BOS, EOS]
    vocabulary = json.dumps({p: i for i, p in enumerate(pieces)}, ensure_ascii=False)
    merges = "#version: 0.2\n" + "\n".join(rules) + "\n"
    write(ROOT / "clip" / "vocab.json", vocabulary)
    write(ROOT / "clip" / "merges.txt", merges)
    write(ROOT / "clip" / "LICENSE", licence)
    small_files("clip", EOS)
    small_files("clip-sd2", "!")
    for name in ("vocab.json", "merges.txt", "LICENSE"):
        link = ROOT / "clip-sd2" / name
        link.unlink(missing_ok=True)
        link.symlink_to(pathlib.Path("..") / "clip" / name)
    package = " ".join(wheel.name.split("-")[:2]).replace("_", "-")
    write(ROOT / "README.md", README.format(package=package))


if __name__ == "__main__":
    main()
