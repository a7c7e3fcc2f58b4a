from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from forkpoint.model import Comparison, Verdict
from forkpoint.report import headline, sentences
from forkpoint.report.forks import fork_groups
from tests.report import examples


def test_the_demo_headline_says_what_forks_where() -> None:
    assert headline(examples.demo()) == (
        "divergent: 12 of 12 steps differ. The first operator that differs, among the events "
        "recorded, is aten::native_layer_norm in embeddings.LayerNorm (all 12 steps)."
    )


@pytest.mark.parametrize("name", [*examples.ALL, "large"])
def test_sentences(name: str, snapshot: SnapshotAssertion) -> None:
    comparison = getattr(examples, name)()
    assert (headline(comparison), *sentences(comparison)) == snapshot


@pytest.mark.parametrize("make", examples.ALL.values(), ids=examples.ALL)
def test_every_sentence_is_said_once_and_on_one_line(make: Callable[[], Comparison]) -> None:
    comparison = make()
    found = (headline(comparison), *sentences(comparison))
    assert len(set(found)) == len(found)
    assert all(sentence and "\n" not in sentence for sentence in found)


def test_different_inputs_are_said_before_numbers() -> None:
    assert headline(examples.other_inputs()).startswith("not comparable: the inputs already differ")
    assert "other operators or modules ran" in headline(examples.other_sequence())


def test_a_run_that_ended_early_is_named_also_where_no_reason_was_given() -> None:
    incomplete = examples.incomplete()
    assert headline(incomplete).startswith("incomplete: the candidate was not recorded to its end")
    unexplained = replace(incomplete, reasons=())
    assert headline(unexplained) == (
        "incomplete: the run of candidate 'new' ended early (killed by SIGKILL) after 5 steps."
    )


def test_a_difference_that_was_not_measured_is_not_said_to_exceed_the_tolerance() -> None:
    steps = list(examples.demo().steps)
    bare = tuple(replace(output, metrics=None) for output in steps[0].outputs)
    steps[0] = replace(steps[0], outputs=bare)
    assert headline(examples.build(tuple(steps), Verdict.DIVERGENT)).startswith(
        "divergent: 12 of 12 steps differ, 11 of them beyond the tolerance 'torch', "
        "1 by an amount that was not measured."
    )


def test_where_files_alone_differ_the_steps_are_said_to_be_equal() -> None:
    """They once read "0 of 12 steps differ, all of them within the tolerance"."""
    equal = replace(examples.identical(), artifacts=examples.files())
    assert headline(replace(equal, verdict=Verdict.DIVERGENT)).endswith(
        "the outputs are identical; files that the runs wrote differ."
    )
    assert headline(replace(equal, verdict=Verdict.WITHIN_TOLERANCE)).endswith(
        "; files that the runs wrote differ, all of them within the tolerance 'torch'."
    )


def test_recording_that_changes_numbers_is_not_passed_over() -> None:
    assert any("nothing here is reliable" in s for s in sentences(examples.not_repeatable()))


def test_fork_groups_hold_every_forked_step_once() -> None:
    comparison = examples.large(400, 20)
    forked = [step.index for step in comparison.steps if step.fork]
    grouped = [index for group in fork_groups(comparison.steps) for index in group.steps]
    assert sorted(grouped) == forked
    assert fork_groups(comparison.steps)[0].fork.kind == "op"


def test_inputs_that_are_what_earlier_steps_returned_are_told_apart() -> None:
    comparison = examples.other_inputs()
    steps = tuple(
        replace(
            step,
            inputs=tuple(
                replace(one, from_step=None if one.equal else step.index - 1) for one in step.inputs
            ),
        )
        for step in comparison.steps
    )
    told = headline(replace(comparison, steps=steps))
    assert told.startswith(
        "not comparable: the inputs differ in 2 of 4 steps (input_ids) because they are what "
        "earlier steps returned, which differs."
    )
    assert "blamed" not in told


def test_chained_steps_have_no_fork_and_are_not_counted_among_those_that_do() -> None:
    comparison = examples.chained()
    assert headline(comparison) == (
        "within tolerance: 5 of 6 steps differ in bits, all of them within the tolerance 'torch'. "
        "The first operator that differs, among the events recorded, is aten::native_layer_norm in "
        "embeddings.LayerNorm (3 steps)."
    )
    assert sentences(comparison)[0] == (
        "In 3 of 6 steps (steps 1, 3, 5) the inputs already differ (hidden), as steps 0, 2, 4 "
        "returned them. The difference of the outputs is then that of inputs and step together, "
        "which a comparison does not tell apart: such a step has no fork of its own. In 1 of them, "
        "the outputs are identical all the same."
    )
    assert not any("depends on the input" in sentence for sentence in sentences(comparison))


def test_where_operators_were_recorded_nowhere_the_module_is_not_said_to_stand_in() -> None:
    steps = tuple(
        replace(step, fork=examples.fork(op=None)) if step.fork else step
        for step in examples.chained().steps
    )
    assert headline(examples.build(steps, Verdict.WITHIN_TOLERANCE)).endswith(
        "The first module that returns other bits, among the events recorded, is "
        "embeddings.LayerNorm (3 steps); what modules are given is not recorded."
    )


def test_what_makes_a_comparison_impossible_is_said_before_what_is_chained() -> None:
    comparison = examples.chained()
    unlike = replace(
        comparison, verdict=Verdict.NOT_COMPARABLE, reasons=("The candidate has 1 more step.",)
    )
    assert headline(unlike) == "not comparable: the candidate has 1 more step."
