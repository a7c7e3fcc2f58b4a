"""Late-interaction indexes (PLAID) compared by what they mean, not by how they are laid out.

Ties are sorted in any order, inverted lists are sets, and centroids may be numbered otherwise:
none of that is a difference. `index_files` reads them.
What there is for each embedding is looked at in blocks, so that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from forkpoint.compare import bits
from forkpoint.errors import ForkpointError

Array = NDArray[np.generic]
Integers = NDArray[np.int64]

_BLOCK = 1 << 16
_BYTES = 1 << 25
_OPEN = 4
_MAX_BITS = 8
HINT = "Is the folder a whole PLAID index in .npy files? Write it again."


class Rows:
    """The rows of an array that lies in several files, of which a few are mapped at a time.

    ``chunks`` open one file each; ``lengths`` are the numbers of their rows.
    """

    def __init__(self, chunks: Sequence[Callable[[], Array]]) -> None:
        heads = [_facts(open_chunk()) for open_chunk in chunks]
        require(heads, "it has no chunks")
        require(len({head[1:] for head in heads}) == 1, "its chunks are not of one kind")
        self._ends = np.cumsum([head[0] for head in heads])
        self._chunk = lru_cache(_OPEN)(lambda number: chunks[number]())
        self.shape = (int(self._ends[-1]), *heads[0][1])
        self.dtype = np.dtype(heads[0][2])
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Integers) -> Array:
        """A copy of some rows, in the order asked for."""
        found = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        homes = np.searchsorted(self._ends, rows, side="right")
        for home in np.unique(homes):
            here = homes == home
            chunk = self._chunk(int(home))
            found[here] = chunk[rows[here] - (self._ends[home] - len(chunk))]
        return found


def _facts(chunk: Array) -> tuple[int, tuple[int, ...], str]:
    require(chunk.ndim > 0, "an array has no rows")
    return len(chunk), chunk.shape[1:], chunk.dtype.str


@dataclass(frozen=True, kw_only=True)
class Index:
    """One index of N documents with M embeddings in K lists.

    ``centroids`` float[K, d]; ``codes`` int[M]; ``residuals`` uint8[M, d/8*bits], packed;
    ``cutoffs`` float[2**bits - 1], ``weights`` float[2**bits]; ``avg_residual`` float[d] or [];
    ``doclens`` int[N], adding up to M; ``ivf`` int[L] document numbers, ``ivf_lengths`` int[K]
    adding up to at most L, as colbert-ai pads the end; ``documents`` N ids, by which two indexes
    are matched, or None for positions.
    Raises `ForkpointError` where these do not fit together.
    """

    centroids: Array
    codes: Array | Rows
    residuals: Array | Rows
    cutoffs: Array
    weights: Array
    avg_residual: Array
    doclens: Integers
    ivf: Array
    ivf_lengths: Integers
    documents: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check sizes and ranges: an index comes from a foreign program."""
        size = len(self.codes)
        require(self.centroids.ndim == 2, "the centroids are no matrix")
        require(self.residuals.ndim == 2, "the residuals are no matrix")
        require(self.residuals.dtype == np.uint8, "the residuals are no bytes")
        require(len(self.residuals) == size, "codes and residuals are not of one length")
        require((self.doclens >= 0).all(), "a document has a negative length")
        require(self.doclens.sum() == size, "the document lengths do not add up to the codes")
        require(len(self.ivf_lengths) == len(self.centroids), "not one list for each centroid")
        require((self.ivf_lengths >= 0).all(), "a list has a negative length")
        require(self.ivf_lengths.sum() <= len(self.ivf), "the lists are longer than the ivf")
        require(_within(self.codes, len(self.centroids)), "a code names no centroid")
        require(_within(self.ivf, len(self.doclens)), "a list names no document")
        names = self.documents
        if names is not None:
            require(len(names) == len(self.doclens), "not one id for each document")
            require(len(set(names)) == len(names), "two documents have one id")
        require(self.bits <= _MAX_BITS, "a bucket's number takes more than 8 bits")
        require(self._bits_fit, "the residuals do not fit centroids and buckets")

    @property
    def bits(self) -> int:
        """Bits of one bucket's number."""
        return int(np.log2(max(1, len(self.weights))))

    @property
    def _bits_fit(self) -> bool:
        width = self.centroids.shape[1] * self.bits
        packed = int(self.residuals.shape[1]) * 8
        return bool(packed == width and len(self.weights) == 2**self.bits)

    @cached_property
    def starts(self) -> Integers:
        """Where each document's embeddings start, and where the last one's end."""
        return np.concatenate(([0], np.cumsum(self.doclens)))

    def buckets(self, rows: Integers) -> NDArray[np.uint8]:
        """The bucket of each coordinate of some embeddings, unpacked: uint8[rows, d]."""
        bits = np.unpackbits(self.residuals[rows].astype(np.uint8, copy=False), axis=1)
        values = bits.reshape(len(rows), self.centroids.shape[1], self.bits)
        # colbert-ai packs the lowest bit first
        found: NDArray[np.uint8] = np.bitwise_or.reduce(
            values << np.arange(self.bits, dtype=np.uint8), axis=2
        )
        return found

    @cached_property
    def _list_ends(self) -> Integers:
        return np.cumsum(self.ivf_lengths)

    def list_of(self, centroid: int) -> Integers:
        """The documents of one centroid, each once, in order."""
        end = int(self._list_ends[centroid])
        found: Integers = np.unique(self.ivf[end - int(self.ivf_lengths[centroid]) : end])
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexDifference:
    """What differs between two indexes, stage by stage, each with the number compared.

    ``permuted``: the centroids are the same and numbered otherwise, so codes and lists were
    renumbered before they were compared. ``residuals`` counts coordinates of embeddings whose
    code is equal: under another centroid a residual means something else.
    """

    centroids: tuple[int, int]
    permuted: bool
    cutoffs: tuple[int, int]
    weights: tuple[int, int]
    avg_residual: tuple[int, int]
    doclens: tuple[int, int]
    codes: tuple[int, int]
    residuals: tuple[int, int]
    documents: tuple[int, int]
    lists: tuple[int, int]
    only_baseline: tuple[str, ...] = ()
    only_candidate: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """Whether both indexes mean the same."""
        counts = (
            *(self.centroids, self.cutoffs, self.weights, self.avg_residual, self.doclens),
            *(self.codes, self.residuals, self.lists),
        )
        return not any(changed for changed, _ in counts) and not (
            self.only_baseline or self.only_candidate
        )


