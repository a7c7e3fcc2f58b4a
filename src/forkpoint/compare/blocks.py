"""Sums and extremes over a block of two arrays, in pieces that stay in the processor's cache.

Where few elements differ, only those are measured. Where many do, and all are finite, which is
known as soon as the largest difference is, there is no need to look for anything else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from forkpoint.compare import elements
from forkpoint.compare.elements import Array, Bools, Floats, Pair, Unsigned, bits

PIECE = 1 << 14
"""Elements that are measured at a time: their float64 copies fit into the cache. Bytes are not
copied to float64, so eight times as many do."""

NEAR = 1 << 16
_CLOSE = 1 << 12  # distances below are counted piece by piece, all others `_MANY` at a time
_MANY = 1 << 17
_TINY = 8  # and those below, one by one
_FEW = 4  # where fewer than one in so many differ, the others are left out

Counts = NDArray[np.int64]
Limits = tuple[float, float]
Place = tuple[int, str, str]
"""A flat index and both elements as text."""


@dataclass(slots=True)
class Total:
    """Sums and extremes over what was seen so far.

    ``near`` counts pairs by ULP distance below 2**16, of the ``counted`` finite pairs that
    were looked at; all other finite pairs are equal. ``far`` counts the distances from 2**16
    to 2**32 - 1 by their upper 16 bits.
    """

    ulps: bool
    count: int = 0
    equal: int = 0
    finite: int = 0
    counted: int = 0
    sum_abs: float = 0.0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int = 0
    close: int = 0
    mismatches: int = 0
    first_mismatch: Place | None = None
    first_largest: Place | None = None
    first_unequal: Place | None = None
    near: Counts = field(default_factory=lambda: np.zeros(NEAR, dtype=np.int64))
    far: Counts = field(default_factory=lambda: np.zeros(NEAR, dtype=np.int64))

    def merge(self, later: Total) -> None:
        """Add what was seen behind this."""
        self.count += later.count
        self.equal += later.equal
        self.finite += later.finite
        self.counted += later.counted
        self.sum_abs += later.sum_abs
        if later.max_abs > self.max_abs:
            self.max_abs, self.first_largest = later.max_abs, later.first_largest
        self.max_rel = max(self.max_rel, later.max_rel)
        self.max_ulp = max(self.max_ulp, later.max_ulp)
        self.close += later.close
        self.mismatches += later.mismatches
        self.first_mismatch = self.first_mismatch or later.first_mismatch
        self.first_unequal = self.first_unequal or later.first_unequal
        if later.counted:
            self.near += later.near
            self.far += later.far


@dataclass(frozen=True, slots=True)
class _Piece:
    """Elements of both sides, the flat index of each, and which differ in their bits."""

    b: Array
    c: Array
    start: int
    at: NDArray[np.intp] | None
    unequal: Bools

    def place(self, index: int) -> Place:
        """Where one element lies, and both values."""
        at = index if self.at is None else int(self.at[index])
        return self.start + at, _text(self.b[index]), _text(self.c[index])


def measure(start: int, b: Array, c: Array, limits: Limits | None) -> Total:
    """Measure two flat blocks of real numbers of one dtype that begin at flat index ``start``."""
    total = Total(ulps=elements.is_float(b.dtype))
    distances: list[Unsigned] = []
    size = PIECE if b.itemsize > 1 else 8 * PIECE
    for first in range(0, b.size, size):
        part = slice(first, first + size)
        _add(total, start + first, (b[part], c[part]), limits, distances)
        if sum(found.size for found in distances) >= _MANY or (distances and part.stop >= b.size):
            _count_distant(total, np.concatenate(distances))
            distances.clear()
    return total


def _count_distant(total: Total, distances: Unsigned) -> None:
    """Count distances by their lower or, where those are not all, their upper 16 bits."""
    if distances.itemsize <= 2:
        total.near += _histogram(distances, NEAR)
        return
    kind = distances.dtype.type
    upper = np.minimum(distances >> kind(16), kind(NEAR))  # NEAR: too far to be counted at all
    keys = np.where(upper == 0, distances, upper + kind(NEAR))
    counts = _histogram(keys, 2 * NEAR + 1)
    total.near += counts[:NEAR]
    total.far += counts[NEAR : 2 * NEAR]


def _histogram(numbers: Unsigned, size: int) -> Counts:
    return np.bincount(numbers.astype(np.intp), minlength=size)


def _add(
    total: Total,
    start: int,
    sides: tuple[Array, Array],
    limits: Limits | None,
    distances: list[Unsigned],
) -> None:
    b, c = sides
    unequal = bits(b) != bits(c)
    changed = int(np.count_nonzero(unequal))
    total.count += b.size
    total.equal += b.size - changed
    if changed * _FEW < b.size:
        total.close += b.size - changed
        total.finite += int(np.count_nonzero(elements.finite(b))) if total.ulps else b.size
        if not changed:
            return
        at = np.flatnonzero(unequal)
        piece = _Piece(b[at], c[at], start, at, unequal[at])
        total.finite -= int(np.count_nonzero(elements.finite(piece.b))) if total.ulps else changed
    else:
        piece = _Piece(b, c, start, None, unequal)
    if total.first_unequal is None:
        total.first_unequal = piece.place(int(np.argmax(piece.unequal)))
    quick = _quick_floats if total.ulps else _quick_integers
    if not quick(total, piece, limits, distances):
        _thorough(total, piece, limits, distances)


def _quick_floats(
    total: Total, piece: _Piece, limits: Limits | None, distances: list[Unsigned]
) -> bool:
    """Add a piece in which every number is finite; False, and nothing added, for others."""
    b, c = piece.b, piece.c
    with np.errstate(all="ignore"):
        magnitude: Floats = b.astype(np.float64)
        difference = magnitude - c.astype(np.float64)
        np.abs(difference, out=difference)
        if not math.isfinite(difference.max()):
            return False  # a NaN or an infinity, or a difference that overflows
        np.abs(magnitude, out=magnitude)
        _differences(total, piece, difference, magnitude, limits)
    _count_ulps(total, b, c, distances)
    return True


def _quick_integers(
    total: Total, piece: _Piece, limits: Limits | None, _distances: list[Unsigned]
) -> bool:
    """Add a piece of integers, all of which are finite; False for bools."""
    if piece.b.dtype == np.bool_:
        return False
    exact = elements.distance(piece.b, piece.c)
    if piece.b.itemsize == 1 and limits is None:
        _small_integers(total, piece, exact)
        return True
    magnitude = piece.b.astype(np.float64)
    np.abs(magnitude, out=magnitude)
    _differences(total, piece, exact.astype(np.float64), magnitude, limits)
    return True


def _small_integers(total: Total, piece: _Piece, exact: Array) -> None:
    """Bytes are many: they are not converted where they cannot change the largest ratio."""
    largest = int(exact.max())
    if largest > total.max_abs:
        total.max_abs = float(largest)
        total.first_largest = piece.place(int(np.argmax(exact)))
    total.finite += exact.size
    total.sum_abs += float(exact.sum(dtype=np.uint32))
    total.close += int(np.count_nonzero(~piece.unequal))
    sizes = np.abs(piece.b.astype(np.int16))
    sizes[sizes == 0] = np.iinfo(np.int16).max
    if largest / int(sizes.min()) > total.max_rel:
        defined = piece.b != 0
        ratios = exact[defined].astype(np.float64) / sizes[defined]
        total.max_rel = max(total.max_rel, float(ratios.max(initial=0.0)))


def _differences(
    total: Total, piece: _Piece, difference: Floats, magnitude: Floats, limits: Limits | None
) -> None:
    """Everything but ULP of finite pairs; ``magnitude`` is used up."""
    total.finite += difference.size
    total.sum_abs += float(difference.sum())
    largest = float(difference.max())
    if largest > total.max_abs:
        total.max_abs = largest
        total.first_largest = piece.place(int(np.argmax(difference)))
    if limits is None:
        total.close += int(np.count_nonzero(~piece.unequal))
    elif largest <= limits[0]:
        total.close += difference.size
    else:
        allowed = magnitude * limits[1]
        allowed += limits[0]
        total.close += int(np.count_nonzero(difference <= allowed))
    if not magnitude.min():
        magnitude[magnitude == 0] = np.inf  # no relative difference there
    with np.errstate(over="ignore"):
        ratio = float(np.divide(difference, magnitude, out=magnitude).max())
    total.max_rel = max(total.max_rel, min(ratio, elements.LARGEST))


def _count_ulps(total: Total, b: Array, c: Array, distances: list[Unsigned]) -> None:
    found = elements.ulps(b, c)
    largest = int(found.max())
    total.max_ulp = max(total.max_ulp, largest)
    total.counted += found.size
    if largest < _TINY:  # most releases differ by few ULP
        for tiny in range(largest + 1):
            total.near[tiny] += np.count_nonzero(found == tiny)
        return
    if largest >= _CLOSE:
        limit = found.dtype.type(_CLOSE)
        distant = found >= limit
        if 2 * np.count_nonzero(distant) > found.size:
            distances.append(found)
            return
        distances.append(found[distant])
        found = np.minimum(found, limit)
    counts = _histogram(found, 0)[:_CLOSE]
    total.near[: counts.size] += counts


def _thorough(
    total: Total, piece: _Piece, limits: Limits | None, distances: list[Unsigned]
) -> None:
    """Add the unequal elements of a piece in which something is not finite, or a bool."""
    total.close += int(np.count_nonzero(~piece.unequal))
    total.finite += int(np.count_nonzero(elements.finite(piece.b[~piece.unequal])))
    at = np.flatnonzero(piece.unequal)
    found = elements.pair(piece.b[at], piece.c[at])
    total.finite += int(np.count_nonzero(found.finite))
    total.close += int(np.count_nonzero(elements.close(found, limits)))
    total.sum_abs += float(found.difference.sum())
    largest = int(np.argmax(found.difference))
    if found.difference[largest] > total.max_abs:
        total.max_abs = float(found.difference[largest])
        total.first_largest = piece.place(int(at[largest]))
    total.max_rel = max(total.max_rel, elements.max_rel(found))
    _mismatches(total, piece, at, found)
    if total.ulps and found.finite.any():
        _count_ulps(total, found.b[found.finite], found.c[found.finite], distances)


def _mismatches(total: Total, piece: _Piece, at: NDArray[np.intp], found: Pair) -> None:
    mismatch = ~found.finite & ~found.same_nonfinite
    total.mismatches += int(np.count_nonzero(mismatch))
    if total.first_mismatch is None and mismatch.any():
        total.first_mismatch = piece.place(int(at[int(np.argmax(mismatch))]))


def _text(x: np.generic) -> str:
    if x.dtype == np.bool_:
        return str(bool(x))
    return repr(float(x)) if elements.is_float(x.dtype) else str(int(x))
