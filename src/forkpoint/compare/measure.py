"""Metrics of a differing output: what the worker measured, or both tensors loaded here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from forkpoint.compare.metrics import compare_arrays
from forkpoint.compare.pairing import Pairing
from forkpoint.compare.premises import describe, same_tensor
from forkpoint.compare.tolerances import limits_for
from forkpoint.model import Metrics, StepOutput, Tolerance
from forkpoint.store import DTYPES, ValueRow
from forkpoint_worker.schema import ROLE_OUT

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """One output on both sides. ``close`` is None where that is not known, and ``why`` says it.

    ``baseline`` is the candidate's where only that has it.
    """

    name: str
    baseline: ValueRow
    equal: bool
    metrics: Metrics | None
    close: bool | None
    why: str | None = None

    def output(self) -> StepOutput:
        """The same, for the result."""
        tensor = self.baseline.tensor
        return StepOutput(
            name=self.name,
            shape=tensor.shape,
            dtype=tensor.dtype,
            equal=self.equal,
            metrics=self.metrics,
        )


class Measurer:
    """Measures outputs of matched events under one tolerance."""

    def __init__(self, pairing: Pairing, tolerance: Tolerance) -> None:
        self._a = pairing.a
        self._b = pairing.b
        self._tolerance = tolerance
        stated = pairing.b.recording.manifest.tolerance
        self._same_tolerance = stated is not None and (
            (stated.limits, stated.outputs) == (tolerance.limits, tolerance.outputs)
        )

    def outputs(self, one: int, two: int) -> tuple[Measured, ...]:
        """The outputs of two matched events (positions in the columns), by name."""
        events = int(self._a.columns.id[one]), int(self._b.columns.id[two])
        first, second = (
            _named(recording.values(event))
            for recording, event in zip((self._a.recording, self._b.recording), events, strict=True)
        )
        return (
            *(self.output(value, second.get(key), events) for key, value in first.items()),
            *(
                Measured(key[0], value, False, None, False, f"{key[0]} is not in the baseline")
                for key, value in second.items()
                if key not in first
            ),
        )

    def output(self, a: ValueRow, b: ValueRow | None, events: tuple[int, int]) -> Measured:
        """One output of the events with these ids."""
        if b is None:
            return Measured(a.name, a, False, None, False, f"{a.name} is not in the candidate")
        if same_tensor(a.tensor, b.tensor):
            return Measured(a.name, a, True, None, True)
        if describe(a.tensor) != describe(b.tensor):
            why = f"{a.name} is {describe(a.tensor)} and {describe(b.tensor)}"
            return Measured(a.name, a, False, None, False, why)
        limits = limits_for(self._tolerance, a.name, a.tensor.dtype)
        return self._from_worker(a, b, events, limits) or self._from_tensors(a, b, limits)

    def _from_worker(
        self, a: ValueRow, b: ValueRow, events: tuple[int, int], limits: Limits | None
    ) -> Measured | None:
        row = self._b.recording.metric(events[1], b.slot)
        if a.slot != b.slot or row is None or row.other != events[0] or row.metrics.bit_equal:
            return None
        found = row.metrics
        if self._same_tolerance:
            return Measured(a.name, a, False, found, found.close_count == found.count)
        close = close_by_bounds(found, limits)
        return None if close is None else Measured(a.name, a, False, found, close)

    def _from_tensors(self, a: ValueRow, b: ValueRow, limits: Limits | None) -> Measured:
        one, two = self._a.recording, self._b.recording
        kept = a.tensor.dtype in DTYPES and one.stored(a.tensor.id) and two.stored(b.tensor.id)
        if not kept:
            return Measured(a.name, a, False, None, None, f"{a.name or 'the output'} was not kept")
        found = compare_arrays(one.load(a.tensor.id), two.load(b.tensor.id), limits=limits)
        return Measured(a.name, a, False, found, found.close_count == found.count)


def _named(values: Iterable[ValueRow]) -> dict[tuple[str, int], ValueRow]:
    """Outputs by name; a name that comes again has a number."""
    seen: Counter[str] = Counter()
    found = {}
    for value in values:
        if value.role == ROLE_OUT:
            found[value.name, seen[value.name]] = value
            seen[value.name] += 1
    return found


def close_by_bounds(metrics: Metrics, limits: Limits | None) -> bool | None:
    """Whether all pairs are within limits other than those that ``close_count`` was counted by.

    None where the extremes do not tell.
    """
    if metrics.bit_equal:
        return True
    if limits is None or metrics.nonfinite_mismatches:
        return False
    atol, rtol = limits
    if metrics.max_abs <= atol:
        return True
    if metrics.max_abs > 0 and metrics.worst is not None:
        try:
            size = abs(float(metrics.worst.baseline))
        except ValueError:  # a bool: it differs by 1
            size = 1.0
        if metrics.max_abs > atol + rtol * size:
            return False
    return None
