"""Pairs of elements: their bits, their distance, whether they are close.

This follows the definitions in `metrics` to the letter, and takes its time; `blocks` has
shorter ways for blocks in which every number is finite.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float64).max)
"""What a difference that overflows float64 counts as: JSON has no infinity."""

_LARGEST_ULP = 2**63 - 1
_INFINITY = {"float16": np.uint16(0x7C00), "bfloat16": np.uint16(0x7F80)}

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Unsigned = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Elements with unequal bits, and what the measures share."""

    b: Array
    c: Array
    finite: Bools
    same_nonfinite: Bools
    difference: Floats
    magnitude: Floats


def pair(b: Array, c: Array) -> Pair:
    """Differences as the definitions have them; both arrays are flat and of one dtype."""
    if not is_float(b.dtype):
        everywhere = np.ones(b.shape, dtype=np.bool_)
        return Pair(
            b=b,
            c=c,
            finite=everywhere,
            same_nonfinite=~everywhere,
            difference=_integer_difference(b, c),
            magnitude=np.abs(b.astype(np.float64)),
        )
    with np.errstate(all="ignore"):
        b64, c64 = b.astype(np.float64), c.astype(np.float64)
        both = np.isfinite(b64) & np.isfinite(c64)
        difference = np.where(both, np.minimum(np.abs(b64 - c64), LARGEST), 0.0)
        same = (np.isnan(b64) & np.isnan(c64)) | (np.isinf(b64) & (b64 == c64))
    return Pair(
        b=b, c=c, finite=both, same_nonfinite=same, difference=difference, magnitude=np.abs(b64)
    )


def _integer_difference(b: Array, c: Array) -> Floats:
    if b.dtype == np.bool_:
        differ: Bools = b != c
        return differ.astype(np.float64)
    return distance(b, c).astype(np.float64)


def distance(b: Array, c: Array) -> Unsigned:
    """The exact distance of integers, unsigned: its arithmetic wraps to the right answer."""
    high, low = np.maximum(b, c), np.minimum(b, c)
    return bits(high) - bits(low)


def max_rel(found: Pair) -> float:
    """The largest relative difference of finite pairs whose baseline is not 0."""
    defined = found.finite & (found.magnitude != 0)
    with np.errstate(over="ignore"):
        ratios = found.difference[defined] / found.magnitude[defined]
    return min(float(ratios.max(initial=0.0)), LARGEST)


def close(found: Pair, limits: tuple[float, float] | None) -> Bools:
    """Which pairs are close, although their bits are not equal."""
    if limits is None:
        return np.zeros(found.b.shape, dtype=np.bool_)
    atol, rtol = limits
    with np.errstate(all="ignore"):
        within = found.difference <= atol + rtol * found.magnitude
    return (found.finite & within) | found.same_nonfinite


def ulps(b: Array, c: Array) -> Unsigned:
    """ULP distances, at most 2**63 - 1, as unsigned integers of the elements' width.

    Of pairs that are not finite, some number or other.
    """
    found = distance(bits(b), bits(c))
    if b.dtype != ml_dtypes.float8_e8m0fnu and b.size:
        _between_signs(found, bits(b), bits(c))
    return np.minimum(found, np.uint64(_LARGEST_ULP)) if found.itemsize == 8 else found


def _between_signs(found: Unsigned, b: Unsigned, c: Unsigned) -> None:
    """Put in the distances of pairs with two signs: through zero, the sum of both magnitudes."""
    sign = b.dtype.type(1 << (8 * b.itemsize - 1))
    differ = b ^ c
    if differ.max() < sign:
        return
    at = np.flatnonzero(differ >= sign)
    found[at] = (b[at] & ~sign) + (c[at] & ~sign)


def finite(x: Array) -> Bools:
    """Which elements are numbers, and not infinite."""
    if x.dtype.name in _INFINITY:
        infinity = _INFINITY[x.dtype.name]
        found: Bools = (bits(x) & infinity) != infinity
        return found
    if x.dtype.kind == "f":
        return np.isfinite(x)
    with np.errstate(invalid="ignore"):  # converting a NaN of eight bits
        return np.isfinite(x.astype(np.float64))


def bits(x: Array) -> Unsigned:
    """The elements' bits as unsigned integers."""
    return x.view(f"u{x.dtype.itemsize}")


@cache
def is_float(dtype: np.dtype[np.generic]) -> bool:
    """Whether it is a floating point type, also one of `ml_dtypes`."""
    if dtype.kind in "biucOSUMm":
        return False
    try:
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True
