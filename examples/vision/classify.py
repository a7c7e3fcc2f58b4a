"""Classify drawn images of several sizes with a ConvNeXt whose weights come from a seed.

Nothing is downloaded: neither weights nor images.
"""

from __future__ import annotations

import argparse

import torch
from transformers import ConvNextConfig, ConvNextForImageClassification

SIZES = (224, 192, 160, 224, 256, 96)


def main() -> None:
    args = parse_args()
    torch.manual_seed(args.seed)
    config = ConvNextConfig(depths=[2, 2, 4, 2], hidden_sizes=[64, 128, 256, 512], num_labels=10)
    model = ConvNextForImageClassification(config).eval()
    for size in SIZES:
        with torch.no_grad():
            logits = model(rings(args.batch_size, size)).logits
        print(size, logits.argmax(1).tolist(), flush=True)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def rings(count: int, size: int) -> torch.Tensor:
    """Images of rings around moving centres, drawn in integers so that every torch agrees."""
    axis = torch.arange(size)
    images = []
    for index in range(count * 3):
        x, y = axis - 7 * index, axis - 11 * index
        images.append((x[:, None] ** 2 + y[None, :] ** 2) // 64 % 256)
    return torch.stack(images).view(count, 3, size, size).to(torch.float32) / 128 - 1


if __name__ == "__main__":
    main()
