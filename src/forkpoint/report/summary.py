"""What a comparison says, in whole sentences; every format starts with these.

Nothing here claims more than was recorded: a fork is "the first among the events recorded",
what was not measured is said to be so, and different inputs are named before any arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from forkpoint.compare import DIFFERING, JUDGED
from forkpoint.model import Comparison, PlainDifference, ReasonKind, Step, Verdict
from forkpoint.report.forks import differing, fork_sentences
from forkpoint.report.premises import neutral_sentence, other_sequences, premises, sequence_sentence
from forkpoint.report.watched import unlike_calls, watched_sentences
from forkpoint.report.words import (
    LONG_NAME,
    VERDICTS,
    counted,
    every,
    number,
    operator,
    plain,
    ranges,
    shorten,
    ulp,
)


def headline(comparison: Comparison) -> str:
    """The verdict, what it counts, and the first fork, in two or three sentences."""
    return " ".join((verdict_sentence(comparison), *lead_sentences(comparison)))


def verdict_sentence(comparison: Comparison) -> str:
    """The verdict in plain words and what it counts; that other operators ran is said first."""
    if comparison.verdict in JUDGED:
        said = _outputs(comparison)
        other = other_sequences(comparison)
        if other:
            total = counted(len(comparison.steps), "step")
            said = f"other operators or modules ran in {other:,} of {total}; {said}"
    else:
        said = _premise(comparison)
    return plain(f"{VERDICTS[comparison.verdict]}: {said}")


def lead_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Other operators, then the diagnosis or the first fork, where outputs were compared."""
    if comparison.verdict not in JUDGED:
        return ()
    found = comparison.explanation if comparison.verdict in DIFFERING else ()
    if not (found and comparison.origins):
        found = (*fork_sentences(comparison), *found)
    said = (
        *sequence_sentence(comparison),
        *_values(comparison.steps),
        *found,
        *_inner(comparison.steps),
    )
    return tuple(plain(sentence) for sentence in said)


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """What is found beyond the headline: premises first, then sizes, then what it rests on."""
    found = (
        *premises(comparison),
        *_so_far(comparison),
        *_sizes(comparison),
        *_by_shape(comparison),
        *watched_sentences(comparison.watched),
        neutral_sentence(comparison),
        coverage_sentence(comparison),
    )
    said = {_premise(comparison)} if comparison.verdict not in JUDGED else set()
    told = (sentence for sentence in found if _lower_first(sentence) not in said)
    return tuple(plain(sentence) for sentence in dict.fromkeys(told))


def coverage_sentence(comparison: Comparison) -> str:
    """How much was recorded, and how finely."""
    coverage = comparison.coverage
    op_level = coverage.op_level_steps
    text = f"Compared {counted(coverage.steps, 'step')} and {counted(coverage.events, 'event')}"
    if op_level and len(op_level) == coverage.steps:
        text += "; every step was recorded operator by operator"
    elif op_level:
        text += f"; {counted(len(op_level), 'step')} recorded operator by operator"
        text += f" ({'step' if len(op_level) == 1 else 'steps'} {ranges(op_level, limit=6)})"
    else:
        text += "; no step was recorded operator by operator"
    text += f"; tensors measured in {counted(len(coverage.measured_steps), 'step')}."
    if coverage.uncovered:
        text += f" {counted(len(coverage.uncovered), 'thing')} that ran could not be seen."
    return text


def verdict_counts(verdicts: Mapping[str, int]) -> str:
    """``divergent``, or where a group disagrees ``divergent 3, identical 1``."""
    spelled = {VERDICTS[Verdict(name)]: many for name, many in verdicts.items() if many}
    if len(spelled) == 1:
        return next(iter(spelled))
    return ", ".join(f"{name} {many:,}" for name, many in spelled.items())


def _outputs(comparison: Comparison) -> str:
    """What the outputs show: those of the steps, results of watched functions, files."""
    parts = [_steps(comparison.steps, comparison)]
    unlike = unlike_calls(comparison.watched)
    if unlike:
        total = counted(len(comparison.watched), "call")
        parts.append(f"{len(unlike):,} of {total} of watched functions gave other results")
    if any(one.verdict is not Verdict.IDENTICAL for one in comparison.artifacts):
        parts.append("files that the runs wrote differ")
    text = "; ".join(parts)
    if comparison.verdict is Verdict.WITHIN_TOLERANCE:
        text += f", all of them within the tolerance '{comparison.tolerance.name}'"
    return f"{text}."


def _steps(steps: Sequence[Step], comparison: Comparison) -> str:
    differ = differing(steps)
    if differ:
        bits = " in bits" if comparison.verdict is Verdict.WITHIN_TOLERANCE else ""
        text = f"{len(differ):,} of {counted(len(steps), 'step')} differ{bits}"
        return text + _beyond(differ, comparison)
    if all(step.verdict is Verdict.IDENTICAL for step in steps):
        return f"in {every(len(steps), 'step')}, the outputs are identical"
    return "no step is known to differ"


def _beyond(differ: Sequence[Step], comparison: Comparison) -> str:
    """How many of the steps that differ do so beyond the tolerance, and how many otherwise."""
    beyond = [step for step in differ if step.verdict is Verdict.DIVERGENT]
    unmeasured = [step for step in beyond if _is_unmeasured(step)]
    other = [step for step in beyond if _is_of_values(step)]
    far = len(beyond) - len(unmeasured) - len(other)
    text = ""
    if comparison.verdict is not Verdict.DIVERGENT or far == len(differ):
        return text
    if far or not (unmeasured or other):
        text += f", {far:,} of them beyond the tolerance '{comparison.tolerance.name}'"
    if other:
        text += f", {len(other):,} in values or structure, which must be equal"
    if unmeasured:
        text += f", {len(unmeasured):,} by an amount that was not measured"
    return text


