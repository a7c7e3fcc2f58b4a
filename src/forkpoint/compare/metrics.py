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
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from forkpoint.compare.blocks import PIECE, Place, Total
from forkpoint.compare.elements import LARGEST, Array, Unsigned, finite, is_float, ulps
from forkpoint.model import Metrics, Worst

BLOCK = 1 << 21
"""Elements that are measured at a time, in a thread, while the next ones are read.

More threads than one would wait for each other: numpy gives up the interpreter's lock for each
of its calls, and these are short, so that the data stays in the cache.
"""

_AHEAD = 2
_DIGIT = 16
_VALUES = 1 << _DIGIT

T = TypeVar("T")
Limits = tuple[float, float]
Source = Callable[[], Iterable[tuple[Array, Array]]]
"""Starts at the first chunk of both arrays each time it is called: C order, equal lengths."""


def compare_arrays(baseline: Array, candidate: Array, *, limits: Limits | None = None) -> Metrics:
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
    limits: Limits | None = None,
) -> Metrics:
    """`compare_arrays` for arrays that come in chunks and need not fit into memory.

    ``source`` may be called more than once: the 99th percentile of distant arrays takes
    another look. ``dtype`` and ``shape`` are those of each whole array. Raises `ValueError`
    where the chunks do not add up to ``shape``, `TypeError` for a dtype that is not a number.
    """
    _require_number(dtype)
    total = Total(ulps=is_float(_part(dtype)))
    for _ in _while_reading(source, lambda at, b, c: total.add(at, b, c, limits)):
        pass  # one block after the other, so that they add up in their order
    whole = (*shape, 2) if dtype.kind == "c" else shape
    if total.count != math.prod(whole):
        raise ValueError(f"chunks of {total.count} elements do not make an array of shape {shape}")
    return Metrics(
        count=total.count,
        bit_equal=total.equal == total.count,
        equal_fraction=total.equal / total.count if total.count else 1.0,
        max_abs=total.max_abs,
        mean_abs=min(total.sum_abs / total.finite, LARGEST) if total.finite else 0.0,
        max_rel=total.max_rel,
        max_ulp=total.max_ulp if total.ulps else None,
        p99_ulp=_p99(source, total) if total.ulps else None,
        close_count=total.close,
        nonfinite_mismatches=total.mismatches,
        worst=_worst(total, whole),
    )


def _while_reading(source: Source, work: Callable[[int, Array, Array], T]) -> Iterator[T]:
    """The work on each block, in their order; only a few blocks are held at a time."""
    blocks = _blocks(source)
    first = list(islice(blocks, _AHEAD))
    if len(first) < _AHEAD:  # small arrays are not worth a thread
        yield from (work(*block) for block in first)
        return
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[T]] = deque(thread.submit(work, *block) for block in first)
        for block in blocks:
            waiting.append(thread.submit(work, *block))
            yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _blocks(source: Source) -> Iterator[tuple[int, Array, Array]]:
    """Flat blocks of real numbers, with the index at which each begins."""
    at = 0
    for baseline, candidate in source():
        b, c = _components(baseline), _components(candidate)
        for start in range(0, b.size, BLOCK):
            part = slice(start, start + BLOCK)
            yield at + start, b[part], c[part]
        at += b.size


def _p99(source: Source, total: Total) -> int:
    """The distance of rank ceil(0.99 n): from the tail, or by counting 16-bit digits."""
    known = total.tail.p99(total.finite)
    if known is not None:
        return known
    rank = -(-99 * total.finite // 100)
    prefix = 0
    for digit in reversed(range(-(-total.max_ulp.bit_length() // _DIGIT))):
        counts = _digits(source, digit * _DIGIT, prefix)
        value = int(np.searchsorted(np.cumsum(counts), rank))
        rank -= int(counts[:value].sum())
        prefix = (prefix << _DIGIT) | value
    return prefix


def _digits(source: Source, shift: int, prefix: int) -> NDArray[np.int64]:
    """How often each value of one 16-bit digit occurs among distances with this prefix."""

    def count(_at: int, b: Array, c: Array) -> NDArray[np.int64]:
        found: list[Unsigned] = []
        for first in range(0, b.size, PIECE):
            part = slice(first, first + PIECE)
            digits = ulps(b[part], c[part]) >> np.uint8(shift)
            wanted = digits >> np.uint8(_DIGIT) == prefix
            found.append(digits[wanted & finite(b[part]) & finite(c[part])])
        here = np.concatenate(found).astype(np.int64) & (_VALUES - 1)
        return np.bincount(here, minlength=_VALUES)

    counts = np.zeros(_VALUES, dtype=np.int64)
    for one in _while_reading(source, count):
        counts += one
    return counts


def _worst(total: Total, shape: tuple[int, ...]) -> Worst | None:
    candidates = (total.first_mismatch, total.first_largest, total.first_unequal)
    found: Place | None = next((place for place in candidates if place is not None), None)
    if found is None:
        return None
    at, baseline, candidate = found
    index = tuple(int(i) for i in np.unravel_index(at, shape)) if shape else ()
    return Worst(index=index, baseline=baseline, candidate=candidate)


def _components(x: Array) -> Array:
    """The elements as a flat array of real numbers."""
    x = np.ascontiguousarray(x).reshape(-1)
    return x.view(_part(x.dtype)) if x.dtype.kind == "c" else x


def _part(dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
    """The dtype of the real numbers that an element consists of."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def _require_number(dtype: np.dtype[np.generic]) -> None:
    if dtype.kind not in "biuc" and not is_float(dtype):
        raise TypeError(f"{dtype} is not a number type that can be compared")
