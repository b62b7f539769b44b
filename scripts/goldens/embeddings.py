"""Textual inversions in every file's form, and what transformers' text encoder of runs/sd1 makes of
prompts with their words once its table has the vectors."""
import torch
from safetensors.torch import save_file

from . import common, runs

FOLDER = common.GOLDEN / "embeddings"


def make() -> None:
    FOLDER.mkdir(exist_ok=True)
    one, three = common.randn(32, seed=71), common.randn(3, 32, seed=72)
    save_file({"<cat-toy>": one}, FOLDER / "cat.safetensors")
    torch.save({"<cat-toy>": one}, FOLDER / "cat.bin")
    save_file({"emb_params": three}, FOLDER / "ink.safetensors")
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": three}, "name": "ink",
                "step": 100, "sd_checkpoint": None, "sd_checkpoint_name": None}, FOLDER / "ink.pt")
    parts = runs.open_parts(runs.ROOT / "sd1")
    text, tokenizer = parts["text_encoder"], parts["tokenizer"]
    table = text.embeddings.token_embedding.weight.detach()
    text.embeddings.token_embedding = torch.nn.Embedding.from_pretrained(
        torch.cat([table, one[None], three]))
    known = table.shape[0]

    def words(prompt: str) -> list[int]:
        return tokenizer(prompt, add_special_tokens=False).input_ids

    ids = [tokenizer.bos_token_id, *words("a"), known, *words(", red"), known + 1, known + 2,
           known + 3, *words("apple"), tokenizer.eos_token_id]
    ids += [tokenizer.pad_token_id] * (77 - len(ids))
    with torch.no_grad():
        embedding = text(torch.tensor([ids])).last_hidden_state
    common.save("embeddings", {"ids": torch.tensor(ids), "embedding": embedding},
                prompt="a <cat-toy>, red ink apple")
