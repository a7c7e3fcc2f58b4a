"""How far two arrays lie apart, in numpy: the definition that the worker follows in torch.

Both arrays have one dtype and one shape; ``b`` is an element of the baseline, ``c`` the
candidate's at the same place. The rules, in full:

Elements
    ``count`` counts real numbers. A complex array of shape ``s`` is taken as a real array of
    shape ``(*s, 2)`` (real part, imaginary part), as ``torch.view_as_real`` does, so every
    number below is by component and a worst index has one coordinate more. A bool is 0 or 1.
Bits
    ``equal_fraction`` is the share of elements with the same bits, 1.0 for an empty array;
    ``bit_equal`` says that all are.
Finite pairs
    are those in which both elements are finite; integers and bools always are. ``d = |b - c|``
    is computed in float64 after converting both elements to float64; for integers it is the
    exact integer difference, rounded once to float64. A ``d`` (or ``d / |b|``, or the mean)
    that overflows float64 counts as the largest finite float64, `LARGEST`.
    ``max_abs`` is the largest ``d``; ``mean_abs`` is the sum of ``d`` over the finite pairs
    divided by their number; the order of summing is free, so its last digits are too.
    ``max_rel`` is the largest ``d / |b|`` over the finite pairs with ``b != 0``: a pair with
    ``b == 0`` has no relative difference and shows in ``max_abs`` only.
    All three are 0.0 where there is no such pair.
ULP
    for floating point only; null for integers and bools. The bits of a number, read as a
    sign and a magnitude, are an integer ``k`` (negative for a set sign bit, so -0 and +0 are
    both 0), and neighbouring numbers have neighbouring integers; the distance of a finite
    pair is ``|k(b) - k(c)|``, and a distance beyond 2**63 - 1 counts as 2**63 - 1. (Formula:
    Bruce Dawson, "Comparing Floating Point Numbers, 2012 Edition".) ``float8_e8m0fnu`` has
    no sign bit: there ``k`` is its byte.
    ``max_ulp`` is the largest distance. ``p99_ulp`` is the r-th smallest of the n distances,
    ``r = ceil(99 n / 100)`` counted from 1: the smallest ``u`` such that at least 99% of the
    finite pairs are at most ``u`` apart. Both are 0 where n is 0.
Non-finite pairs
    ``nonfinite_mismatches`` counts pairs with at least one non-finite element that are neither
    two NaNs nor the same infinity twice.
Close
    without limits (bitwise) a pair is close where its bits are equal. With limits
    ``(atol, rtol)`` it is close where its bits are equal, or both are NaN, or it is finite
    and ``d <= atol + rtol * |b|`` in float64.
Worst
    null where ``bit_equal``. Otherwise the first (in row-major order) non-finite mismatch; if
    there is none, the first pair with the largest ``d``; if every ``d`` is 0, the first pair
    whose bits differ. Its values are ``repr(float(x))``, ``str(int(x))`` or ``str(bool(x))``
    (``x.item()`` as text).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from forkpoint.model import Metrics, Worst

LARGEST = float(np.finfo(np.float64).max)
"""What a difference that overflows float64 counts as: JSON has no infinity."""

_CHUNK = 1 << 19
_LARGEST_ULP = 2**63 - 1
_DIGIT = 16

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def compare_arrays(
    baseline: Array, candidate: Array, *, limits: tuple[float, float] | None = None
) -> Metrics:
    """Measure ``candidate`` against ``baseline``; the module's text defines every number.

    Both are arrays of one shape and one dtype (bool, integer, floating point including
    `ml_dtypes`, complex). ``limits`` is ``(atol, rtol)``, or None where only equal bits are
    close. Memory beyond the arrays is bounded. Raises `ValueError` where dtypes or shapes
    are not the same, `TypeError` for a dtype that is not a number.
    """
    if baseline.dtype != candidate.dtype or baseline.shape != candidate.shape:
        raise ValueError(
            f"cannot compare {baseline.dtype}{list(baseline.shape)} "
            f"with {candidate.dtype}{list(candidate.shape)} element by element"
        )
    b, c = _components(baseline), _components(candidate)
    shape = b.shape
    b, c = b.reshape(-1), c.reshape(-1)
    total = _Total()
    for start, pair in _chunks(b, c):
        total.add(start, pair, limits)
    ulps = _is_float(b.dtype)
    return Metrics(
        count=b.size,
        bit_equal=total.equal == b.size,
        equal_fraction=total.equal / b.size if b.size else 1.0,
        max_abs=total.max_abs,
        mean_abs=min(total.sum_abs / total.finite, LARGEST) if total.finite else 0.0,
        max_rel=total.max_rel,
        max_ulp=total.max_ulp if ulps else None,
        p99_ulp=_p99(b, c, total) if ulps else None,
        close_count=total.close,
        nonfinite_mismatches=total.mismatches,
        worst=_worst(total, b, c, shape),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """A chunk of both arrays and what the measures share."""

    b: Array
    c: Array
    equal: Bools
    finite: Bools
    same_nonfinite: Bools
    difference: Floats
    magnitude: Floats


@dataclass(slots=True)
class _Total:
    """Sums and extremes over the chunks seen so far."""

    equal: int = 0
    finite: int = 0
    sum_abs: float = 0.0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int = 0
    close: int = 0
    mismatches: int = 0
    first_mismatch: int | None = None
    first_largest: int | None = None
    first_unequal: int | None = None

    def add(self, start: int, pair: _Pair, limits: tuple[float, float] | None) -> None:
        """Take in one chunk that begins at flat index ``start``."""
        self.equal += int(np.count_nonzero(pair.equal))
        self.finite += int(np.count_nonzero(pair.finite))
        self.close += int(np.count_nonzero(_close(pair, limits)))
        self._add_differences(start, pair)
        mismatch = ~pair.finite & ~pair.same_nonfinite
        self.mismatches += int(np.count_nonzero(mismatch))
        if self.first_mismatch is None:
            self.first_mismatch = _first(mismatch, start)
        if self.first_unequal is None:
            self.first_unequal = _first(~pair.equal, start)

    def _add_differences(self, start: int, pair: _Pair) -> None:
        if not pair.difference.size:
            return
        self.sum_abs += float(pair.difference.sum())
        largest = int(np.argmax(pair.difference))
        if pair.difference[largest] > self.max_abs:
            self.max_abs = float(pair.difference[largest])
            self.first_largest = start + largest
        self.max_rel = max(self.max_rel, _max_rel(pair))
        if _is_float(pair.b.dtype):
            self.max_ulp = max(self.max_ulp, int(_ulps(pair.b, pair.c, pair.finite).max()))


def _chunks(b: Array, c: Array) -> Iterator[tuple[int, _Pair]]:
    for start in range(0, b.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        yield start, _pair(b[part], c[part])


def _pair(b: Array, c: Array) -> _Pair:
    bits = _bits(b), _bits(c)
    if not _is_float(b.dtype):
        everywhere = np.ones(b.shape, dtype=np.bool_)
        return _Pair(
            b=b,
            c=c,
            equal=bits[0] == bits[1],
            finite=everywhere,
            same_nonfinite=~everywhere,
            difference=_integer_difference(b, c),
            magnitude=np.abs(b.astype(np.float64)),
        )
    with np.errstate(all="ignore"):
        b64, c64 = b.astype(np.float64), c.astype(np.float64)
        finite = np.isfinite(b64) & np.isfinite(c64)
        difference = np.where(finite, np.minimum(np.abs(b64 - c64), LARGEST), 0.0)
        same = (np.isnan(b64) & np.isnan(c64)) | (np.isinf(b64) & (b64 == c64))
    return _Pair(
        b=b,
        c=c,
        equal=bits[0] == bits[1],
        finite=finite,
        same_nonfinite=same,
        difference=difference,
        magnitude=np.abs(b64),
    )


def _integer_difference(b: Array, c: Array) -> Floats:
    """The exact distance of integers: unsigned arithmetic wraps to the right answer."""
    if b.dtype == np.bool_:
        differ: Bools = b != c
        return differ.astype(np.float64)
    high, low = np.maximum(b, c), np.minimum(b, c)
    distance: NDArray[np.uint64] = high.astype(np.uint64) - low.astype(np.uint64)
    return distance.astype(np.float64)


def _max_rel(pair: _Pair) -> float:
    defined = pair.finite & (pair.magnitude != 0)
    with np.errstate(over="ignore"):
        ratios = pair.difference[defined] / pair.magnitude[defined]
    return min(float(ratios.max(initial=0.0)), LARGEST)


def _close(pair: _Pair, limits: tuple[float, float] | None) -> Bools:
    if limits is None:
        return pair.equal
    atol, rtol = limits
    with np.errstate(all="ignore"):
        within = pair.difference <= atol + rtol * pair.magnitude
    return pair.equal | (pair.finite & within) | pair.same_nonfinite


def _ulps(b: Array, c: Array, finite: Bools) -> NDArray[np.uint64]:
    """ULP distances, 0 where a pair is not finite."""
    kb, kc = _ordered(b), _ordered(c)
    high, low = np.maximum(kb, kc), np.minimum(kb, kc)
    distance = high.astype(np.uint64) - low.astype(np.uint64)
    return np.where(finite, np.minimum(distance, np.uint64(_LARGEST_ULP)), np.uint64(0))


def _ordered(x: Array) -> NDArray[np.int64]:
    """Sign and magnitude of the bits as an integer that grows with the number."""
    if x.dtype == ml_dtypes.float8_e8m0fnu:
        return _bits(x).astype(np.int64)
    signed = x.view(np.dtype(f"i{x.dtype.itemsize}")).astype(np.int64)
    magnitude = signed & np.int64((1 << (8 * x.dtype.itemsize - 1)) - 1)
    return np.where(signed < 0, -magnitude, magnitude)


def _p99(b: Array, c: Array, total: _Total) -> int:
    """The distance of rank ceil(0.99 n), by counting 16-bit digits: exact in bounded memory."""
    rank = -(-99 * total.finite // 100)
    if not rank:
        return 0
    digits = max(1, -(-total.max_ulp.bit_length() // _DIGIT))
    prefix = 0
    for shift in range((digits - 1) * _DIGIT, -1, -_DIGIT):
        counts = _digit_counts(b, c, shift, prefix)
        digit = int(np.searchsorted(np.cumsum(counts), rank))
        rank -= int(counts[:digit].sum())
        prefix = (prefix << _DIGIT) | digit
    return prefix


def _digit_counts(b: Array, c: Array, shift: int, prefix: int) -> NDArray[np.int64]:
    """How often each value of one 16-bit digit occurs among distances with this prefix."""
    counts = np.zeros(1 << _DIGIT, dtype=np.int64)
    for start in range(0, b.size, _CHUNK):
        part = slice(start, start + _CHUNK)
        finite = _finite(b[part]) & _finite(c[part])
        shifted = _ulps(b[part], c[part], finite)[finite] >> np.uint64(shift)
        here = shifted[(shifted >> np.uint64(_DIGIT)) == np.uint64(prefix)]
        digits = (here & np.uint64((1 << _DIGIT) - 1)).astype(np.int64)
        counts += np.bincount(digits, minlength=1 << _DIGIT)
    return counts


def _finite(x: Array) -> Bools:
    with np.errstate(invalid="ignore"):  # converting a NaN of eight bits
        return np.isfinite(x.astype(np.float64))


def _worst(total: _Total, b: Array, c: Array, shape: tuple[int, ...]) -> Worst | None:
    candidates = (total.first_mismatch, total.first_largest, total.first_unequal)
    at = next((index for index in candidates if index is not None), None)
    if at is None:
        return None
    index = tuple(int(i) for i in np.unravel_index(at, shape)) if shape else ()
    return Worst(index=index, baseline=_text(b[at]), candidate=_text(c[at]))


def _text(x: np.generic) -> str:
    if x.dtype == np.bool_:
        return str(bool(x))
    return repr(float(x)) if _is_float(x.dtype) else str(int(x))


def _components(x: Array) -> Array:
    """A C-contiguous real view of the array."""
    x = np.ascontiguousarray(x).reshape(x.shape)  # ascontiguousarray makes 0-d arrays 1-d
    if x.dtype.kind == "c":
        part = np.dtype(f"f{x.dtype.itemsize // 2}")
        return x.reshape(-1).view(part).reshape(*x.shape, 2)
    if x.dtype.kind not in "biu" and not _is_float(x.dtype):
        raise TypeError(f"{x.dtype} is not a number type that can be compared")
    return x


def _bits(x: Array) -> NDArray[np.unsignedinteger]:
    return x.view(np.dtype(f"u{x.dtype.itemsize}"))


def _is_float(dtype: np.dtype[np.generic]) -> bool:
    if dtype.kind in "biucOSUMm":
        return False
    try:
        ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True


def _first(mask: Bools, start: int) -> int | None:
    return start + int(np.argmax(mask)) if mask.any() else None
