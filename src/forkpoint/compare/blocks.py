"""Sums and extremes over a block of two arrays, in pieces that stay in the processor's cache.

Where few elements differ, only those are measured. Where many do, and all are finite, which is
known as soon as the largest difference is, there is no need to look for anything else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from forkpoint.compare import elements
from forkpoint.compare.elements import Array, Bools, Floats, Pair, bits
from forkpoint.compare.tail import Tail

PIECE = 1 << 15
"""Elements that are measured at a time: their float64 copies fit into the cache. Bytes are not
copied to float64, so four times as many do."""

_FEW = 4  # where fewer than one in so many differ, the others are left out

_SLACK = 2.0**-20  # what float32 may be off by, relatively, with room to spare
_LEAST = 1e-20  # limits from here on have no products that float32 lacks
_BEYOND_HALF = 2.0**16

Narrow = NDArray[np.float32]
Limits = tuple[float, float]
Place = tuple[int, str, str]
"""A flat index and both elements as text."""


@dataclass(slots=True)
class Total:
    """Sums and extremes over what was seen so far.

    ``tail`` holds the largest ULP distances of finite pairs with unequal bits; all other finite
    pairs are equal. ``even`` is a bet on the next piece: that nearly all of its ratios lie below
    the relative limit and the largest ratio so far.
    """

    ulps: bool
    count: int = 0
    equal: int = 0
    finite: int = 0
    sum_abs: float = 0.0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int = 0
    close: int = 0
    mismatches: int = 0
    first_mismatch: Place | None = None
    first_largest: Place | None = None
    first_unequal: Place | None = None
    tail: Tail = field(default_factory=Tail)
    even: bool = False

    def add(self, start: int, b: Array, c: Array, limits: Limits | None) -> None:
        """Measure two flat blocks of real numbers of one dtype that begin at flat index ``start``.

        They lie behind all that was added before.
        """
        size = PIECE if b.itemsize > 1 else 4 * PIECE
        for first in range(0, b.size, size):
            part = slice(first, first + size)
            _add(self, start + first, (b[part], c[part]), limits)


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


def _add(
    total: Total,
    start: int,
    sides: tuple[Array, Array],
    limits: Limits | None,
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
    if b.dtype == np.float16 and _quick_halves(total, piece, limits):
        return
    quick = _quick_floats if total.ulps else _quick_integers
    if not quick(total, piece, limits):
        _thorough(total, piece, limits)


def _quick_floats(total: Total, piece: _Piece, limits: Limits | None) -> bool:
    """Add a piece in which every number is finite; False, and nothing added, for others."""
    b, c = _numeric(piece.b), _numeric(piece.c)
    with np.errstate(all="ignore"):
        # numpy converts as it goes, a few thousand at a time
        difference: Floats = np.subtract(b, c, dtype=np.float64)
        np.abs(difference, out=difference)
        largest = float(difference.max())
        if not math.isfinite(largest):
            return False  # a NaN or an infinity, or a difference that overflows
        magnitude: Floats = np.abs(b, dtype=np.float64)
        _differences(total, piece, (difference, magnitude, largest), limits)
    _count_ulps(total, piece.b, piece.c)
    return True


def _numeric(x: Array) -> Array:
    """bfloat16 as float32, of which it is the upper half: a conversion takes far longer."""
    if x.dtype != ml_dtypes.bfloat16:
        return x
    words = x.view(np.uint16).astype(np.uint32)
    words <<= np.uint32(16)
    return words.view(np.float32)


def _quick_halves(total: Total, piece: _Piece, limits: Limits | None) -> bool:
    """As `_quick_floats`, in float32; False where that is not exact.

    Numbers of float16 are multiples of 2**-24, and float32 has 24 bits: every difference below 1
    is exact in it.
    """
    if limits and not all(x == 0 or _LEAST < x < 1 / _LEAST for x in limits):
        return False
    magnitude, other = _widened(piece.b), _widened(piece.c)
    difference = np.subtract(magnitude, other, out=other)
    np.abs(difference, out=difference)
    largest = float(difference.max())
    np.abs(magnitude, out=magnitude)
    if largest >= 1 or magnitude.max() >= _BEYOND_HALF:
        return False  # in a pair with a NaN or an infinity, one of the two is so
    _differences(total, piece, (difference, magnitude, largest), limits)
    _count_ulps(total, piece.b, piece.c)
    return True


def _widened(x: Array) -> Narrow:
    """float16 as float32; a NaN or an infinity as some number beyond all of float16's.

    The exponent and the fraction are moved to their places, and the exponent's other bias is
    made good by a product, for subnormal numbers, too: several times as fast as a conversion.
    """
    words = x.view(np.int16).astype(np.int32)
    words <<= 13
    words &= np.int32(-0x70002000)  # the sign, and what was moved
    found = words.view(np.float32)
    found *= np.float32(2.0**112)
    return found


def _quick_integers(total: Total, piece: _Piece, limits: Limits | None) -> bool:
    """Add a piece of integers, all of which are finite; False for bools."""
    if piece.b.dtype == np.bool_:
        return False
    exact = elements.distance(piece.b, piece.c)
    if piece.b.itemsize == 1 and limits is None:
        _small_integers(total, piece, exact)
        return True
    magnitude = piece.b.astype(np.float64)
    np.abs(magnitude, out=magnitude)
    difference = exact.astype(np.float64)
    _differences(total, piece, (difference, magnitude, float(difference.max())), limits)
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
    if largest > total.max_rel:  # no size is below 1
        sizes = np.abs(piece.b.astype(np.float32))
        sizes *= np.float32(total.max_rel * (1 - 1e-5))  # float32 will do to leave the most out
        larger = np.flatnonzero(exact.astype(np.float32) >= sizes)
        magnitude = np.abs(piece.b[larger].astype(np.float64))
        ratio = _max_rel(exact[larger].astype(np.float64), magnitude)
        total.max_rel = max(total.max_rel, ratio)


def _differences(
    total: Total,
    piece: _Piece,
    found: tuple[Narrow | Floats, Narrow | Floats, float],
    limits: Limits | None,
) -> None:
    """Everything but ULP of finite pairs: how far apart, how large, and the largest distance.

    Both may be float32 where that is exact (`_quick_halves`).
    """
    difference, magnitude, largest = found
    total.finite += difference.size
    total.sum_abs += float(difference.sum(dtype=np.float64))
    if largest > total.max_abs:
        total.max_abs = largest
        total.first_largest = piece.place(int(np.argmax(difference)))
    if limits is None:
        total.close += int(np.count_nonzero(~piece.unequal))
    elif largest <= limits[0]:
        total.close += difference.size
    elif total.even:
        _even(total, difference, magnitude, limits)
        return
    else:
        total.close += _close(difference, magnitude, limits)
        total.even = total.max_rel <= limits[1]
    _largest_ratio(total, difference, magnitude)


def _even(
    total: Total, difference: Narrow | Floats, magnitude: Narrow | Floats, limits: Limits
) -> None:
    """Add ratios and close pairs where nearly all ratios are below the limit, and the largest."""
    # all others are close, and no ratio of theirs is new
    at = _beyond(difference, magnitude, min(limits[1], total.max_rel))
    total.close += difference.size - at.size
    total.even = at.size * _FEW < difference.size
    if at.size:
        some, sizes = difference[at].astype(np.float64), magnitude[at].astype(np.float64)
        total.close += int(np.count_nonzero(some <= limits[0] + limits[1] * sizes))
        total.max_rel = max(total.max_rel, _max_rel(some, sizes))
        total.even = total.even and total.max_rel <= limits[1]


def _largest_ratio(total: Total, difference: Narrow | Floats, magnitude: Narrow | Floats) -> None:
    """Take in the largest ratio of a piece; divided is only what may be larger than before."""
    at = _beyond(difference, magnitude, total.max_rel)
    if at.size:
        found = _max_rel(difference[at].astype(np.float64), magnitude[at].astype(np.float64))
        total.max_rel = max(total.max_rel, found)


def _beyond(
    difference: Narrow | Floats, magnitude: Narrow | Floats, ratio: float
) -> NDArray[np.intp]:
    """Where the ratio may be this or more; it is certainly less everywhere else.

    As a product: dividing takes longer. A larger ratio never has the smaller product, rounded.
    """
    if difference.dtype == np.float32:
        ratio *= 1 - _SLACK
    room = np.multiply(magnitude, difference.dtype.type(ratio))
    return np.flatnonzero(difference >= room)


def _close(difference: Narrow | Floats, magnitude: Narrow | Floats, limits: Limits) -> int:
    """How many pairs are close; in float64 where float32 leaves a doubt."""
    kind = difference.dtype.type
    room = np.multiply(magnitude, kind(limits[1]))
    room += kind(limits[0])
    if kind is np.float64:
        return int(np.count_nonzero(difference <= room))
    room *= kind(1 - _SLACK)
    surely = difference <= room
    room *= kind(1 + 3 * _SLACK)
    at = np.flatnonzero(surely != (difference <= room))
    some, sizes = difference[at].astype(np.float64), magnitude[at].astype(np.float64)
    doubtful = np.count_nonzero(some <= limits[0] + limits[1] * sizes)
    return int(np.count_nonzero(surely)) + int(doubtful)


def _max_rel(difference: Floats, magnitude: Floats) -> float:
    defined = magnitude != 0
    ratios = difference[defined] / magnitude[defined]
    return min(float(ratios.max(initial=0.0)), elements.LARGEST)


def _count_ulps(total: Total, b: Array, c: Array) -> None:
    found = elements.ulps(b, c)
    largest = int(found.max())
    total.max_ulp = max(total.max_ulp, largest)
    total.tail.add(found, largest, total.finite)


def _thorough(total: Total, piece: _Piece, limits: Limits | None) -> None:
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
        _count_ulps(total, found.b[found.finite], found.c[found.finite])


def _mismatches(total: Total, piece: _Piece, at: NDArray[np.intp], found: Pair) -> None:
    mismatch = ~found.finite & ~found.same_nonfinite
    total.mismatches += int(np.count_nonzero(mismatch))
    if total.first_mismatch is None and mismatch.any():
        total.first_mismatch = piece.place(int(at[int(np.argmax(mismatch))]))


def _text(x: np.generic) -> str:
    if x.dtype == np.bool_:
        return str(bool(x))
    return repr(float(x)) if elements.is_float(x.dtype) else str(int(x))