def compare_indexes(baseline: Index, candidate: Index) -> IndexDifference:
    """Count what differs; documents are matched by id where both have ids, else by position.

    Raises `ForkpointError` where dimension or bits are not the same.
    """
    require(
        baseline.residuals.shape[1] == candidate.residuals.shape[1]
        and baseline.centroids.shape[1] == candidate.centroids.shape[1],
        "the two have other dimensions or bits",
    )
    pairs, only_baseline, only_candidate = _paired(baseline, candidate)
    renumbered = _renumbering(baseline.centroids, candidate.centroids)
    alike = baseline.doclens[pairs[:, 0]] == candidate.doclens[pairs[:, 1]]
    return IndexDifference(
        centroids=_unequal_rows(baseline.centroids, candidate.centroids, renumbered),
        permuted=renumbered is not None,
        cutoffs=_unequal(baseline.cutoffs, candidate.cutoffs),
        weights=_unequal(baseline.weights, candidate.weights),
        avg_residual=_unequal(baseline.avg_residual, candidate.avg_residual),
        doclens=(int((~alike).sum()), len(pairs)),
        lists=_lists(baseline, candidate, pairs, renumbered),
        only_baseline=only_baseline,
        only_candidate=only_candidate,
        **_embeddings(baseline, candidate, renumbered, pairs[alike]),
    )


def _paired(one: Index, two: Index) -> tuple[Integers, tuple[str, ...], tuple[str, ...]]:
    """Numbers of documents that both have, int[n, 2], and the names of all others."""
    if one.documents is None or two.documents is None:
        sizes = len(one.doclens), len(two.doclens)
        both = np.arange(min(sizes), dtype=np.int64)
        extra = [tuple(map(str, range(min(sizes), size))) for size in sizes]
        return np.stack((both, both), axis=1), extra[0], extra[1]
    at = {name: number for number, name in enumerate(two.documents)}
    known = set(one.documents)
    pairs = [(i, at[name]) for i, name in enumerate(one.documents) if name in at]
    return (
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        tuple(name for name in one.documents if name not in at),
        tuple(name for name in two.documents if name not in known),
    )


def _renumbering(one: Array, two: Array) -> Integers | None:
    """For each row of ``two`` its number in ``one``, if the rows are the same in another order."""
    if one.shape != two.shape or one.dtype != two.dtype or not _unequal(one, two)[0]:
        return None
    known: dict[bytes, list[int]] = {}
    for number, row in reversed(list(enumerate(one))):
        known.setdefault(row.tobytes(), []).append(number)
    found = [places.pop() if (places := known.get(row.tobytes())) else None for row in two]
    if None in found:
        return None
    return np.array(found, dtype=np.int64)


