"""What is said of properties and ops, from trials."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkpoint.audit import PROPERTIES, judge, op_rows
from tests.audit.examples import audit, broken, trial

STATES = ("equal", "differs", "unmatched", "not_tried")
TRIALS = st.lists(st.builds(trial, st.sampled_from(PROPERTIES), st.sampled_from(STATES)))


@given(TRIALS)
def test_a_property_fails_if_and_only_if_a_trial_differs(trials) -> None:
    for result in judge(trials, asked=PROPERTIES, promised=()):
        states = [one.state for one in trials if one.property == result.property]
        assert (result.verdict == "fails") == ("differs" in states)
        assert result.tried == states.count("equal") + states.count("differs")
        assert result.equal == states.count("equal")
        assert (result.verdict == "not_tried") == (result.tried == 0) == bool(result.reason)


@given(TRIALS, st.sets(st.sampled_from(PROPERTIES)))
def test_a_promise_is_kept_only_where_all_that_was_promised_holds(trials, promised) -> None:
    found = audit(*trials, promised=tuple(promised))
    verdicts = {one.verdict for one in found.properties if one.promised}
    assert (found.kept is True) == (verdicts <= {"holds"})
    assert (found.kept is False) == ("fails" in verdicts)


def test_the_first_op_is_that_of_most_trials() -> None:
    other = broken("aten.mm.default", "a")
    trials = [
        trial("batch", "differs", breaks=(other,)),
        trial("batch", "differs", breaks=(broken(), other)),
        trial("batch", "differs", breaks=(broken(),)),
        trial("batch", "differs"),
    ]
    (batch, *_) = judge(trials, asked=PROPERTIES, promised=())
    assert batch.first == broken()
    assert batch.first_in == 2


def test_what_was_not_asked_for_says_so() -> None:
    results = judge([trial("run", "differs")], asked=["batch"], promised=())
    assert [one.reason for one in results[1:]] == ["it was not asked for"] * 4
    assert results[0].reason == "no step could be called again"


def test_ops_count_trials_by_property() -> None:
    rows = op_rows(
        [
            trial("batch", breaks=(broken(), broken(module="second"))),
            trial("batch", breaks=(broken(),)),
            trial("run", breaks=(broken("aten.mm.default"),)),
        ]
    )
    assert [(row.op, row.trials) for row in rows] == [
        ("aten.addmm.default", {"batch": 2}),
        ("aten.mm.default", {"run": 1}),
    ]
    assert rows[0].modules == ("pooler.dense", "second")
    assert (rows[0].max_abs, rows[0].max_ulp) == (2e-7, 3)
