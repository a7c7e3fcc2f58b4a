"""Steps of several threads, in no fixed order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from forkpoint.compare import Context, diff, parse_tolerance, second_pass, unrepeatable_steps
from forkpoint.model import Comparison, ReasonKind, Verdict
from forkpoint.store import Recording
from tests.support.runs import Did, write

FIRST = [Did(thread=1, model="Net", weight=0.0, given=n * 10.0) for n in range(3)]
SECOND = [Did(thread=2, model="Net#2", weight=1.0, given=n * 10.0) for n in range(3)]


def placed(steps: list[Did]) -> list[Did]:
    """The same inputs wherever a step comes: the writer counts steps into them."""
    return [replace(step, given=step.given - at) for at, step in enumerate(steps)]


def swapped(steps: list[Did]) -> list[Did]:
    names = {"Net": "Net#2", "Net#2": "Net"}
    return [replace(step, model=names[step.model], thread=3 - step.thread) for step in steps]


BASELINE = placed([*FIRST, *SECOND])
ORDERS = [
    placed([*SECOND, *FIRST]),
    swapped(placed([*SECOND, *FIRST])),
    swapped(placed([SECOND[0], FIRST[0], SECOND[1], FIRST[1], SECOND[2], FIRST[2]])),
]


def compare(tmp_path: Path, two: list[Did]) -> Comparison:
    a, b = write(tmp_path / "a", BASELINE), write(tmp_path / "b", two)
    with Recording.open(a) as one, Recording.open(b) as other:
        assert unrepeatable_steps(one, other) == ()
        return diff(one, other, tolerance=parse_tolerance())


@pytest.mark.parametrize("order", ORDERS)
def test_another_order_of_steps_is_no_difference(tmp_path: Path, order: list[Did]) -> None:
    found = compare(tmp_path, order)
    assert found.verdict is Verdict.IDENTICAL
    assert found.weights_equal is True
    assert found.coverage.paired_by == "inputs"
    assert any("no fixed order" in note for note in found.coverage.notes)


def test_what_differs_is_told_of_the_step_that_it_belongs_to(tmp_path: Path) -> None:
    order = swapped(placed([*SECOND, replace(FIRST[0], outer=0.5), *FIRST[1:]]))
    a, b = write(tmp_path / "a", BASELINE), write(tmp_path / "b", order)
    with Recording.open(a) as one, Recording.open(b) as two:
        found = diff(one, two, tolerance=parse_tolerance())
        assert second_pass(one, two, max_storage=1 << 20) is not None
    assert [s.index for s in found.steps if s.verdict is Verdict.DIVERGENT] == [0]


def test_other_inputs_and_one_more_step_are_told(tmp_path: Path) -> None:
    order = placed([*SECOND, *FIRST[:2], replace(FIRST[2], given=99.0), FIRST[0]])
    a, b = write(tmp_path / "a", BASELINE), write(tmp_path / "b", order)
    with Recording.open(a) as one, Recording.open(b) as two:
        found = diff(one, two, tolerance=parse_tolerance())
    assert [s.index for s in found.steps if s.reason_kind is ReasonKind.INPUTS] == [2]
    assert "The candidate has 1 more step." in found.reasons


def test_an_other_recording_can_lend_its_numbers(tmp_path: Path) -> None:
    """The second pass of a run may come in another order than its first."""
    differing = replace(SECOND[1], outer=0.5)
    first = write(tmp_path / "first", BASELINE)
    a = write(tmp_path / "a", ORDERS[1])
    b = write(tmp_path / "b", placed([*FIRST, SECOND[0], differing, SECOND[2]]))
    with (
        Recording.open(first) as like,
        Recording.open(a) as one,
        Recording.open(b) as two,
    ):
        found = diff(one, two, tolerance=parse_tolerance(), context=Context(like=like))
    assert [s.index for s in found.steps if s.verdict is Verdict.DIVERGENT] == [4]


def test_steps_of_one_thread_are_matched_by_number(tmp_path: Path) -> None:
    one = [replace(step, thread=0) for step in BASELINE]
    a, b = write(tmp_path / "a", one), write(tmp_path / "b", [*one[3:], *one[:3]])
    with Recording.open(a) as first, Recording.open(b) as second:
        found = diff(first, second, tolerance=parse_tolerance())
    assert found.coverage.paired_by == "number"
    assert found.verdict is Verdict.NOT_COMPARABLE