def _unequal_rows(one: Array, two: Array, renumbered: Integers | None) -> tuple[int, int]:
    if renumbered is not None:
        return 0, len(one)
    if one.shape != two.shape or one.dtype != two.dtype:
        return max(len(one), len(two)), max(len(one), len(two))
    return int((_bits(one) != _bits(two)).any(axis=1).sum()), len(one)


def _unequal(one: Array, two: Array) -> tuple[int, int]:
    size = max(one.size, two.size)
    if one.shape != two.shape or one.dtype != two.dtype:
        return size, size
    return int((_bits(one) != _bits(two)).sum()), size


def _bits(array: Array) -> Array:
    """Floats as their bits: -0 is not 0, and a NaN is itself."""
    return bits(np.ascontiguousarray(array)).reshape(array.shape)


def _rows(one: Index, two: Index, pairs: Integers) -> Integers:
    """The embeddings of matched documents of one length, int[rows, 2]."""
    lengths = one.doclens[pairs[:, 0]]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    starts = np.stack((one.starts[pairs[:, 0]], two.starts[pairs[:, 1]]), axis=1)
    rows: Integers = np.repeat(starts, lengths, axis=0) + within[:, None]
    return rows


def _embeddings(
    one: Index, two: Index, renumbered: Integers | None, pairs: Integers
) -> dict[str, tuple[int, int]]:
    """Codes, residual buckets under equal codes, and documents with a change in either."""
    lengths = one.doclens[pairs[:, 0]]
    changed = moved = same = documents = 0
    at_once = max(1, _BYTES // (one.centroids.shape[1] * max(1, one.bits)))
    # documents whose embeddings make about one block, and of each block as much as fits
    for start, stop in _runs(np.cumsum(lengths) // _BLOCK):
        rows = _rows(one, two, pairs[start:stop])
        owner = np.repeat(np.arange(stop - start), lengths[start:stop])
        touched = np.zeros(stop - start, dtype=np.bool_)
        for first in range(0, len(rows), at_once):
            part = rows[first : first + at_once]
            codes = two.codes[part[:, 1]]
            unlike = one.codes[part[:, 0]] != (codes if renumbered is None else renumbered[codes])
            kept = part[~unlike]
            buckets = (one.buckets(kept[:, 0]) != two.buckets(kept[:, 1])).sum(axis=1)
            changed += int(unlike.sum())
            moved += int(buckets.sum())
            same += len(kept)
            unlike[~unlike] = buckets > 0
            touched[owner[first : first + at_once][unlike]] = True
        documents += int(touched.sum())
    return {
        "codes": (changed, int(lengths.sum())),
        "residuals": (moved, same * one.centroids.shape[1]),
        "documents": (documents, len(pairs)),
    }


def _runs(values: Integers) -> Iterator[tuple[int, int]]:
    """Where runs of equal values begin and end."""
    if len(values):
        edges = np.flatnonzero(np.diff(values)) + 1
        yield from zip([0, *edges.tolist()], [*edges.tolist(), len(values)], strict=True)


def _lists(one: Index, two: Index, pairs: Integers, renumbered: Integers | None) -> tuple[int, int]:
    """Inverted lists that hold other documents, by centroid."""
    number = np.full(len(two.doclens), -1, dtype=np.int64)
    number[pairs[:, 1]] = pairs[:, 0]
    sizes = len(one.centroids), len(two.centroids)
    theirs = np.arange(sizes[1]) if renumbered is None else np.argsort(renumbered)
    unlike = sum(
        not np.array_equal(one.list_of(k), np.sort(number[two.list_of(int(theirs[k]))]))
        for k in range(min(sizes))
    )
    return unlike + max(sizes) - min(sizes), max(sizes)


def _within(values: Array | Rows, limit: int) -> bool:
    """Whether all values lie in 0 to ``limit`` - 1, looked at in blocks."""
    starts = range(0, len(values), _BLOCK)
    blocks = (values[np.arange(s, min(s + _BLOCK, len(values)))] for s in starts)
    return all(bool(block.min() >= 0 and block.max() < limit) for block in blocks)


def require(holds: object, problem: str) -> None:
    """Raise `ForkpointError` with the problem unless it holds."""
    if not holds:
        raise ForkpointError(f"This is no index that can be compared: {problem}.", hint=HINT)
