"""Calls of watched functions, on both sides: matched by function and number, and measured."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import Literal

import numpy as np

from forkpoint.compare.measure import Measured
from forkpoint.compare.metrics import compare_arrays
from forkpoint.compare.others import Others
from forkpoint.compare.pairing import Pairing, View
from forkpoint.compare.premises import describe, same_tensor
from forkpoint.compare.tolerances import limits_for
from forkpoint.compare.verdicts import Outputs
from forkpoint.model import Metrics, Tolerance, Unread, Verdict, WatchedCall, WatchedValue
from forkpoint.store import DTYPES, EventRow, ValueRow
from forkpoint_worker.schema import KIND_WATCH, ROLE_IN, ROLE_OUT

_ARROW = " -> "
_Place = tuple[int, EventRow]
_Calls = dict[tuple[str, int], _Place]


def watched_calls(pairing: Pairing, tolerance: Tolerance) -> tuple[WatchedCall, ...]:
    """The calls of watched functions in the order in which they ended, the baseline's first."""
    one, two = _calls(pairing.a), _calls(pairing.b)
    compare = _Comparing(pairing, tolerance)
    return tuple(compare.call(one.get(key), two.get(key)) for key in dict.fromkeys([*one, *two]))


def _calls(view: View) -> _Calls:
    found = np.flatnonzero(view.columns.kind == KIND_WATCH).tolist()
    events = ((at, view.recording.event(at)) for at in found)
    return {(event.op, event.call): (at, event) for at, event in events}


class _Comparing:
    """Compares matched calls under one tolerance."""

    def __init__(self, pairing: Pairing, tolerance: Tolerance) -> None:
        self._a, self._b = pairing.a, pairing.b
        self._others = Others(pairing)
        self._tolerance = tolerance

    def call(self, one: _Place | None, two: _Place | None) -> WatchedCall:
        """One call on both sides, or where one is None on the other alone."""
        known = one or two
        assert known is not None  # the key comes from one of the two
        view = self._a if one else self._b
        side: Literal["baseline", "candidate"] = "baseline" if one else "candidate"
        alone = WatchedCall(
            function=known[1].op,
            call=known[1].call,
            step=int(view.step[known[0]]),
            inside=known[1].inside,
            side=side,
            arguments_equal=None,
            results_equal=None,
            values=(),
            baseline=one[1].signature if one else "",
            candidate=two[1].signature if two else "",
            verdict=Verdict.NOT_COMPARABLE,
        )
        return self._both(alone, one, two) if one and two else alone

    def _both(self, call: WatchedCall, one: _Place, two: _Place) -> WatchedCall:
        places, events = (one[0], two[0]), (one[1], two[1])
        plain = {role: self._others.differences(places, role) for role in (ROLE_IN, ROLE_OUT)}
        unread = {role: self._others.unread(places, role) for role in (ROLE_IN, ROLE_OUT)}
        arguments = self._values(events, ROLE_IN)
        measured = self._measured(events)
        results = Outputs(
            measured=tuple(output for output, _ in measured),
            values=plain[ROLE_OUT],
            unread=unread[ROLE_OUT],
            seen=self._seen(places, events),
            digests_differ=_results_differ(events),
        )
        return replace(
            call,
            side="both",
            arguments_equal=self._arguments_equal(places, arguments, unread[ROLE_IN]),
            results_equal=_equal(results.verdict),
            values=(*arguments, *(value for _, value in measured)),
            plain=(*plain[ROLE_IN], *plain[ROLE_OUT]),
            unread=(*unread[ROLE_IN], *unread[ROLE_OUT]),
            verdict=results.verdict,
        )

    def _seen(self, places: tuple[int, int], events: tuple[EventRow, EventRow]) -> bool:
        """Whether anything is known of the results; a call that raised has none, only its text."""
        raised = any(_returned(event).startswith("raised ") for event in events)
        hashed = any(event.digest is not None for event in events)
        return raised or hashed or self._others.known(places, ROLE_OUT)

    def _arguments_equal(
        self,
        places: tuple[int, int],
        tensors: tuple[WatchedValue, ...],
        unread: tuple[Unread, ...],
    ) -> bool | None:
        """Null where it is not known: something was not read, or older texts are ambiguous."""
        plain = self._plain_arguments_equal(places)
        if plain is False or not all(value.equal for value in tensors):
            return False
        return None if unread else plain

    def _plain_arguments_equal(self, places: tuple[int, int]) -> bool | None:
        if self._others.known(places, ROLE_IN):
            return not self._others.differences(places, ROLE_IN)
        one, two = (
            view.recording.event(at).signature
            for view, at in zip((self._a, self._b), places, strict=True)
        )
        if one == two:
            return True
        if one.count(_ARROW) > 1 or two.count(_ARROW) > 1:
            return None  # a plain value holds an arrow: where the results begin is not known
        return one.partition(_ARROW)[0] == two.partition(_ARROW)[0]

    def _values(self, events: tuple[EventRow, EventRow], role: int) -> tuple[WatchedValue, ...]:
        return tuple(self._value(a, b)[1] for a, b in self._pairs(events, role))

    def _measured(
        self, events: tuple[EventRow, EventRow]
    ) -> tuple[tuple[Measured, WatchedValue], ...]:
        return tuple(self._value(a, b) for a, b in self._pairs(events, ROLE_OUT))

    def _pairs(
        self, events: tuple[EventRow, EventRow], role: int
    ) -> list[tuple[ValueRow | None, ValueRow | None]]:
        one, two = (
            [value for value in view.recording.values(event.id) if value.role == role]
            for view, event in zip((self._a, self._b), events, strict=True)
        )
        return list(zip_longest(one, two))

    def _value(self, one: ValueRow | None, two: ValueRow | None) -> tuple[Measured, WatchedValue]:
        known = one or two
        assert known is not None  # the longer list has a value here
        equal = one is not None and two is not None and same_tensor(one.tensor, two.tensor)
        metrics, close, why = None, equal, None
        if one is not None and two is not None and not equal:
            metrics = self._metrics(one, two)
            close = metrics is not None and metrics.close_count == metrics.count
            why = None if metrics else f"{known.name} was not measured"
        value = WatchedValue(
            role="argument" if known.role == ROLE_IN else "result",
            name=known.name,
            shape=known.tensor.shape,
            dtype=known.tensor.dtype,
            equal=equal,
            metrics=metrics,
        )
        return Measured(known.name, known, equal, metrics, close, why), value

    def _metrics(self, one: ValueRow, two: ValueRow) -> Metrics | None:
        """How far two tensors lie apart, where both were kept and are of one shape and dtype."""
        dtype = one.tensor.dtype
        if describe(one.tensor) != describe(two.tensor) or dtype not in DTYPES:
            return None
        sides = (self._a.recording, one.tensor.id), (self._b.recording, two.tensor.id)
        if not all(side.stored(key) for side, key in sides):
            return None
        a, b = (side.load(key) for side, key in sides)
        return compare_arrays(a, b, limits=limits_for(self._tolerance, one.name, dtype))


def _equal(verdict: Verdict) -> bool | None:
    if verdict is Verdict.NOT_COMPARABLE:
        return None
    return verdict is Verdict.IDENTICAL


def _returned(event: EventRow) -> str:
    return event.signature.rpartition(_ARROW)[2]


def _results_differ(events: tuple[EventRow, EventRow]) -> bool:
    """By digest, which counts plain values, too; of calls that raised by what they raised."""
    one, two = events
    if one.digest is None and two.digest is None:
        return _returned(one) != _returned(two)
    return one.digest != two.digest
