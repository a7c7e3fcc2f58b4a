"""Measuring arrays that lie in files, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
from numpy.typing import NDArray

from forkpoint.artifacts.comparer import Context, Found, Refused
from forkpoint.compare import compare_stream, limits_for
from forkpoint.model import Metrics, Verdict

BLOCK = 8 << 20
"""Bytes that are read of each side at a time."""

MAX_WHERE = 5

Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Stored:
    """An array in a file: ``open`` gives a stream at its first element.

    Elements are in C order, or with ``fortran`` in the order of the transposed array.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    open: Callable[[], IO[bytes]]
    fortran: bool = False

    @property
    def native(self) -> np.dtype[np.generic]:
        """The dtype in this machine's byte order."""
        return self.dtype.newbyteorder("=")

    def words(self) -> str:
        """``float32[2, 3]``."""
        return f"{self.native}{list(self.shape)}"

    def blocks(self) -> Iterator[Array]:
        """The elements, flat and in native byte order; raises `Refused` at an early end."""
        left = math.prod(self.shape)
        at_once = max(1, BLOCK // max(1, self.dtype.itemsize))
        with self.open() as stream:
            while left:
                count = min(left, at_once)
                data = read_exactly(stream, count * self.dtype.itemsize)
                yield np.frombuffer(data, dtype=self.dtype).astype(self.native, copy=False)
                left -= count


def read_exactly(stream: IO[bytes], size: int) -> bytes:
    """Read ``size`` bytes; raises `Refused` where the file ends before."""
    pieces = []
    while size:
        piece = stream.read(size)
        if not piece:
            raise Refused(
                "The file ends inside of an array.", hint="It was cut off: write it again."
            )
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def compare_stored(part: str, one: Stored, two: Stored, context: Context) -> Found:
    """Compare two stored arrays element by element, whatever their dtype."""
    if (one.native, one.shape) != (two.native, two.shape):
        return Found(
            part=part,
            verdict=Verdict.DIVERGENT,
            summary=f"{one.words()} and {two.words()}: nothing to pair up",
        )
    if one.fortran != two.fortran:
        raise Refused(
            "One file has its array in C order, the other in Fortran order.",
            hint="Save both with numpy.ascontiguousarray.",
        )
    if not one.dtype.itemsize:
        return Found(part=part, verdict=Verdict.IDENTICAL, summary=f"{one.words()}: equal")
    limits = limits_for(context.tolerance, part, one.native.name)
    try:
        metrics = compare_stream(
            lambda: zip(one.blocks(), two.blocks(), strict=True),
            dtype=one.native,
            shape=one.shape[::-1] if one.fortran else one.shape,
            limits=limits,
        )
    except TypeError:  # text, dates, records: elements are equal or not
        return _as_stored(_compare_opaque(part, one, two), one, two, context)
    turned = _turned(metrics, len(one.shape)) if one.fortran else metrics
    return _as_stored(measured(part, one.words(), turned), one, two, context)


def _as_stored(found: Found, one: Stored, two: Stored, context: Context) -> Found:
    """Equal values in another byte order are other bits: within the tolerance, if there is one."""
    if one.dtype == two.dtype or found.verdict is Verdict.DIVERGENT:
        return found
    orders = f"{one.dtype.str} and {two.dtype.str}"
    bitwise = not context.tolerance.limits
    return replace(
        found,
        verdict=Verdict.DIVERGENT if bitwise else Verdict.WITHIN_TOLERANCE,
        summary=f"{found.summary}; stored in another byte order ({orders})",
    )


def measured(part: str, what: str, metrics: Metrics) -> Found:
    """The result for an array with these metrics; ``what`` is its dtype and shape in words."""
    if metrics.bit_equal:
        verdict = Verdict.IDENTICAL
    elif metrics.close_count == metrics.count:
        verdict = Verdict.WITHIN_TOLERANCE
    else:
        verdict = Verdict.DIVERGENT
    worst = metrics.worst
    return Found(
        part=part,
        verdict=verdict,
        summary=f"{what}: {_difference(metrics)}",
        metrics=metrics,
        elements=metrics.count,
        changed_fraction=1.0 - metrics.equal_fraction,
        where=(f"{list(worst.index)}: {worst.baseline} and {worst.candidate}",) if worst else (),
    )


def _turned(metrics: Metrics, dimensions: int) -> Metrics:
    """Metrics of a transposed array, with the place as the array itself has it."""
    if metrics.worst is None:
        return metrics
    index = metrics.worst.index
    turned = (*index[:dimensions][::-1], *index[dimensions:])
    return replace(metrics, worst=replace(metrics.worst, index=turned))


def share(fraction: float) -> str:
    """A share that is 0% or 100% only where it is exactly that."""
    if fraction in (0.0, 1.0):
        return f"{fraction:.0%}"
    return f"{min(max(fraction * 100, 0.001), 99.999):.3f}%"


def _difference(metrics: Metrics) -> str:
    if metrics.bit_equal:
        return "equal"
    text = f"{share(1.0 - metrics.equal_fraction)} of {metrics.count:,} values changed"
    text += f", max abs {metrics.max_abs:.3g}, mean abs {metrics.mean_abs:.3g}"
    if metrics.nonfinite_mismatches:
        text += f", {metrics.nonfinite_mismatches:,} NaN or infinity on one side"
    return text


def _compare_opaque(part: str, one: Stored, two: Stored) -> Found:
    changed, start, where = 0, 0, list[str]()
    for b, c in zip(one.blocks(), two.blocks(), strict=True):
        at = np.flatnonzero(_unlike(b, c))
        changed += at.size
        where += [f"element {start + int(i)}" for i in at[: MAX_WHERE - len(where)]]
        start += b.size
    fraction = changed / start if start else 0.0
    return Found(
        part=part,
        verdict=Verdict.DIVERGENT if changed else Verdict.IDENTICAL,
        summary=f"{one.words()}: {share(fraction)} of {start:,} elements changed",
        elements=start,
        changed_fraction=fraction,
        where=tuple(where),
    )


def _unlike(b: Array, c: Array) -> NDArray[np.bool_]:
    """Which elements differ in some byte; of the sizes that integers have, as integers."""
    size = b.dtype.itemsize
    found: NDArray[np.bool_]
    if size in (1, 2, 4, 8):
        found = np.not_equal(b.view(f"u{size}"), c.view(f"u{size}"))
    else:
        one, two = (x.view(np.uint8).reshape(x.size, -1) for x in (b, c))
        found = np.logical_or.reduce(one != two, axis=1)
    return found


def compare_named(
    baseline: dict[str, Stored], candidate: dict[str, Stored], context: Context
) -> Iterator[Found]:
    """Pair arrays by name; an array on one side only is divergent."""
    for name in sorted(baseline.keys() | candidate.keys()):
        one, two = baseline.get(name), candidate.get(name)
        if one and two:
            yield compare_stored(name, one, two, context)
        else:
            there = one or two
            assert there is not None
            yield Found(
                part=name,
                verdict=Verdict.DIVERGENT,
                summary=f"{there.words()} only in the {'baseline' if one else 'candidate'}",
                side="baseline" if one else "candidate",
            )
