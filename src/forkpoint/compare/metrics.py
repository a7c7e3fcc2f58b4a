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

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from forkpoint.model import Metrics, Worst

LARGEST = float(np.finfo(np.float64).max)
"""What a difference that overflows float64 counts as: JSON has no infinity."""

_CHUNK = 1 << 17
_LARGEST_ULP = 2**63 - 1
_DIGIT = 16
_NEAR = 1 << _DIGIT

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


Source = Callable[[], Iterable[tuple[Array, Array]]]
"""Starts at the first chunk of both arrays each time it is called: C order, equal lengths."""


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
    b, c = np.ascontiguousarray(baseline), np.ascontiguousarray(candidate)
    return compare_stream(
        lambda: [(b.reshape(-1), c.reshape(-1))],
        dtype=baseline.dtype,
        shape=baseline.shape,
        limits=limits,
    )


def compare_stream(
    source: Source,
    *,
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
    limits: tuple[float, float] | None = None,
) -> Metrics:
    """`compare_arrays` for arrays that come in chunks and need not fit into memory.

    ``source`` may be called more than once: the 99th percentile of distant arrays takes
    another look. ``dtype`` and ``shape`` are those of each whole array. Raises `ValueError`
    where the chunks do not add up to ``shape``, `TypeError` for a dtype that is not a number.
    """
    _require_number(dtype)
    total = _Total(ulps=_is_float(_part(dtype)))
    start = 0
    for b, c in _pieces(source):
        total.add(start, b, c, limits)
        start += b.size
    whole = (*shape, 2) if dtype.kind == "c" else shape
    if start != math.prod(whole):
        raise ValueError(f"chunks of {start} elements do not make an array of shape {shape}")
    return Metrics(
        count=start,
        bit_equal=total.equal == start,
        equal_fraction=total.equal / start if start else 1.0,
        max_abs=total.max_abs,
        mean_abs=min(total.sum_abs / total.finite, LARGEST) if total.finite else 0.0,
        max_rel=total.max_rel,
        max_ulp=total.max_ulp if total.ulps else None,
        p99_ulp=_p99(source, total) if total.ulps else None,
        close_count=total.close,
        nonfinite_mismatches=total.mismatches,
        worst=_worst(total, whole),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """Elements with unequal bits, and what the measures share."""

    b: Array
    c: Array
    finite: Bools
    same_nonfinite: Bools
    difference: Floats
    magnitude: Floats


_Place = tuple[int, str, str]
"""A flat index and both elements as text."""


@dataclass(slots=True)
class _Total:
    """Sums and extremes over the chunks seen so far.

    ``near`` counts the finite pairs by ULP distance, below 2**16 and apart from equal bits.
    """

    ulps: bool
    equal: int = 0
    finite: int = 0
    finite_unequal: int = 0
    sum_abs: float = 0.0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int = 0
    close: int = 0
    mismatches: int = 0
    first_mismatch: _Place | None = None
    first_largest: _Place | None = None
    first_unequal: _Place | None = None
    near: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_NEAR, dtype=np.int64))

    def add(self, start: int, b: Array, c: Array, limits: tuple[float, float] | None) -> None:
        """Take in one chunk that begins at flat index ``start``.

        Only unequal bits cost more than a look: equal ones add to the counts alone.
        """
        at = np.flatnonzero(_bits(b) != _bits(c))
        equal = b.size - at.size
        self.equal += equal
        self.close += equal
        self.finite += int(np.count_nonzero(_finite(b))) if self.ulps else b.size
        if at.size:
            part = b[at]
            self.finite -= int(np.count_nonzero(_finite(part))) if self.ulps else at.size
            self._add_unequal(start + at, _pair(part, c[at]), limits)

    def _add_unequal(
        self, at: NDArray[np.intp], pair: _Pair, limits: tuple[float, float] | None
    ) -> None:
        finite = int(np.count_nonzero(pair.finite))
        self.finite += finite
        self.finite_unequal += finite
        self.close += int(np.count_nonzero(_close(pair, limits)))
        self._add_differences(at, pair)
        mismatch = ~pair.finite & ~pair.same_nonfinite
        self.mismatches += int(np.count_nonzero(mismatch))
        if self.first_mismatch is None and mismatch.any():
            self.first_mismatch = _place(at, pair, int(np.argmax(mismatch)))
        if self.first_unequal is None:
            self.first_unequal = _place(at, pair, 0)

    def _add_differences(self, at: NDArray[np.intp], pair: _Pair) -> None:
        self.sum_abs += float(pair.difference.sum())
        largest = int(np.argmax(pair.difference))
        if pair.difference[largest] > self.max_abs:
            self.max_abs = float(pair.difference[largest])
            self.first_largest = _place(at, pair, largest)
        self.max_rel = max(self.max_rel, _max_rel(pair))
        if self.ulps:
            distances = _ulps(pair.b, pair.c, pair.finite)
            self.max_ulp = max(self.max_ulp, int(distances.max()))
            near = distances[pair.finite & (distances < np.uint64(_NEAR))].astype(np.int64)
            self.near += np.bincount(near, minlength=_NEAR)


