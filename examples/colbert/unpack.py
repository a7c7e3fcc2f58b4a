"""Write a colbert-ai index as ``.npy`` files, so that it can be compared without unpickling.

``python unpack.py out/old/index out/old/arrays``, in the environment that wrote the index.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch


def main(index: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    cutoffs, weights = load(index / "buckets.pt")
    lists, lengths = load(index / "ivf.pid.pt")
    arrays = {
        "centroids": load(index / "centroids.pt"),
        "avg_residual": load(index / "avg_residual.pt"),
        "bucket_cutoffs": cutoffs,
        "bucket_weights": weights,
        "ivf": lists,
        "ivf_lengths": lengths,
    }
    for path in [*index.glob("*.codes.pt"), *index.glob("*.residuals.pt")]:
        arrays[path.stem] = load(path)
    for name, tensor in arrays.items():
        np.save(out / f"{name}.npy", tensor.numpy())
    for path in index.glob("doclens.*.json"):
        shutil.copy(path, out)


def load(path: Path):
    return torch.load(path, map_location="cpu", weights_only=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
