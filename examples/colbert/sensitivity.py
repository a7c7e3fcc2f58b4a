"""How much of an index changes when embeddings move by one unit in the last place.

The figures depend on the collection, its size, and how k-means is trained. This encodes a text
of your own (a passage on each line) with the example's checkpoint, moves a share of the
half-precision values of everything, and trains and indexes both as colbert-ai does::

    python sensitivity.py passages.txt --passages 300 --passages 1600 --iterations 4

Runs in one of the two environments of ``colbert.sh``. Embeddings are kept in ``FILE.pt``, since
encoding takes the longest.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from colbert.infra import ColBERTConfig
from colbert.modeling.checkpoint import Checkpoint
from colbert.modeling.colbert import ColBERT
from damage import Embeddings, KMeans, built, counts, perturbed, train, usual_partitions
from index_and_search import BATCH, BITS, DIM, make_checkpoint

HELD_OUT = 0.05


def main() -> None:
    args = parse_args()
    vectors, doclens = encoded(args.texts, max(args.passages))
    print(
        f"{'passages':>9}{'embeddings':>12}{'centroids':>11}{'each':>7}{'iterations':>12}", end=""
    )
    print(f"{'codes':>9}{'bytes':>9}{'documents':>11}{'codec held':>12}")
    for passages in args.passages:
        some = doclens[:passages]
        whole = split(vectors[: int(some.sum())], some)
        for partitions in args.partitions or [usual_partitions(len(whole.passages))]:
            for iterations in args.iterations:
                show(whole, KMeans(partitions, iterations), args.perturb)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path, help="a passage on each line")
    parser.add_argument("--passages", type=int, action="append", required=True)
    parser.add_argument("--iterations", type=int, action="append", required=True)
    parser.add_argument("--partitions", type=int, action="append", help="centroids")
    parser.add_argument("--perturb", type=float, default=0.2, metavar="SHARE")
    return parser.parse_args()


def encoded(texts: Path, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """float16[embeddings, 96] of the first passages in their order, int64[passages] lengths."""
    kept = texts.with_suffix(f".{most}.pt")
    if not kept.exists():
        lines = [line for line in texts.read_text().splitlines() if line.strip()][:most]
        with TemporaryDirectory() as folder:
            checkpoint = make_checkpoint(Path(folder) / "checkpoint")
            ColBERT.loaded_extensions = True  # what it would compile is for searching only
            config = ColBERTConfig(nbits=BITS, dim=DIM, doc_maxlen=220)
            model = Checkpoint(str(checkpoint), colbert_config=config)
            with torch.inference_mode():
                flat, lens = model.docFromText(lines, bsize=BATCH, keep_dims="flatten")[:2]
        torch.save((flat.half(), torch.tensor(lens)), kept)
    vectors, doclens = torch.load(kept, weights_only=True)
    return vectors, doclens


def split(vectors: torch.Tensor, doclens: torch.Tensor) -> Embeddings:
    """All embeddings as the sample, as colbert-ai does with small collections; 5% held out."""
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))
    held = int(len(vectors) * HELD_OUT)
    return Embeddings(vectors[order[held:]], vectors[order[:held]], vectors, doclens)


def show(one: Embeddings, how: KMeans, share: float) -> None:
    two = perturbed(one, share)
    codec = train(one, how)
    index = built(one, codec)
    found = counts(index, built(two, train(two, how)), one.doclens)
    held = counts(index, built(two, codec), one.doclens)
    print(f"{len(one.doclens):9}{len(one.passages):12}{how.partitions:11}", end="")
    print(f"{len(one.sample) / how.partitions:7.1f}{how.iterations:12}", end="")
    print(f"{found['codes']:8.2f}%{found['residual bytes']:8.2f}%", end="")
    print(f"{found['documents']:10.1f}%{held['codes']:11.3f}%", flush=True)


if __name__ == "__main__":
    main()