def _is_of_values(step: Step) -> bool:
    return step.reason_kind in (ReasonKind.STRUCTURE, ReasonKind.PLAIN_VALUES)


def _is_unmeasured(step: Step) -> bool:
    """Whether a step counts as divergent only because an output that differs has no metrics."""
    if _is_of_values(step):
        return False
    outputs = [output for output in step.outputs if not output.equal]
    known = [output.metrics for output in outputs if output.metrics]
    return len(known) < len(outputs) and all(m.close_count == m.count for m in known)


def _premise(comparison: Comparison) -> str:
    found = premises(comparison)
    if found:
        return _lower_first(found[0])
    return {
        Verdict.NOT_COMPARABLE: "not everything could be compared.",
        Verdict.NOT_REPEATABLE: "one environment disagrees with itself.",
    }.get(comparison.verdict, "at least one run did not reach its end.")


def _values(steps: Sequence[Step]) -> Iterator[str]:
    """Outputs that are no tensors and differ, the first of them with what it is."""
    unlike = [
        (step, [value for value in step.values if value.role == "output"])
        for step in differing(steps)
    ]
    unlike = [(step, values) for step, values in unlike if values]
    if unlike:
        step, values = unlike[0]
        named = next((value for value in values if not value.structure), values[0])
        yield (
            f"In {counted(len(unlike), 'step')} an output that is no tensor, or the structure of "
            f"the outputs, is not the same: {_contrast(named)} in step {step.index}."
        )


def _contrast(value: PlainDifference) -> str:
    name = "the structure" if value.structure else shorten(value.name, LONG_NAME) or "a value"
    one, two = (
        "not there" if text is None else shorten(text, LONG_NAME)
        for text in (value.baseline, value.candidate)
    )
    return f"{name} is {one} in the baseline, {two} in the candidate,"


def _inner(steps: Sequence[Step]) -> Iterator[str]:
    """What differs inside of steps whose outputs are identical."""
    found = [step for step in steps if step.inner]
    if not found:
        return
    first = found[0]
    assert first.inner is not None
    where = shorten(first.inner.module or first.module, LONG_NAME)
    if first.inner.op:
        where = f"{shorten(operator(first.inner.op), LONG_NAME)} in {where}"
    yield (
        f"Inside, {first.inner.differing:,} of {counted(first.inner.compared, 'event')} of step "
        f"{first.index} differ, first {where}; its outputs do not show it "
        f"({counted(len(found), 'such step')})."
    )


def _so_far(comparison: Comparison) -> Iterator[str]:
    """Where a run ended early: what the steps that both made show."""
    if comparison.verdict is Verdict.INCOMPLETE and comparison.steps:
        differ = len(differing(comparison.steps))
        made = every(len(comparison.steps), "step")
        yield f"Of {made} that both runs made, {differ:,} differ."
        yield from fork_sentences(comparison)


def _sizes(comparison: Comparison) -> Iterator[str]:
    measured = [
        (output.metrics, step)
        for step in differing(comparison.steps)
        for output in step.outputs
        if output.metrics and not output.metrics.bit_equal
    ]
    if not measured:
        return
    largest, step = max(measured, key=lambda pair: pair[0].max_abs)
    text = f"The largest difference in an output is {number(largest.max_abs)} (step {step.index})"
    near = [metrics.p99_ulp for metrics, _ in measured if metrics.p99_ulp is not None]
    far = [metrics.max_ulp for metrics, _ in measured if metrics.max_ulp is not None]
    if near and far:
        text += f"; in each output measured, 99% of the values lie within {ulp(max(near))} ULP"
        text += f", the farthest lies {ulp(max(far))} ULP apart"
    yield f"{text}."
    nonfinite = sum(metrics.nonfinite_mismatches for metrics, _ in measured)
    if nonfinite:
        yield (
            f"{counted(nonfinite, 'output value')} became NaN or infinite on one side only; "
            "differences count finite pairs."
        )


def _by_shape(comparison: Comparison) -> Iterator[str]:
    """Whether it goes by the shape of inputs; not said where some shape was not compared."""
    if comparison.verdict not in DIFFERING:
        return
    same = {Verdict.IDENTICAL.value}
    chained = {step.index for step in comparison.steps if step.chained}
    rows = [row for row in comparison.shapes if chained.isdisjoint(row.steps)]
    whole = [row for row in rows if set(row.verdicts) <= same]
    part = [row for row in rows if set(row.verdicts) & DIFFERING]
    if whole and part:
        other = len(rows) - len(whole) - len(part)
        text = (
            f"It depends on the input: {len(part):,} of {counted(len(rows), 'shape')} "
            f"differ, {len(whole):,} are identical"
        )
        yield text + (f", {other:,} could not be compared." if other else ".")


def _lower_first(text: str) -> str:
    """Lower the first letter of our own sentences; never touch a name in capitals."""
    starts = ("The ", "An ", "Baseline ", "Recording ", "In ", "Of ", "Other ", "Calls ")
    return text[0].lower() + text[1:] if text.startswith(starts) else text
