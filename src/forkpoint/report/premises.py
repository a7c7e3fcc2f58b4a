"""What must be known before the numbers: early ends, inputs, weights, op sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from forkpoint.model import Comparison, Side, Step, Verdict
from forkpoint.report.words import LONG_NAME, counted, module, operator, ranges, shorten


def premises(comparison: Comparison) -> tuple[str, ...]:
    """What must be known before the numbers: early ends, inputs, weights, op sequences.

    The comparison's own ``reasons`` tell of early ends themselves, and then go first.
    """
    ended = comparison.reasons or tuple(_ended_early(comparison))
    found = (
        *(ended if comparison.verdict is Verdict.INCOMPLETE else ()),
        *_inputs(comparison.steps),
        *_weights(comparison),
        *_sequences(comparison),
        *_unrepeatable(comparison),
        *ended,
        *_chained(comparison.steps),
    )
    return tuple(dict.fromkeys(found))


def side_label(side: Side, role: str) -> str:
    """``baseline 'old'``."""
    return f"{role} '{side.name}'"


def _ended_early(comparison: Comparison) -> Iterator[str]:
    sides = ((comparison.baseline, "baseline"), (comparison.candidate, "candidate"))
    if comparison.verdict is Verdict.INCOMPLETE:
        for side, role in sides:
            if side.status not in ("completed", "stopped"):
                yield (
                    f"The run of {side_label(side, role)} ended early ({side.status}) "
                    f"after {counted(side.steps, 'step')}."
                )
    if comparison.baseline.steps != comparison.candidate.steps:
        yield (
            f"{side_label(comparison.baseline, 'Baseline')} made "
            f"{counted(comparison.baseline.steps, 'step')}, "
            f"{side_label(comparison.candidate, 'candidate')} made {comparison.candidate.steps:,}."
        )


def _inputs(steps: tuple[Step, ...]) -> Iterator[str]:
    unequal = [
        step for step in steps if not step.chained and any(not entry.equal for entry in step.inputs)
    ]
    passed_on = [step for step in unequal if _is_passed_on(step)]
    given = [step for step in unequal if not _is_passed_on(step)]
    total = counted(len(steps), "step")
    if given:
        yield (
            f"The inputs already differ in {len(given):,} of {total} "
            f"({_unequal(given)}): nothing after them can be blamed on the environment."
        )
    if passed_on:
        yield (
            f"The inputs differ in {len(passed_on):,} of {total} ({_unequal(passed_on)}) "
            "because they are what earlier steps returned, which differs."
        )


def _chained(steps: Sequence[Step]) -> Iterator[str]:
    """What the verdicts of steps rest on whose inputs differ as earlier steps returned them."""
    chained = [step for step in steps if step.chained]
    if not chained:
        return
    sources = {entry.from_step for step in chained for entry in step.inputs} - {None}
    text = (
        f"In {len(chained):,} of {counted(len(steps), 'step')} "
        f"({_numbered(step.index for step in chained)}) the inputs already differ "
        f"({_unequal(chained)}), as {_numbered(s for s in sources if s is not None)} returned them."
    )
    same = sum(step.verdict is Verdict.IDENTICAL for step in chained)
    if same < len(chained):
        text += (
            " The difference of the outputs is then that of inputs and step together, which a "
            "comparison does not tell apart: such a step has no fork of its own."
        )
    if same:
        text += f" In {same:,} of them, the outputs are identical all the same."
    yield text


def _numbered(steps: Iterable[int]) -> str:
    """``step 3``, ``steps 3-5, 7``."""
    listed = sorted(set(steps))
    return f"{'step' if len(listed) == 1 else 'steps'} {ranges(listed, limit=6)}"


def _is_passed_on(step: Step) -> bool:
    """Whether all inputs that differ are what earlier steps returned, on both sides."""
    return all(entry.equal or entry.from_step is not None for entry in step.inputs)


def _unequal(steps: Sequence[Step]) -> str:
    """Names of the inputs that differ, the first few."""
    names = dict.fromkeys(entry.name for step in steps for entry in step.inputs if not entry.equal)
    listed = ", ".join(shorten(name, LONG_NAME) for name in list(names)[:4])
    return listed + (", …" if len(names) > 4 else "")


def _weights(comparison: Comparison) -> Iterator[str]:
    if comparison.weights_equal is False:
        yield "The weights differ: the two runs did not compute with the same model."


def _sequences(comparison: Comparison) -> Iterator[str]:
    if not comparison.sequences:
        return
    affected = len({entry.step for entry in comparison.sequences})
    first = comparison.sequences[0]
    where = shorten(module(first.module, ""), LONG_NAME)
    yield (
        f"The operator sequence differs in {counted(affected, 'step')}, first in step "
        f"{first.step}, in {where}: "
        f"{_ops('baseline', first.only_baseline)}, {_ops('candidate', first.only_candidate)}. "
        "That is another program, not other arithmetic."
    )


def _ops(role: str, names: tuple[str, ...]) -> str:
    if not names:
        return f"nothing only in {role}"
    listed = ", ".join(shorten(operator(name), LONG_NAME) for name in names[:3])
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return f"only in {role} {listed}{more}"


def _unrepeatable(comparison: Comparison) -> Iterator[str]:
    unstable = [s.index for s in comparison.steps if s.verdict is Verdict.NOT_REPEATABLE]
    if unstable:
        which = ranges(unstable, limit=6)
        steps = counted(len(unstable), "step")
        yield f"An environment disagrees with itself in {steps} (by number: {which})."
