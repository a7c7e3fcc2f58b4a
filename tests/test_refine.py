"""Two passes put together."""

from __future__ import annotations

from dataclasses import replace

from forkpoint.api._refine import refine
from forkpoint.model import Verdict
from tests.report import examples


def test_a_reason_that_both_passes_found_is_said_once() -> None:
    cause = "Step 1 had other inputs: input (float32[32, 220, 384])."
    first = replace(examples.demo(), reasons=(cause, "More."))
    detail = replace(first, reasons=(cause, "Only here."))
    assert refine(first, detail).reasons == (cause, "More.", "Only here.")


def test_a_step_looked_at_closely_keeps_no_fork_of_the_first_pass() -> None:
    """Its ops say that others ran before anything differed; the module after them is no fork."""
    first = examples.demo()
    steps = tuple(
        replace(step, fork=None, same_sequence=None if step.index else False)
        for step in first.steps
    )
    found = refine(first, replace(first, steps=steps))
    assert found.verdict is Verdict.DIVERGENT
    assert found.steps[0].fork is None
    assert found.steps[1].fork == first.steps[1].fork
