"""Trials in fresh processes, read from a comparison of the two."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forkpoint.audit import fresh_trials
from forkpoint.model import Verdict
from tests.report import examples


@pytest.mark.parametrize("verdict", [Verdict.IDENTICAL, Verdict.DIVERGENT])
def test_a_step_that_was_given_other_inputs_is_not_tried(verdict: Verdict) -> None:
    step = examples.forked_step(0, 61, verdict=verdict, fork=None, chained=True, reason="given")
    comparison = examples.build((step,), verdict)
    coverage = replace(comparison.coverage, op_level_steps=(0,))
    (trial,) = fresh_trials(replace(comparison, coverage=coverage), "threads", "threads=1")
    assert (trial.state, trial.reason) == ("not_tried", "given")


def test_a_step_that_forks_breaks_at_its_fork() -> None:
    (trial,) = fresh_trials(
        examples.build((examples.forked_step(0, 61),), Verdict.DIVERGENT), "run", "again"
    )
    assert trial.state == "differs"
    assert [one.op for one in trial.breaks] == [examples.FORK_OP]
