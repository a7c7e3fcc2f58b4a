"""What must be known before the numbers: early ends, inputs, weights, op sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from forkpoint.compare import JUDGED
from forkpoint.model import (
    Comparison,
    EnvironmentDifference,
    ReasonKind,
    SequenceDifference,
    Side,
    Step,
    Verdict,
)
from forkpoint.report.watched import uncompared_calls
from forkpoint.report.words import LONG_NAME, counted, module, operator, ranges, shorten

_SHOWN = 3


def premises(comparison: Comparison) -> tuple[str, ...]:
    """What must be known before the numbers: early ends, inputs, weights, op sequences.

    The comparison's own ``reasons`` tell of early ends themselves, and then go first.
    """
    ended = comparison.reasons or tuple(_ended_early(comparison))
    neutral = (neutral_sentence(comparison),) if comparison.neutral.equal is False else ()
    found = (
        *(ended if comparison.verdict is Verdict.INCOMPLETE else ()),
        *_unrepeatable(comparison),
        *(ended if comparison.verdict is Verdict.NOT_REPEATABLE else ()),
        *neutral,
        *_inputs(comparison.steps),
        *_weights(comparison),
        *_set_apart(comparison),
        *_unread(comparison.steps),
        *(() if comparison.verdict in JUDGED else sequence_sentence(comparison)),
        *ended,
        *uncompared_calls(comparison.watched),
        *_uncompared(comparison.steps),
        *_chained(comparison.steps),
    )
    return tuple(dict.fromkeys(found))


def side_label(side: Side, role: str) -> str:
    """``baseline 'old'``."""
    return f"{role} '{side.name}'"


def neutral_sentence(comparison: Comparison) -> str:
    """Whether recording changed the numbers."""
    neutral = comparison.neutral
    lead = {
        True: "Recording did not change the numbers",
        False: "Recording changed the numbers, so nothing here is reliable",
        None: "Whether recording changes the numbers was not checked",
    }[neutral.equal]
    return f"{lead}: {_sentence(neutral.evidence)}" if neutral.evidence else f"{lead}."


def other_sequences(comparison: Comparison) -> int:
    """In how many steps other operators or modules ran, as far as both sides recorded them."""
    known = sum(step.same_sequence is False for step in comparison.steps)
    return known or len({entry.step for entry in comparison.sequences})


def sequence_sentence(comparison: Comparison) -> Iterator[str]:
    """Which other operators or modules ran first, where, and what is known before that place."""
    if not comparison.sequences:
        return
    first = comparison.sequences[0]
    where = shorten(module(first.module, ""), LONG_NAME)
    yield (
        f"Other operators or modules ran, first in step {first.step}, in {where}: "
        f"{_ops('baseline', first.only_baseline, first.omitted[0])}, "
        f"{_ops('candidate', first.only_candidate, first.omitted[1])}{_before(first)}."
    )


def _before(first: SequenceDifference) -> str:
    """What is known of the events before the sequences part."""
    if first.verdict_before is Verdict.IDENTICAL:
        return "; before that place nothing recorded differs"
    if first.verdict_before is Verdict.DIVERGENT:
        return "; before that place results differ already"
    return ""


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
    unequal = [step for step in steps if _had_other_inputs(step)]
    passed_on = [step for step in unequal if _is_passed_on(step)]
    given = [step for step in unequal if not _is_passed_on(step)]
    total = counted(len(steps), "step")
    if given:
        yield (
            f"The inputs already differ in {len(given):,} of {total}, from step {given[0].index} "
            f"on{_unequal(given)}; what made them was not recorded."
        )
    if passed_on:
        yield (
            f"The inputs differ in {len(passed_on):,} of {total}{_unequal(passed_on)} "
            "because they are what earlier steps returned, which differs."
        )


def _had_other_inputs(step: Step) -> bool:
    """Whether a step has no verdict on its outputs, and its inputs are known to differ."""
    unequal = any(not entry.equal for entry in step.inputs) or _plain_inputs(step)
    return not step.chained and (step.reason_kind is ReasonKind.INPUTS or unequal)


def _plain_inputs(step: Step) -> bool:
    return any(value.role == "input" for value in step.values)


def _chained(steps: Sequence[Step]) -> Iterator[str]:
    """What the verdicts of steps rest on whose inputs differ as earlier steps returned them."""
    chained = [step for step in steps if step.chained]
    if not chained:
        return
    sources = {entry.from_step for step in chained for entry in step.inputs} - {None}
    text = (
        f"In {len(chained):,} of {counted(len(steps), 'step')} "
        f"({_numbered(step.index for step in chained)}) the inputs already differ"
        f"{_unequal(chained)}, as {_numbered(s for s in sources if s is not None)} returned them."
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
    unequal = [entry for entry in step.inputs if not entry.equal]
    passed = all(entry.from_step is not None for entry in unequal)
    return bool(unequal) and passed and not _plain_inputs(step)


def _unequal(steps: Sequence[Step]) -> str:
    """Names of the inputs that differ, the first few, in brackets."""
    names = dict.fromkeys(
        name
        for step in steps
        for name in (
            *(entry.name for entry in step.inputs if not entry.equal),
            *(value.name for value in step.values if value.role == "input"),
        )
    )
    listed = ", ".join(shorten(name, LONG_NAME) for name in list(names)[:4] if name)
    return f" ({listed}{', …' if len(names) > 4 else ''})" if listed else ""


def _weights(comparison: Comparison) -> Iterator[str]:
    if comparison.weights_equal is not False:
        return
    steps = [step.index for step in comparison.steps if step.reason_kind is ReasonKind.WEIGHTS]
    names = [shorten(one.name, LONG_NAME) for one in comparison.weights]
    left = len(names) - _SHOWN + comparison.weights_omitted
    listed = ", ".join(names[:_SHOWN]) + (f" and {left:,} more" if left > 0 else "")
    total = counted(len(comparison.steps), "step")
    where = f" in {len(steps):,} of {total}, from step {steps[0]} on" if steps else ""
    yield (
        f"The weights differ{where}{f' ({listed})' if listed else ''}: the two runs did not "
        "compute with the same model."
    )


def _set_apart(comparison: Comparison) -> Iterator[str]:
    """What the user set on one side only, where inputs or weights differ."""
    asked = [entry for entry in comparison.environment if entry.asked]
    unlike = comparison.weights_equal is False or any(map(_had_other_inputs, comparison.steps))
    if unlike and asked:
        left = len(asked) - _SHOWN
        more = f" and {left:,} more" if left > 0 else ""
        yield f"Not set alike on both sides: {', '.join(map(_set, asked[:_SHOWN]))}{more}."


def _set(entry: EnvironmentDifference) -> str:
    values = ["not set" if v is None else f"'{v}'" for v in (entry.baseline, entry.candidate)]
    kind, _, name = entry.key.partition(".")
    what = f"{kind} {shorten(name, LONG_NAME)}" if name else kind
    return f"the {what} ({', '.join(shorten(value, LONG_NAME) for value in values)})"


def _unread(steps: Sequence[Step]) -> Iterator[str]:
    found = [step for step in steps if step.unread]
    if found:
        first = found[0].unread[0]
        name = shorten(first.name, LONG_NAME) or "all of it"
        yield (
            f"In {len(found):,} of {counted(len(steps), 'step')} not everything could be read, "
            f"first the {first.role} {name} of step {found[0].index} "
            f"({shorten(first.why, LONG_NAME)}): nothing is known of it."
        )


def _uncompared(steps: Sequence[Step]) -> Iterator[str]:
    unlike = sum(step.verdict is Verdict.NOT_COMPARABLE for step in steps)
    if unlike > 1:
        yield f"In all, {unlike:,} of {counted(len(steps), 'step')} cannot be compared."


def _ops(role: str, names: tuple[str, ...], omitted: int) -> str:
    if not names:
        return f"nothing only in {role}"
    listed = ", ".join(shorten(_op(name), LONG_NAME) for name in names[:_SHOWN])
    left = len(names) - _SHOWN + omitted
    more = f" and {left:,} more" if left > 0 else ""
    return f"only in {role} {listed}{more}"


def _op(name: str) -> str:
    """``aten::bmm in attention`` of ``aten.bmm.default in attention``."""
    op, between, where = name.partition(" in ")
    return f"{operator(op)}{between}{where}"


def _unrepeatable(comparison: Comparison) -> Iterator[str]:
    unstable = [s.index for s in comparison.steps if s.verdict is Verdict.NOT_REPEATABLE]
    if unstable:
        which = ranges(unstable, limit=6)
        steps = counted(len(unstable), "step")
        yield f"An environment disagrees with itself in {steps} (by number: {which})."


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
