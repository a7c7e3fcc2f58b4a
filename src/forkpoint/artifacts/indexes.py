"""Late-interaction indexes (PLAID) compared by what they mean, not by how they are laid out.

Ties are sorted in any order, inverted lists are sets, and centroids may be numbered otherwise:
none of that is a difference. Nothing here reads pickles: `read_index` takes arrays in ``.npy``,
as fast-plaid and PyLate write them; colbert-ai's ``.pt`` files are turned into those first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forkpoint.errors import ForkpointError

Array = NDArray[np.generic]
Integers = NDArray[np.int64]

_BLOCK = 1 << 16
_MAX_JSON = 1 << 28
_HINT = "Is the folder a whole PLAID index in .npy files? Write it again."


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
    codes: Array
    residuals: Array
    cutoffs: Array
    weights: Array
    avg_residual: Array
    doclens: Integers
    ivf: Integers
    ivf_lengths: Integers
    documents: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check sizes and ranges: an index comes from a foreign program."""
        size = len(self.codes)
        _require(self.centroids.ndim == 2, "the centroids are no matrix")
        _require(self.residuals.ndim == 2, "the residuals are no matrix")
        _require(self.residuals.dtype == np.uint8, "the residuals are no bytes")
        _require(len(self.residuals) == size, "codes and residuals are not of one length")
        _require((self.doclens >= 0).all(), "a document has a negative length")
        _require(self.doclens.sum() == size, "the document lengths do not add up to the codes")
        _require(len(self.ivf_lengths) == len(self.centroids), "not one list for each centroid")
        _require((self.ivf_lengths >= 0).all(), "a list has a negative length")
        _require(self.ivf_lengths.sum() <= len(self.ivf), "the lists are longer than the ivf")
        _require(_within(self.codes, len(self.centroids)), "a code names no centroid")
        _require(_within(self.ivf, len(self.doclens)), "a list names no document")
        names = self.documents
        if names is not None:
            _require(len(names) == len(self.doclens), "not one id for each document")
            _require(len(set(names)) == len(names), "two documents have one id")
        _require(self._bits_fit, "the residuals do not fit centroids and buckets")

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

    def lists(self) -> Iterator[Integers]:
        """The documents of each centroid, each once, in order."""
        ends = np.cumsum(self.ivf_lengths)
        for end, length in zip(ends, self.ivf_lengths, strict=True):
            yield np.unique(self.ivf[end - length : end])


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
    _require(
        baseline.residuals.shape[1] == candidate.residuals.shape[1]
        and baseline.centroids.shape[1] == candidate.centroids.shape[1],
        "the two have other dimensions or bits",
    )
    names = [_names(index, (baseline, candidate)) for index in (baseline, candidate)]
    at = {name: number for number, name in enumerate(names[1])}
    pairs = np.array(
        [(i, at[name]) for i, name in enumerate(names[0]) if name in at], dtype=np.int64
    ).reshape(-1, 2)
    renumbered = _renumbering(baseline.centroids, candidate.centroids)
    codes = candidate.codes if renumbered is None else renumbered[candidate.codes]
    rows, alike = _rows(baseline, candidate, pairs)
    return IndexDifference(
        centroids=_unequal_rows(baseline.centroids, candidate.centroids, renumbered),
        permuted=renumbered is not None,
        cutoffs=_unequal(baseline.cutoffs, candidate.cutoffs),
        weights=_unequal(baseline.weights, candidate.weights),
        avg_residual=_unequal(baseline.avg_residual, candidate.avg_residual),
        doclens=(int((~alike).sum()), len(pairs)),
        lists=_lists(baseline, candidate, pairs, renumbered),
        only_baseline=tuple(name for name in names[0] if name not in at),
        only_candidate=tuple(sorted(at.keys() - set(names[0]), key=names[1].index)),
        **_embeddings(baseline, candidate, codes, rows, pairs[alike]),
    )


