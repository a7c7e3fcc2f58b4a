"""What a comparison says, in whole sentences; every format starts with these.

Nothing here claims more than was recorded: a fork is "the first among the events recorded",
what was not measured is said to be so, and different inputs are named before any arithmetic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from forkpoint.compare import DIFFERING
from forkpoint.model import Comparison, Fork, Metrics, ShapeRow, Step, Verdict
from forkpoint.report.premises import premises
from forkpoint.report.watched import watched_sentences
from forkpoint.report.words import (
    VERDICTS,
    counted,
    every,
    number,
    place,
    plain,
    ranges,
    ulp,
)

INPUTS_DIFFER = "inputs differ"
"""Said in the place of a fork of steps that were given what earlier ones returned."""

_SAID_BY_COUNTS = DIFFERING | {Verdict.IDENTICAL}
"""Verdicts whose headline counts steps; the headline of any other is its first premise."""


def headline(comparison: Comparison) -> str:
    """The verdict, what it counts, and the first fork, in two or three sentences."""
    return " ".join((verdict_sentence(comparison), *lead_sentences(comparison)))


def verdict_sentence(comparison: Comparison) -> str:
    """The verdict in plain words and what it counts."""
    say = {
        Verdict.IDENTICAL: _identical,
        Verdict.WITHIN_TOLERANCE: _within,
        Verdict.DIVERGENT: _divergent,
    }.get(comparison.verdict, _premise)
    return plain(f"{VERDICTS[comparison.verdict]}: {say(comparison)}")


def lead_sentences(comparison: Comparison) -> tuple[str, ...]:
    """The diagnosis, or else the first fork, where the verdict is one about numbers."""
    if comparison.verdict not in DIFFERING:
        return ()
    found = comparison.explanation
    if not (found and comparison.origins):
        found = (*fork_sentences(comparison), *found)
    return tuple(plain(sentence) for sentence in found)


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """What is found beyond the headline: premises first, then sizes, then what it rests on."""
    said = 0 if comparison.verdict in _SAID_BY_COUNTS else 1
    found = (
        *premises(comparison)[said:],
        *_so_far(comparison),
        *_sizes(comparison),
        *_by_shape(comparison),
        *watched_sentences(comparison.watched),
        neutral_sentence(comparison),
        coverage_sentence(comparison),
    )
    return tuple(plain(sentence) for sentence in found)


def fork_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Where the steps fork: the commonest place for ops, and for modules where no op is known."""
    forked = [step for step in comparison.steps if step.fork]
    by_op = [step for step in forked if step.fork and step.fork.kind == "op"]
    by_module = [step for step in forked if step.fork and step.fork.kind == "module"]
    # "all 3 steps" would be taken for all that differ
    differ = max(len(forked), len(differing(comparison.steps)))
    parts: list[str] = []
    if by_op:
        found = _fork_groups(by_op, differ)
        parts.append(f"The first operator that differs, among the events recorded, is {found}.")
    if by_module:
        lead = (
            "Where operators were not recorded, the first module that returns other bits"
            if by_op
            else "The first module that returns other bits, among the events recorded,"
        )
        parts.append(f"{lead} is {_fork_groups(by_module, differ)}.")
    return tuple(parts)


def neutral_sentence(comparison: Comparison) -> str:
    """Whether recording changed the numbers."""
    neutral = comparison.neutral
    lead = {
        True: "Recording did not change the numbers",
        False: "Recording changed the numbers, so nothing here is reliable",
        None: "Whether recording changes the numbers was not checked",
    }[neutral.equal]
    return f"{lead}: {_sentence(neutral.evidence)}" if neutral.evidence else f"{lead}."


def coverage_sentence(comparison: Comparison) -> str:
    """How much was recorded, and how finely."""
    coverage = comparison.coverage
    op_level = coverage.op_level_steps
    text = f"Compared {counted(coverage.steps, 'step')} and {counted(coverage.events, 'event')}"
    if len(op_level) == coverage.steps:
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


def differing(steps: Iterable[Step]) -> list[Step]:
    """The steps whose numbers differ in at least one bit."""
    return [step for step in steps if step.verdict in DIFFERING]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkGroup:
    """The steps whose fork lies in one place; ``measured`` holds the metrics at hand there."""

    fork: Fork
    root: str
    steps: tuple[int, ...]
    measured: tuple[Metrics, ...]

    @property
    def max_abs(self) -> float | None:
        """The largest difference at the fork, or None where nothing was measured."""
        return max((metrics.max_abs for metrics in self.measured), default=None)

    @property
    def max_ulp(self) -> int | None:
        """The largest ULP distance at the fork."""
        return max((m.max_ulp for m in self.measured if m.max_ulp is not None), default=None)

    @property
    def equal_fraction(self) -> float | None:
        """The smallest share of equal values at the fork."""
        return min((metrics.equal_fraction for metrics in self.measured), default=None)


def fork_groups(steps: Iterable[Step]) -> tuple[ForkGroup, ...]:
    """Forks by place: those of operators first, then the commonest."""
    places: dict[tuple[str, ...], list[tuple[Fork, Step]]] = {}
    for step in steps:
        if step.fork:
            key = (step.module, step.fork.module, step.fork.op or "", step.fork.kind)
            places.setdefault(key, []).append((step.fork, step))
    groups = [
        ForkGroup(
            fork=members[0][0],
            root=members[0][1].module,
            steps=tuple(step.index for _, step in members),
            measured=tuple(fork.metrics for fork, _ in members if fork.metrics),
        )
        for members in places.values()
    ]
    return tuple(sorted(groups, key=lambda g: (g.fork.kind != "op", -len(g.steps), g.steps[0])))


