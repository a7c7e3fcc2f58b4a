"""Trials in fresh processes: the whole script again, with another thread count or as it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from forkpoint.audit.model import Break, Property, Trial, TrialState
from forkpoint.audit.rows import computes
from forkpoint.model import Comparison, Metrics, Step, Verdict

_STATES: dict[Verdict, TrialState] = {
    Verdict.IDENTICAL: "equal",
    Verdict.WITHIN_TOLERANCE: "differs",
    Verdict.DIVERGENT: "differs",
    Verdict.NOT_REPEATABLE: "differs",
}


def fresh_trials(comparison: Comparison, prompt: Property, variant: str) -> tuple[Trial, ...]:
    """One trial for each step that was recorded op by op in both processes."""
    wanted = frozenset(comparison.coverage.op_level_steps)
    return tuple(_trial(step, prompt, variant) for step in comparison.steps if step.index in wanted)


def _trial(step: Step, prompt: Property, variant: str) -> Trial:
    # a chained step was given other inputs: its difference is no break of its own
    verdict = None if step.chained else step.verdict
    state = _STATES.get(verdict, "not_tried") if verdict else "not_tried"
    return Trial(
        property=prompt,
        step=step.index,
        module=step.module,
        inputs=step.inputs,
        variant=variant,
        state=state,
        reason=(step.reason or "the two runs cannot be compared") if state == "not_tried" else None,
        metrics=_largest(output.metrics for output in step.outputs),
        breaks=tuple(_breaks(step)),
    )


def _breaks(step: Step) -> Iterator[Break]:
    """The fork, where it is an op that had equal inputs; later ones are not looked for."""
    fork = step.fork
    if fork is None or fork.op is None or not fork.inputs_equal:
        return
    found = Break(
        module=fork.module,
        op=fork.op,
        call=0,
        calls=1,
        signature=fork.signature or "",
        whole=fork.shapes,
        varied=fork.shapes,
        metrics=fork.metrics,
    )
    if computes(found):
        yield found


def _largest(many: Iterable[Metrics | None]) -> Metrics | None:
    return max((one for one in many if one), key=lambda one: one.max_abs, default=None)
