"""Comparing two recordings: `diff`."""

from __future__ import annotations

from dataclasses import dataclass

from forkpoint.compare.conclusion import concluded
from forkpoint.compare.environment import environment_differences
from forkpoint.compare.measure import Measurer
from forkpoint.compare.pairing import Pairing
from forkpoint.compare.sequences import sequence_differences
from forkpoint.compare.tables import heat_map
from forkpoint.compare.verdicts import Judge
from forkpoint.compare.watched import watched_calls
from forkpoint.model import (
    Comparison,
    Coverage,
    Neutral,
    ReasonKind,
    Side,
    Step,
    Tolerance,
    Uncovered,
    Verdict,
)
from forkpoint.store import Recording
from forkpoint_worker.schema import OP

NOT_CHECKED = Neutral(equal=None, evidence="no unrecorded run was made")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a comparison reports and recordings do not hold.

    ``specs`` are the two environments as they were asked for; ``reproduce`` is a command. ``like``
    is an earlier recording of the baseline, whose numbers steps get where several threads made
    them.
    """

    specs: tuple[str, str] = ("", "")
    neutral: Neutral = NOT_CHECKED
    reproduce: str = ""
    like: Recording | None = None


def diff(
    baseline: Recording,
    candidate: Recording,
    *,
    tolerance: Tolerance,
    context: Context | None = None,
) -> Comparison:
    """Compare two recordings bit for bit, find the forks, and judge what differs.

    A step's verdict needs equal weights and inputs; where they differ, that is its reason. Inputs
    that earlier steps returned may differ: then the verdict is that of the outputs alone.
    Differences are within tolerance only where they were measured. Raises `RecordingError`
    where a recording turns out to be damaged, or the two have digests of different kinds.
    """
    context = context or Context()
    pairing = Pairing(baseline, candidate, context.like)
    judge = Judge(pairing, tolerance)
    steps = judge.steps()
    weights, omitted = judge.premises.weights()
    unlike = any(step.reason_kind is ReasonKind.WEIGHTS for step in steps)
    found = Comparison(
        verdict=Verdict.NOT_COMPARABLE,  # until all facts are together
        baseline=_side(baseline, "baseline", context.specs[0], len(pairing.a.steps)),
        candidate=_side(candidate, "candidate", context.specs[1], len(pairing.b.steps)),
        environment=environment_differences(baseline, candidate),
        neutral=context.neutral,
        coverage=_coverage(pairing, steps, tolerance),
        tolerance=tolerance,
        steps=steps,
        shapes=(),
        heat=heat_map(pairing, steps, Measurer(pairing, tolerance)),
        sequences=sequence_differences(pairing),
        weights_equal=False if unlike else judge.premises.weights_equal,
        weights=weights,
        weights_omitted=omitted,
        reasons=_reasons(pairing, steps),
        watched=watched_calls(pairing, tolerance),
        reproduce=context.reproduce,
    )
    return concluded(found)


def _reasons(pairing: Pairing, steps: tuple[Step, ...]) -> tuple[str, ...]:
    """What must be known before any number, as whole sentences; the runs' own state first."""
    views = (("baseline", pairing.a), ("candidate", pairing.b))
    found = [
        f"The {name} was not recorded to its end (status {view.recording.manifest.status!r}); "
        f"{_count(len(view.steps), 'step')} of it can be read."
        for name, view in views
        if not view.recording.complete
    ]
    for name, view in views:
        extra = sorted(view.steps.keys() - set(pairing.steps))
        if extra:
            more = _count(len(extra), "more step")
            where = "" if pairing.by_inputs else f", from step {extra[0]} on"
            found.append(f"The {name} has {more}{where}.")
    if not steps:
        found.append("The recordings have no step in common.")
    unlike = [s for s in steps if s.verdict is Verdict.NOT_COMPARABLE and s.reason]
    found += dict.fromkeys(s.reason for s in unlike[:1] if s.reason)
    return tuple(found)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _side(recording: Recording, role: str, spec: str, steps: int) -> Side:
    manifest = recording.manifest
    return Side(
        name=manifest.name or role,
        spec=spec,
        fingerprint=manifest.fingerprint,
        recording=str(recording.path),
        status=manifest.status or "unknown",
        steps=steps,
        complete=recording.complete,
    )


def _coverage(pairing: Pairing, steps: tuple[Step, ...], tolerance: Tolerance) -> Coverage:
    measured = tuple(s.index for s in steps if any(o.metrics for o in s.outputs))
    op_level = tuple(s for s in pairing.steps if pairing.level(s) >= OP)
    uncovered = tuple(
        Uncovered(side=side, kind=row.kind, detail=row.detail, count=row.count)
        for side, view in (("baseline", pairing.a), ("candidate", pairing.b))
        for row in view.recording.uncovered()
    )
    return Coverage(
        steps=len(steps),
        op_level_steps=op_level,
        measured_steps=measured,
        events=min(len(pairing.a.columns), len(pairing.b.columns)),
        uncovered=uncovered,
        notes=tuple(_notes(pairing, steps, tolerance)),
        paired_by="inputs" if pairing.by_inputs else "number",
    )


def _notes(pairing: Pairing, steps: tuple[Step, ...], tolerance: Tolerance) -> list[str]:
    notes = []
    if pairing.by_inputs:
        notes.append(
            "Several threads made the steps, in no fixed order: they are matched by model and "
            "inputs, and have the baseline's numbers."
        )
    blind = [s for s in steps if s.reason_kind is ReasonKind.NOT_MEASURED]
    if blind:
        total = _count(len(steps), "step")
        notes.append(
            f"In {len(blind):,} of {total} the outputs differ and were not measured: "
            "they count as divergent."
        )
    returned = {output.name for step in steps for output in step.outputs}
    unknown = sorted(tolerance.outputs.keys() - returned)
    if unknown:
        notes.append(f"No step returned an output named {', '.join(unknown)}.")
    return notes
