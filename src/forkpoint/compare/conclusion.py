"""The verdict of a comparison: one function from its facts, used by whatever tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from forkpoint.compare.tables import shape_rows
from forkpoint.compare.verdicts import JUDGED, worst
from forkpoint.model import Comparison, ReasonKind, Step, Verdict

_OF_THE_RUNS = frozenset({Verdict.NOT_REPEATABLE, Verdict.INCOMPLETE})


def concluded(comparison: Comparison) -> Comparison:
    """The comparison with the verdict that its facts make, and a table that says the same.

    Where recording changed the numbers, no step is judged by them.
    """
    steps = comparison.steps
    if comparison.neutral.equal is False:
        steps = tuple(_not_neutral(step) for step in steps)
    whole = replace(comparison, steps=steps, shapes=shape_rows(steps))
    return replace(whole, verdict=verdict_of(whole))


def verdict_of(comparison: Comparison) -> Verdict:
    """The worst of steps, watched calls and files, and of what the runs themselves show.

    Nothing is said of outputs where recording changed the numbers.
    """
    found = worst(_verdicts(comparison)) or Verdict.NOT_COMPARABLE
    if comparison.neutral.equal is False and found not in _OF_THE_RUNS:
        return Verdict.NOT_COMPARABLE
    return found


def _verdicts(comparison: Comparison) -> Iterator[Verdict]:
    yield from (step.verdict for step in comparison.steps)
    yield from (call.verdict for call in comparison.watched if call.verdict is not None)
    yield from (one.verdict for one in comparison.artifacts)
    if comparison.unrepeatable:
        yield Verdict.NOT_REPEATABLE
    sides = comparison.baseline, comparison.candidate
    if not all(side.complete for side in sides):
        yield Verdict.INCOMPLETE
    if any(side.steps != len(comparison.steps) for side in sides) or not comparison.steps:
        yield Verdict.NOT_COMPARABLE


def _not_neutral(step: Step) -> Step:
    if step.verdict not in JUDGED:
        return step
    return replace(
        step,
        verdict=Verdict.NOT_COMPARABLE,
        reason="Recording changed the numbers.",
        reason_kind=ReasonKind.NOT_NEUTRAL,
        fork=None,
        inner=None,
        chained=False,
    )
