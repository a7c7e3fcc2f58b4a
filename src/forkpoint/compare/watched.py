"""Calls of watched functions, on both sides: matched by function and number, and measured."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from forkpoint.compare.metrics import compare_arrays
from forkpoint.compare.pairing import Pairing, View
from forkpoint.compare.premises import describe, same_tensor
from forkpoint.compare.tolerances import limits_for
from forkpoint.model import Metrics, Tolerance, WatchedCall, WatchedValue
from forkpoint.store import DTYPES, EventRow, Recording, ValueRow
from forkpoint_worker.schema import KIND_WATCH, ROLE_IN, ROLE_OUT

_Calls = dict[tuple[str, int], EventRow]


def watched_calls(pairing: Pairing, tolerance: Tolerance) -> tuple[WatchedCall, ...]:
    """The calls of watched functions in the order in which they ended, the baseline's first."""
    one, two = _calls(pairing.a), _calls(pairing.b)
    sides = pairing.a.recording, pairing.b.recording
    return tuple(
        _call(sides, one.get(key), two.get(key), tolerance) for key in dict.fromkeys([*one, *two])
    )


def _calls(view: View) -> _Calls:
    found = np.flatnonzero(view.columns.kind == KIND_WATCH)
    events = (view.recording.event(int(position)) for position in found)
    return {(event.op, event.call): event for event in events}


def _call(
    sides: tuple[Recording, Recording],
    one: EventRow | None,
    two: EventRow | None,
    tolerance: Tolerance,
) -> WatchedCall:
    known = one or two
    assert known is not None  # the key comes from one of the two
    if one is None or two is None:
        return WatchedCall(
            function=known.op,
            call=known.call,
            step=known.step,
            inside=known.inside,
            side="baseline" if one else "candidate",
            arguments_equal=None,
            results_equal=None,
            values=(),
            baseline=one.signature if one else "",
            candidate=two.signature if two else "",
        )
    arguments = _values(sides, (one, two), ROLE_IN, tolerance)
    given, returned = (
        [event.signature.partition(" -> ")[at] for event in (one, two)] for at in (0, 2)
    )
    return WatchedCall(
        function=one.op,
        call=one.call,
        step=one.step,
        inside=one.inside,
        side="both",
        arguments_equal=given[0] == given[1] and all(value.equal for value in arguments),
        results_equal=_results_equal(one, two, returned),
        values=(*arguments, *_values(sides, (one, two), ROLE_OUT, tolerance)),
        baseline=one.signature,
        candidate=two.signature,
    )


def _results_equal(one: EventRow, two: EventRow, returned: list[str]) -> bool | None:
    """By digest, which counts plain values, too; a call that raised has none, only its text."""
    if one.digest is None and two.digest is None:
        raised = any(text.startswith("raised ") for text in returned)
        return returned[0] == returned[1] if raised else None
    return one.digest == two.digest


def _values(
    sides: tuple[Recording, Recording],
    events: tuple[EventRow, EventRow],
    role: int,
    tolerance: Tolerance,
) -> tuple[WatchedValue, ...]:
    one, two = (
        [value for value in recording.values(event.id) if value.role == role]
        for recording, event in zip(sides, events, strict=True)
    )
    return tuple(_value(sides, a, b, tolerance) for a, b in zip_longest(one, two))


def _value(
    sides: tuple[Recording, Recording],
    one: ValueRow | None,
    two: ValueRow | None,
    tolerance: Tolerance,
) -> WatchedValue:
    known = one or two
    assert known is not None  # the longer list has a value here
    equal = one is not None and two is not None and same_tensor(one.tensor, two.tensor)
    metrics = None
    if one is not None and two is not None and not equal:
        metrics = _metrics(sides, one, two, tolerance)
    return WatchedValue(
        role="argument" if known.role == ROLE_IN else "result",
        name=known.name,
        shape=known.tensor.shape,
        dtype=known.tensor.dtype,
        equal=equal,
        metrics=metrics,
    )


def _metrics(
    sides: tuple[Recording, Recording], one: ValueRow, two: ValueRow, tolerance: Tolerance
) -> Metrics | None:
    """How far two tensors lie apart, where both were kept and are of one shape and dtype."""
    dtype = one.tensor.dtype
    if describe(one.tensor) != describe(two.tensor) or dtype not in DTYPES:
        return None
    tensors = one.tensor.id, two.tensor.id
    if not all(side.stored(key) for side, key in zip(sides, tensors, strict=True)):
        return None
    a, b = (side.load(key) for side, key in zip(sides, tensors, strict=True))
    return compare_arrays(a, b, limits=limits_for(tolerance, one.name, dtype))
