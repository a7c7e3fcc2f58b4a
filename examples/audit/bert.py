"""A BERT encoder with random weights, over batches of the article's 22 lengths.

No weights and no text are needed: the audit asks whether bits stay, not whether they mean
anything. Runs with transformers 4 and 5.
"""

from __future__ import annotations

import argparse

import torch
from transformers import BertConfig, BertModel

LENGTHS = (
    *(61, 62, 63, 64, 66, 67, 68, 69, 70, 71, 72),
    *(73, 77, 78, 79, 80, 82, 83, 86, 90, 115, 194),
)
VOCABULARY = 30522


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=12,
        intermediate_size=4 * args.hidden,
        attn_implementation=args.attention,
    )
    bert = BertModel(config).eval().to(args.device)
    for length in args.lengths:
        ids = torch.randint(0, VOCABULARY, (args.batch, length))
        mask = torch.ones_like(ids)
        if args.masked:
            mask[::2, length - length // 8 :] = 0
        with torch.no_grad(), torch.autocast("cuda", enabled=args.device == "cuda"):
            bert(input_ids=ids.to(args.device), attention_mask=mask.to(args.device))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--attention", choices=("eager", "sdpa"), default="eager")
    parser.add_argument("--masked", action="store_true", help="mask the end of every other row")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--lengths", type=int, nargs="+", default=LENGTHS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
