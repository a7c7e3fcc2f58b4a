"""Which watched function turns float differences into integer ones, with counts for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from forkpoint.model import Experiment, Outcome, WatchedCall, WatchedValue

NAME = "stages"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One watched function over all of its calls that both sides made.

    ``floats``, ``integers`` and ``plain`` count the calls that gave other ones: of floating
    tensors, of integer tensors, and of plain values alone. ``changed`` of ``values`` integers
    are not the same, where both sides gave as many and they were measured. ``whole`` says
    whether any call returned integers or plain values at all.
    """

    function: str
    calls: int
    given: int
    floats: int
    integers: int
    plain: int
    changed: int
    values: int
    whole: bool


def find_stages(calls: Sequence[WatchedCall]) -> Experiment | None:
    """Look for the first watched function that gives other integers; null where all is equal."""
    found = count_stages(calls)
    if not any(one.floats or one.integers or one.plain for one in found):
        return None
    turning = [one for one in found if one.integers or one.plain]
    outcome = Outcome.INCONCLUSIVE
    if turning and any(one.floats for one in found) and all(one.given for one in turning[:1]):
        outcome = Outcome.SUPPORTED
    elif not turning and any(one.whole for one in found):
        outcome = Outcome.REFUTED
    return Experiment(
        name=NAME,
        hypothesis="differences of floats become differences of integers in a watched function",
        did="counted the calls of watched functions whose results differ, by what they return",
        outcome=outcome,
        evidence="; ".join(_evidence(found, turning)),
    )


def count_stages(calls: Sequence[WatchedCall]) -> tuple[Stage, ...]:
    """The watched functions in the order of their first calls."""
    groups: dict[str, list[WatchedCall]] = {}
    for call in calls:
        if call.side == "both":
            groups.setdefault(call.function, []).append(call)
    return tuple(_stage(function, group) for function, group in groups.items())


def _stage(function: str, calls: Sequence[WatchedCall]) -> Stage:
    floats = [_unlike(call, integers=False) for call in calls]
    integers = [_unlike(call, integers=True) for call in calls]
    measured = [v.metrics for values in integers for v in values if v.metrics is not None]
    unlike = zip(calls, floats, integers, strict=True)
    return Stage(
        function=function,
        calls=len(calls),
        given=sum(call.arguments_equal is False for call in calls),
        floats=sum(map(bool, floats)),
        integers=sum(map(bool, integers)),
        plain=sum(call.results_equal is False and not (f or i) for call, f, i in unlike),
        changed=sum(m.count - round(m.count * m.equal_fraction) for m in measured),
        values=sum(m.count for m in measured),
        whole=any(map(_returns_whole, calls)),
    )


def _unlike(call: WatchedCall, *, integers: bool) -> list[WatchedValue]:
    return [v for v in _results(call) if not v.equal and _is_integer(v) == integers]


def _results(call: WatchedCall) -> Iterator[WatchedValue]:
    return (value for value in call.values if value.role == "result")


def _is_integer(value: WatchedValue) -> bool:
    return "int" in value.dtype or value.dtype == "bool"


def _returns_whole(call: WatchedCall) -> bool:
    plain = call.baseline.partition(" -> ")[2]
    return bool(plain) or any(_is_integer(value) for value in _results(call))


def _evidence(found: Sequence[Stage], turning: Sequence[Stage]) -> Iterator[str]:
    if turning:
        first = turning[0]
        why = "its arguments already differ" if first.given else "its arguments are equal"
        yield f"{_short(first)} is the first to give other {_what(first)}, and {why}"
    else:
        yield "no watched function gives other integers or plain values"
    for one in found:
        if one.floats:
            yield f"{_short(one)}: other floats in {one.floats:,} of {one.calls:,} calls"
        if one.integers:
            values = f" ({one.changed:,} of {one.values:,} values)" if one.values else ""
            many = f"{one.integers:,} of {one.calls:,} calls"
            yield f"{_short(one)}: other integers in {many}{values}"
        if one.plain:
            yield f"{_short(one)}: other plain values in {one.plain:,} of {one.calls:,} calls"
    equal = sum(not (one.floats or one.integers or one.plain) for one in found)
    if equal:
        yield f"{equal:,} of {len(found):,} watched functions give equal results"


def _what(stage: Stage) -> str:
    return "integers" if stage.integers else "plain values"


def _short(stage: Stage) -> str:
    """The function's name without its module."""
    return stage.function.partition(":")[2]
