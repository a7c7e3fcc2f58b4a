"""Where floats become integers, counted from watched calls."""

from __future__ import annotations

from dataclasses import replace

from forkpoint.diagnose import find_stages
from forkpoint.diagnose.experiments.stages import count_stages
from forkpoint.model import Outcome, WatchedCall, WatchedValue
from tests.report.examples import metrics


def _value(dtype: str, *, equal: bool, changed: int | None = None) -> WatchedValue:
    measured = None
    if changed is not None:
        share = (100 - changed) / 100
        measured = replace(metrics(), count=100, bit_equal=not changed, equal_fraction=share)
    return WatchedValue(
        role="result", name="result", shape=(100,), dtype=dtype, equal=equal, metrics=measured
    )


def _call(
    name: str, *values: WatchedValue, given: bool = False, plain: tuple[str, str] = ("", "")
) -> WatchedCall:
    return WatchedCall(
        function=f"m:{name}",
        call=0,
        step=0,
        inside=False,
        side="both",
        arguments_equal=given,
        results_equal=all(value.equal for value in values) and plain[0] == plain[1],
        values=values,
        baseline=f"x=1 -> {plain[0]}",
        candidate=f"x=1 -> {plain[1]}",
    )


EMBED = _call("embed", _value("float32", equal=False), given=True)
CODES = _call("codes", _value("int64", equal=False, changed=3))
SAME = _call("sample", _value("int32", equal=True), given=True)


def test_the_first_integers_that_differ_are_named_and_counted() -> None:
    found = find_stages([SAME, EMBED, CODES, replace(CODES, call=1)])
    assert found is not None
    assert found.outcome is Outcome.SUPPORTED
    assert found.evidence == (
        "codes is the first to give other integers, and its arguments already differ; "
        "embed: other floats in 1 of 1 calls; codes: other integers in 2 of 2 calls (6 of 200 "
        "values); 1 of 3 watched functions give equal results"
    )


def test_integers_that_stay_the_same_refute_it() -> None:
    found = find_stages([EMBED, SAME])
    assert found is not None
    assert found.outcome is Outcome.REFUTED


def test_without_integers_nothing_is_known() -> None:
    found = find_stages([EMBED])
    assert found is not None
    assert found.outcome is Outcome.INCONCLUSIVE


def test_integers_from_equal_arguments_are_no_consequence() -> None:
    found = find_stages([EMBED, replace(CODES, arguments_equal=True)])
    assert found is not None
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "and its arguments are equal" in found.evidence


def test_plain_values_count_apart() -> None:
    (stage,) = count_stages([_call("rank", plain=("result[0]=1", "result[0]=2"))])
    assert (stage.floats, stage.integers, stage.plain, stage.whole) == (0, 0, 1, True)


def test_truth_values_count_as_integers() -> None:
    (stage,) = count_stages([_call("keep", _value("bool", equal=False, changed=1))])
    assert (stage.integers, stage.changed, stage.values) == (1, 1, 100)


def test_equal_results_are_no_experiment() -> None:
    assert find_stages([SAME]) is None
    assert find_stages([]) is None


def test_calls_of_one_side_have_no_part_in_it() -> None:
    assert find_stages([replace(CODES, side="baseline")]) is None