def fork_order(steps: Iterable[Step]) -> list[Step]:
    """The steps that fork; those recorded op by op first, as they say most."""
    forked = [step for step in steps if step.fork]
    return sorted(forked, key=lambda s: (s.fork is None or s.fork.kind != "op", s.index))


def row_fork(row: ShapeRow, by_index: Mapping[int, Step]) -> Fork | None:
    """The fork that speaks for a row of the table by shape: an op's before a module's."""
    steps = fork_order(by_index[index] for index in row.steps if index in by_index)
    return steps[0].fork if steps else None


def row_note(row: ShapeRow, by_index: Mapping[int, Step]) -> str:
    """Why a row of the table by shape has no fork, where there is more to say than that."""
    steps = (by_index[index] for index in row.steps if index in by_index)
    return INPUTS_DIFFER if any(step.chained for step in steps) else ""


def verdict_counts(verdicts: Mapping[str, int]) -> str:
    """``divergent``, or where a group disagrees ``divergent 3, identical 1``."""
    spelled = {VERDICTS[Verdict(name)]: many for name, many in verdicts.items() if many}
    if len(spelled) == 1:
        return next(iter(spelled))
    return ", ".join(f"{name} {many:,}" for name, many in spelled.items())


def _identical(comparison: Comparison) -> str:
    steps = comparison.coverage.steps
    return f"in {every(steps, 'step')}, every event recorded has the same bits."


def _files_alone(comparison: Comparison, how: str) -> str:
    """Where the verdict is that of the files that the runs wrote; empty where it is not."""
    if any(step.verdict is not Verdict.IDENTICAL for step in comparison.steps):
        return ""
    alike = _identical(comparison).removesuffix(".")
    return f"{alike}; files that the runs wrote differ{how}."


def _within(comparison: Comparison) -> str:
    within = f", all of them within the tolerance '{comparison.tolerance.name}'"
    differ = len(differing(comparison.steps))
    return _files_alone(comparison, within) or (
        f"{differ:,} of {counted(len(comparison.steps), 'step')} differ in bits{within}."
    )


def _divergent(comparison: Comparison) -> str:
    if alone := _files_alone(comparison, ""):
        return alone
    differ = differing(comparison.steps)
    total = counted(len(comparison.steps), "step")
    text = f"{len(differ):,} of {total} differ"
    beyond = [step for step in differ if step.verdict is Verdict.DIVERGENT]
    unmeasured = sum(map(_is_unmeasured, beyond))
    if len(beyond) < len(differ) or unmeasured:
        text += f", {len(beyond) - unmeasured:,} of them beyond "
        text += f"the tolerance '{comparison.tolerance.name}'"
    if unmeasured:
        text += f", {unmeasured:,} by an amount that was not measured"
    return f"{text}."


def _is_unmeasured(step: Step) -> bool:
    """Whether a step counts as divergent only because an output that differs has no metrics."""
    outputs = [output for output in step.outputs if not output.equal]
    known = [output.metrics for output in outputs if output.metrics]
    return len(known) < len(outputs) and all(m.close_count == m.count for m in known)


def _premise(comparison: Comparison) -> str:
    found = premises(comparison)
    if found:
        return _lower_first(found[0])
    return {
        Verdict.NOT_COMPARABLE: "the two runs did not do the same work.",
        Verdict.NOT_REPEATABLE: "one environment disagrees with itself.",
    }.get(comparison.verdict, "at least one run did not reach its end.")


def _fork_groups(steps: list[Step], differ: int) -> str:
    """``X (9 steps), Y (3 steps)``; ``X (all 12 steps)`` where no more than these differ."""
    groups = Counter(place(step.fork, step.module) for step in steps if step.fork)
    total = len(steps)
    if len(groups) == 1:
        scope = every(total, "step") if total == differ else counted(total, "step")
        named = f"{next(iter(groups))} ({scope})"
    else:
        common = groups.most_common(3)
        named = ", ".join(f"{name} ({counted(many, 'step')})" for name, many in common)
        if len(groups) > len(common):
            named += f" and {counted(len(groups) - len(common), 'other place')}"
    return named


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
        for step in comparison.steps
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
    if comparison.verdict not in DIFFERING:
        return
    same = {Verdict.IDENTICAL.value}
    chained = {step.index for step in comparison.steps if step.chained}
    rows = [row for row in comparison.shapes if chained.isdisjoint(row.steps)]
    whole = [row for row in rows if set(row.verdicts) <= same]
    part = len(rows) - len(whole)
    if whole and part:
        yield (
            f"It depends on the input: {part:,} of {counted(len(rows), 'shape')} "
            f"differ, {len(whole):,} are identical."
        )


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _lower_first(text: str) -> str:
    """Lower the first letter of our own sentences; never touch a name in capitals."""
    starts = ("The ", "An ", "Baseline ")
    return text[0].lower() + text[1:] if text.startswith(starts) else text
