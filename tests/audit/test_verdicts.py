"""What is said of properties and ops, from trials."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from forkpoint.audit import PROPERTIES, SizeClasses, SizeCount, judge, op_rows
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


def test_sizes_that_give_one_result_are_one_class() -> None:
    trials = [
        trial("batch", state, size=size, shared=shared, step=step)
        for step in (0, 3)
        for size, state, shared in (
            (1, "differs", "a"), (2, "differs", "b"), (3, "differs", "b"), (4, "equal", "c"),
        )
    ]  # fmt: skip
    trials.append(trial("batch", "equal", size=4, shared="c", step=5))
    (batch, *_) = judge(trials, asked=PROPERTIES, promised=())
    assert batch.classes == (
        SizeClasses(classes=((1,), (2, 3), (4, 8)), steps=(0, 3)),
        SizeClasses(classes=((4, 8),), steps=(5,)),
    )
    assert batch.sizes[0] == SizeCount(size=1, tried=2, differing=2)
    assert batch.sizes[-1] == SizeCount(size=4, tried=3, differing=0)


def test_what_shares_its_first_row_with_the_scripts_own_call_and_differs_is_another_class() -> None:
    trials = [
        trial("batch", "equal", size=4, shared="a"),
        trial("batch", "differs", size=2, shared="a"),
    ]
    assert judge(trials, asked=PROPERTIES, promised=())[0].classes[0].classes == ((2,), (4, 8))


def test_where_a_result_is_not_known_no_classes_are_claimed() -> None:
    trials = [trial("batch", "differs", size=1), trial("batch", "differs", size=2, shared="a")]
    (batch, *_) = judge(trials, asked=PROPERTIES, promised=())
    assert batch.classes == ()
    assert [row.differing for row in batch.sizes] == [1, 1]


@given(st.lists(st.tuples(st.integers(1, 7), st.sampled_from(STATES), st.sampled_from("abc"))))
def test_each_size_is_in_one_class(many) -> None:
    unique = {size: (state, shared) for size, state, shared in many}
    trials = [trial("batch", s, size=n, shared=d) for n, (s, d) in unique.items()]
    (batch, *_) = judge(trials, asked=PROPERTIES, promised=())
    told = [size for one in batch.classes for sizes in one.classes for size in sizes]
    tried = [n for n, (state, _) in unique.items() if state in ("equal", "differs")]
    assert sorted(told) == sorted([*tried, 8] if tried else [])
