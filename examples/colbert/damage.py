"""Which stage of the indexer turns float differences into integer ones? One change at a time.

Runs in one environment, so nothing but the swapped values differs. It reads what two recordings
of ``index_and_search.py`` caught by ``--watch``, and does colbert-ai's own steps (k-means,
nearest centroid, residual buckets) with parts of the baseline and parts of the candidate::

    python damage.py forkpoint-results/colbert
    python damage.py --perturb 0.2 forkpoint-results/colbert

``--perturb`` makes the candidate from the baseline: that share of its half-precision values is
moved by one unit in the last place. ``--iterations`` and ``--partitions`` train k-means otherwise.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import torch
from safetensors import safe_open

BITS, SEED = 4, 123
INDEXER = "colbert.indexing.collection_indexer:CollectionIndexer"
ENCODER = "colbert.indexing.collection_encoder:CollectionEncoder"


@dataclass(frozen=True)
class Embeddings:
    """One side: what k-means learns from, what the buckets are cut by, what is indexed.

    float16[n, d] each; ``doclens`` int64[documents].
    """

    sample: torch.Tensor
    heldout: torch.Tensor
    passages: torch.Tensor
    doclens: torch.Tensor


@dataclass(frozen=True)
class KMeans:
    partitions: int
    iterations: int
    seed: int = SEED


@dataclass(frozen=True)
class Codec:
    """float32[K, d] centroids; float32[2**bits - 1] cutoffs."""

    centroids: torch.Tensor
    cutoffs: torch.Tensor


@dataclass(frozen=True)
class Index:
    codec: Codec
    codes: torch.Tensor
    buckets: torch.Tensor


def main() -> None:
    args = parse_args()
    a = read(args.results, "old")
    b = perturbed(a, args.perturb) if args.perturb else read(args.results, "new")
    print(inputs(a, b))
    kmeans = KMeans(args.partitions or usual_partitions(len(a.passages)), args.iterations)
    candidate, whole = train(b, kmeans), built(a, train(a, kmeans))
    print(
        f"k-means: {len(a.sample) / kmeans.partitions:.1f} embeddings to a centroid, "
        f"{kmeans.iterations} iterations"
    )
    experiments = [
        ("control: the baseline again", built(a, train(a, kmeans))),
        ("everything from the candidate", built(b, candidate)),
        ("swap the sample: its codec, baseline's passages", built(a, candidate)),
        ("swap the codec: baseline's codec, its passages", built(b, whole.codec)),
        ("swap the centroids only", built(a, Codec(candidate.centroids, whole.codec.cutoffs))),
        (
            "another seed for k-means, nothing else",
            built(a, train(a, replace(kmeans, seed=SEED + 1))),
        ),
    ]
    rows = [(name, counts(whole, index, a.doclens)) for name, index in experiments]
    show(rows)
    conclude(dict(rows))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path, help="the folder that colbert.sh made")
    parser.add_argument("--iterations", type=int, default=10, help="of k-means")
    parser.add_argument("--partitions", type=int, help="centroids; colbert-ai's number by default")
    parser.add_argument("--perturb", type=float, metavar="SHARE")
    return parser.parse_args()


def read(folder: Path, name: str) -> Embeddings:
    """What the watched functions returned in one environment."""
    recording = folder / "recordings" / name
    split = results(recording, f"{INDEXER}._concatenate_and_split_sample", 0)
    encoded = results(recording, f"{ENCODER}.encode_passages", 1)  # call 0 encodes the sample
    return Embeddings(split[0], split[1], encoded[0].half(), doclens(folder, name))


def doclens(folder: Path, name: str) -> torch.Tensor:
    """Embeddings of each passage, from the index that the run wrote."""
    index = folder / "artifacts" / name / "out" / "index"
    return torch.tensor(json.loads((index / "doclens.0.json").read_text()))


def results(recording: Path, function: str, call: int) -> list[torch.Tensor]:
    """The tensors that one call of a watched function returned, as the recording keeps them."""
    db = sqlite3.connect(f"file:{recording / 'index.sqlite'}?mode=ro&immutable=1", uri=True)
    rows = db.execute(
        "SELECT s.file, s.key FROM event e JOIN name n ON n.id = e.op "
        "JOIN value v ON v.event = e.id AND v.role = 1 JOIN tensor t ON t.id = v.tensor "
        "JOIN tensor o ON o.digest = t.digest JOIN stored s ON s.tensor = o.id "
        "WHERE n.text = ? AND e.call = ? GROUP BY v.slot ORDER BY v.slot",
        (function, call),
    ).fetchall()
    db.close()
    if not rows:
        raise SystemExit(f"{recording} kept no result of {function}: watch it, see colbert.sh")
    tensors = []
    for file, key in rows:
        with safe_open(recording / "tensors" / file, "pt") as shard:
            tensors.append(shard.get_tensor(key))
    return tensors


def perturbed(one: Embeddings, share: float) -> Embeddings:
    draw = torch.Generator().manual_seed(0)
    return Embeddings(
        *(nudged(part, share, draw) for part in (one.sample, one.heldout, one.passages)),
        one.doclens,
    )


def nudged(values: torch.Tensor, share: float, draw: torch.Generator) -> torch.Tensor:
    """A share of float16 values moved to a neighbour: bits as integers are in order of size."""
    bits = values.contiguous().view(torch.int16).clone()
    chosen = torch.rand(bits.shape, generator=draw) < share
    up = torch.rand(bits.shape, generator=draw) < 0.5
    step = torch.where(up, 1, -1).to(torch.int16) * (bits.abs() > 0).to(torch.int16)
    return (bits + step * chosen.to(torch.int16)).view(torch.float16)


def train(side: Embeddings, how: KMeans) -> Codec:
    """As colbert-ai trains: k-means over the sample, cutoffs by quantiles of held-out residuals."""
    kmeans = faiss.Kmeans(side.sample.shape[1], how.partitions, niter=how.iterations, seed=how.seed)
    kmeans.train(side.sample.float().numpy())
    centroids = torch.nn.functional.normalize(torch.from_numpy(kmeans.centroids), dim=-1)
    residuals = side.heldout.float() - centroids[nearest(centroids, side.heldout)]
    quantiles = torch.arange(1, 2**BITS) / 2**BITS
    return Codec(centroids, residuals.quantile(quantiles))


def usual_partitions(embeddings: int) -> int:
    """How many centroids colbert-ai makes."""
    power = 1
    while power * 2 <= 16 * embeddings**0.5:
        power *= 2
    return power


def nearest(centroids: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """int64[n]: the centroid with the largest product for each row of float16[n, d]."""
    blocks = values.split(8192)
    return torch.cat([(centroids @ block.T.float()).max(dim=0).indices for block in blocks])


def built(side: Embeddings, codec: Codec) -> Index:
    codes = nearest(codec.centroids, side.passages)
    residuals = side.passages.float() - codec.centroids[codes]
    return Index(codec, codes, torch.bucketize(residuals, codec.cutoffs).to(torch.uint8))


def counts(one: Index, two: Index, doclens: torch.Tensor) -> dict[str, float]:
    """Shares that differ, in percent, by stage."""
    centroids = (one.codec.centroids != two.codec.centroids).any(dim=1)
    codes = one.codes != two.codes
    buckets = one.buckets != two.buckets
    packed = buckets.view(len(buckets), -1, 8 // BITS).any(dim=2)
    documents = torch.repeat_interleave(torch.arange(len(doclens)), doclens)
    changed = torch.zeros(len(doclens)).index_add_(0, documents, codes.float()) > 0
    shares = {
        "centroids": centroids,
        "codes": codes,
        "buckets, same code": buckets[~codes],
        "residual bytes": packed,
        "documents": changed,
    }
    return {name: 100 * share.float().mean().item() for name, share in shares.items()}


def inputs(a: Embeddings, b: Embeddings) -> str:
    x, y = a.sample.float(), b.sample.float()
    equal = (a.sample == b.sample).float().mean().item()
    close = torch.allclose(x, y, atol=1e-4, rtol=1e-3)
    return (
        f"local_sample_embs: {tuple(x.shape)}, equal {equal:.3f}, mean abs "
        f"{(x - y).abs().mean().item():.3g}, max abs {(x - y).abs().max().item():.3g}, "
        f"allclose(1e-4, 1e-3) {close}"
    )


def show(rows: list[tuple[str, dict[str, float]]]) -> None:
    names = list(rows[0][1])
    print("\nchanged against the baseline, %".ljust(50), *(name.rjust(19) for name in names))
    for label, found in rows:
        print(label.ljust(49), *(f"{found[name]:19.3f}" for name in names))


def conclude(found: dict[str, dict[str, float]]) -> None:
    control, _, sample, codec, _, _ = (one["codes"] for one in found.values())
    print()
    if control:
        print("inconclusive: the same values gave another index, so k-means does not repeat here")
        return
    print("supported: with its seed held, k-means repeats itself bit for bit on equal values")
    outcome = "supported" if sample > 10 * codec else "refuted"
    print(
        f"{outcome}: retraining k-means does most of the damage: {sample:.3f}% of codes change by "
        f"the sample alone, {codec:.3f}% by the passages' own differences under one codec"
    )


if __name__ == "__main__":
    main()
