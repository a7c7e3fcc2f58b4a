"""Putting two passes together: the first saw all steps, the second looked closely at some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from forkpoint.compare import DIFFERING, concluded
from forkpoint.model import Comparison, HeatCell, HeatMap, Neutral, ReasonKind, Step, Verdict

_ABSENT = HeatCell(state="absent")


def refine(first: Comparison, detail: Comparison) -> Comparison:
    """The second pass's verdicts, forks and metrics, over the first pass's modules.

    The second pass holds all steps too, most of them bare: for those the fork is the module
    that the first pass found.
    """
    coarse = {step.index: step for step in first.steps}
    refined = replace(
        detail,
        steps=tuple(_step(coarse.get(step.index), step) for step in detail.steps),
        heat=_heat(first.heat, detail.heat),
        weights_equal=False if detail.weights_equal is False else first.weights_equal,
        weights=first.weights or detail.weights,
        weights_omitted=first.weights_omitted or detail.weights_omitted,
        watched=first.watched,
        coverage=replace(
            detail.coverage,
            events=first.coverage.events + detail.coverage.events,
            uncovered=tuple(dict.fromkeys((*first.coverage.uncovered, *detail.coverage.uncovered))),
        ),
        sequences=tuple(dict.fromkeys((*detail.sequences, *first.sequences))),
        reasons=tuple(dict.fromkeys((*first.reasons, *detail.reasons))),
    )
    return concluded(refined)


def unrepeatable(first: Comparison, steps: Mapping[str, Iterable[int]]) -> Comparison:
    """The first pass, with the verdict that some environments disagree with themselves.

    ``steps`` holds, by environment name, the steps that came out otherwise in a second run. Other
    steps that differ are no longer held against the environments.
    """
    named = {name: tuple(found) for name, found in steps.items() if found}
    affected = {step for found in named.values() for step in found}
    reasons = tuple(
        f"{name} does not repeat itself: step {found[0]} gave other bits in a second run "
        f"({len(found)} of {len(first.steps)} steps)."
        for name, found in named.items()
    )
    again = "A second run in the same environment gave other bits."
    other = (
        f"{_joined(named)} {'does' if len(named) == 1 else 'do'} not repeat "
        f"{'itself' if len(named) == 1 else 'themselves'} in other steps, so what differs here "
        "proves nothing."
    )
    doubted = replace(
        _doubted(first, affected, (Verdict.NOT_REPEATABLE, again), other),
        unrepeatable=tuple(named),
        reasons=(*reasons, *first.reasons),
    )
    return concluded(doubted)


def unneutral(first: Comparison, steps: Mapping[str, Iterable[int]]) -> Comparison:
    """The comparison, with the verdict that recording changed the numbers: nothing is compared.

    ``steps`` holds, by environment name, the steps that come out otherwise where nobody records
    them.
    """
    named = {name: tuple(found) for name, found in steps.items() if found}
    affected = {step for found in named.values() for step in found}
    reasons = tuple(
        f"Recording changes the numbers in {name}: run without it, twice, "
        f"{len(found)} of {len(first.steps)} steps came out otherwise, the first is step "
        f"{found[0]}. What was recorded is not what the script computes by itself."
        for name, found in named.items()
    )
    changed = "Recording changed its numbers, so it cannot be compared."
    other = "Recording changed the numbers of other steps, so what differs here proves nothing."
    doubted = _doubted(first, affected, (Verdict.NOT_COMPARABLE, changed), other)
    return concluded(replace(doubted, reasons=(*reasons, *first.reasons)))


def changed_by_ops(comparison: Comparison, steps: Iterable[int]) -> Comparison:
    """The comparison, saying which steps come out otherwise when they are observed op by op."""
    wanted = set(steps)
    return replace(
        comparison,
        steps=tuple(
            replace(step, changed_by_ops=True) if step.index in wanted else step
            for step in comparison.steps
        ),
    )


def both_neutral(found: Mapping[str, Neutral]) -> Neutral:
    """One statement for both environments: the worse of the two, and the evidence of each."""
    values = [neutral.equal for neutral in found.values()]
    equal = False if False in values else (None if None in values else True)
    return Neutral(
        equal=equal,
        evidence="; ".join(f"{name}: {neutral.evidence}" for name, neutral in found.items()),
        covered=min((neutral.covered for neutral in found.values()), default=0),
    )


def _step(coarse: Step | None, fine: Step) -> Step:
    """What the first pass saw inside of a step stands only where the second left it bare."""
    if coarse is None or fine.same_sequence is not None:
        return fine
    fork = coarse.fork if fine.verdict in DIFFERING else None
    inner = coarse.inner if fine.verdict is Verdict.IDENTICAL else None
    return replace(
        fine,
        fork=fine.fork or fork,
        same_sequence=coarse.same_sequence,
        inner=fine.inner or inner,
    )


def _doubted(
    first: Comparison, affected: set[int], said: tuple[Verdict, str], other: str
) -> Comparison:
    """The comparison whose ``affected`` steps get this verdict and reason, and no step differs.

    Steps that differed without being affected cannot be compared, for the reason ``other``.
    """
    verdict, reason = said

    def judged(step: Step) -> Step:
        if step.index in affected:
            return _without_verdict(step, verdict, reason, kind)
        if step.verdict in DIFFERING:
            return _without_verdict(step, Verdict.NOT_COMPARABLE, other, kind)
        return step

    repeated = verdict is Verdict.NOT_REPEATABLE
    kind = ReasonKind.NOT_REPEATED if repeated else ReasonKind.NOT_NEUTRAL
    return replace(first, steps=tuple(map(judged, first.steps)))


def _without_verdict(step: Step, verdict: Verdict, reason: str, kind: ReasonKind) -> Step:
    """The step whose outputs are no longer judged, so that it has no fork either."""
    return replace(
        step,
        verdict=verdict,
        reason=reason,
        reason_kind=kind,
        fork=None,
        inner=None,
        chained=False,
    )


def _joined(names: Iterable[str]) -> str:
    return " and ".join(names)


def _heat(first: HeatMap, detail: HeatMap) -> HeatMap:
    """The first pass's grid; cells of steps that the second pass measured come from there."""
    measured = {
        step: dict(zip(detail.modules, row, strict=True))
        for step, row in zip(detail.steps, detail.cells, strict=True)
    }
    rows = []
    for step, row in zip(first.steps, first.cells, strict=True):
        fine = measured.get(step, {})
        rows.append(
            tuple(
                _finer(cell, fine.get(module, _ABSENT))
                for module, cell in zip(first.modules, row, strict=True)
            )
        )
    return replace(first, cells=tuple(rows))


def _finer(coarse: HeatCell, fine: HeatCell) -> HeatCell:
    return coarse if fine.state == "absent" else fine