def _pieces(source: Source) -> Iterator[tuple[Array, Array]]:
    """Flat real pieces of at most `_CHUNK` elements."""
    for baseline, candidate in source():
        b, c = _components(baseline), _components(candidate)
        for start in range(0, b.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            yield b[part], c[part]


def _place(at: NDArray[np.intp], pair: _Pair, index: int) -> _Place:
    return int(at[index]), _text(pair.b[index]), _text(pair.c[index])


def _pair(b: Array, c: Array) -> _Pair:
    if not _is_float(b.dtype):
        everywhere = np.ones(b.shape, dtype=np.bool_)
        return _Pair(
            b=b,
            c=c,
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
        return np.zeros(pair.b.shape, dtype=np.bool_)
    atol, rtol = limits
    with np.errstate(all="ignore"):
        within = pair.difference <= atol + rtol * pair.magnitude
    return (pair.finite & within) | pair.same_nonfinite


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


def _p99(source: Source, total: _Total) -> int:
    """The distance of rank ceil(0.99 n): from the near counts, or by counting 16-bit digits."""
    rank = -(-99 * total.finite // 100)
    if not rank or not total.max_ulp:
        return 0
    near = total.near.copy()
    near[0] += total.finite - total.finite_unequal
    if int(near.sum()) >= rank:
        return int(np.searchsorted(np.cumsum(near), rank))
    prefix = 0
    digits = -(-total.max_ulp.bit_length() // _DIGIT)
    for shift in range((digits - 1) * _DIGIT, -1, -_DIGIT):
        counts = _digit_counts(source, shift, prefix)
        digit = int(np.searchsorted(np.cumsum(counts), rank))
        rank -= int(counts[:digit].sum())
        prefix = (prefix << _DIGIT) | digit
    return prefix


def _digit_counts(source: Source, shift: int, prefix: int) -> NDArray[np.int64]:
    """How often each value of one 16-bit digit occurs among distances with this prefix."""
    counts = np.zeros(_NEAR, dtype=np.int64)
    for b, c in _pieces(source):
        finite = _finite(b) & _finite(c)
        shifted = _ulps(b, c, finite)[finite] >> np.uint64(shift)
        here = shifted[(shifted >> np.uint64(_DIGIT)) == np.uint64(prefix)]
        digits = (here & np.uint64(_NEAR - 1)).astype(np.int64)
        counts += np.bincount(digits, minlength=_NEAR)
    return counts


def _finite(x: Array) -> Bools:
    with np.errstate(invalid="ignore"):  # converting a NaN of eight bits
        return np.isfinite(x.astype(np.float64))


def _worst(total: _Total, shape: tuple[int, ...]) -> Worst | None:
    candidates = (total.first_mismatch, total.first_largest, total.first_unequal)
    found = next((place for place in candidates if place is not None), None)
    if found is None:
        return None
    at, baseline, candidate = found
    index = tuple(int(i) for i in np.unravel_index(at, shape)) if shape else ()
    return Worst(index=index, baseline=baseline, candidate=candidate)


def _text(x: np.generic) -> str:
    if x.dtype == np.bool_:
        return str(bool(x))
    return repr(float(x)) if _is_float(x.dtype) else str(int(x))


def _components(x: Array) -> Array:
    """The elements as a flat array of real numbers."""
    x = np.ascontiguousarray(x).reshape(-1)
    return x.view(_part(x.dtype)) if x.dtype.kind == "c" else x


def _part(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The dtype of the real numbers that an element consists of."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def _require_number(dtype: np.dtype[np.generic]) -> None:
    if dtype.kind not in "biuc" and not _is_float(dtype):
        raise TypeError(f"{dtype} is not a number type that can be compared")


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