def read_index(folder: Path, *, documents: Sequence[str] | None = None) -> Index:
    """Read an index in ``.npy`` files: fast-plaid's and PyLate's own, or one that was unpacked.

    ``documents`` are ids by position; PyLate keeps them in a database that holds pickles, which
    is not opened. Raises `ForkpointError` for files that are missing or do not fit together.
    """
    chunks = sorted(folder.glob("*.codes.npy"), key=lambda path: int(path.name.split(".")[0]))
    _require(bool(chunks), f"{folder} has no N.codes.npy")
    numbers = [path.name.split(".")[0] for path in chunks]
    lengths = [_doclens(folder / f"doclens.{number}.json") for number in numbers]
    return Index(
        centroids=_array(folder / "centroids.npy"),
        codes=np.concatenate([_array(path) for path in chunks]),
        residuals=np.concatenate([_array(folder / f"{n}.residuals.npy") for n in numbers]),
        cutoffs=_array(folder / "bucket_cutoffs.npy"),
        weights=_array(folder / "bucket_weights.npy"),
        avg_residual=_array(folder / "avg_residual.npy"),
        doclens=np.concatenate(lengths),
        ivf=_array(folder / "ivf.npy").astype(np.int64),
        ivf_lengths=_array(folder / "ivf_lengths.npy").astype(np.int64),
        documents=None if documents is None else tuple(documents),
    )


def _array(path: Path) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ForkpointError(f"{path} cannot be read: {error}.", hint=_HINT) from error
    return found


def _doclens(path: Path) -> Integers:
    try:
        _require(path.stat().st_size < _MAX_JSON, f"{path} is too large")
        return np.array(json.loads(path.read_text()), dtype=np.int64).reshape(-1)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ForkpointError(f"{path} is no list of lengths: {error}.", hint=_HINT) from error


def _names(index: Index, both: tuple[Index, Index]) -> tuple[str, ...]:
    if any(one.documents is None for one in both):
        return tuple(map(str, range(len(index.doclens))))
    assert index.documents is not None  # both have ids
    return index.documents


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
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}").reshape(array.shape)


def _rows(one: Index, two: Index, pairs: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """Embeddings of matched documents of one length, int[rows, 2], and which documents they are."""
    alike = one.doclens[pairs[:, 0]] == two.doclens[pairs[:, 1]]
    kept = pairs[alike]
    lengths = one.doclens[kept[:, 0]]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    starts = np.stack((one.starts[kept[:, 0]], two.starts[kept[:, 1]]), axis=1)
    return np.repeat(starts, lengths, axis=0) + within[:, None], alike


def _embeddings(
    one: Index, two: Index, codes: Array, rows: Integers, pairs: Integers
) -> dict[str, tuple[int, int]]:
    """Codes, residual buckets under equal codes, and documents with a change in either."""
    changed = one.codes[rows[:, 0]] != codes[rows[:, 1]]
    same = rows[~changed]
    moved = np.zeros(len(same), dtype=np.int64)
    for start in range(0, len(same), _BLOCK):
        part = same[start : start + _BLOCK]
        unequal = one.buckets(part[:, 0]) != two.buckets(part[:, 1])
        moved[start : start + _BLOCK] = unequal.sum(axis=1)
    touched = changed.copy()
    touched[~changed] = moved > 0
    document = np.repeat(np.arange(len(pairs)), one.doclens[pairs[:, 0]])
    return {
        "codes": (int(changed.sum()), len(rows)),
        "residuals": (int(moved.sum()), len(same) * one.centroids.shape[1]),
        "documents": (len(np.unique(document[touched])), len(pairs)),
    }


def _lists(one: Index, two: Index, pairs: Integers, renumbered: Integers | None) -> tuple[int, int]:
    """Inverted lists that hold other documents, by centroid."""
    number = np.full(len(two.doclens), -1, dtype=np.int64)
    number[pairs[:, 1]] = pairs[:, 0]
    theirs = [np.sort(number[documents]) for documents in two.lists()]
    if renumbered is not None:
        order = np.argsort(renumbered)
        theirs = [theirs[place] for place in order]
    ours = list(one.lists())
    unlike = sum(not np.array_equal(a, b) for a, b in zip(ours, theirs, strict=False))
    most = max(len(ours), len(theirs))
    return unlike + most - min(len(ours), len(theirs)), most


def _within(values: Array, limit: int) -> bool:
    return not len(values) or bool(values.min() >= 0 and values.max() < limit)


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise ForkpointError(f"This is no index that can be compared: {problem}.", hint=_HINT)
