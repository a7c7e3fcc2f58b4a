"""Comparing two recordings: `diff`."""

from __future__ import annotations

from dataclasses import dataclass

from forkpoint.compare.measure import Measurer
from forkpoint.compare.pairing import Pairing
from forkpoint.compare.sequences import sequence_differences
from forkpoint.compare.tables import heat_map, shape_rows
from forkpoint.compare.verdicts import Judge, worst
from forkpoint.compare.watched import watched_calls
from forkpoint.model import (
    Comparison,
    Coverage,
    EnvironmentDifference,
    Neutral,
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

    ``specs`` are the two environments as they were asked for; ``reproduce`` is a command.
    """

    specs: tuple[str, str] = ("", "")
    neutral: Neutral = NOT_CHECKED
    reproduce: str = ""


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
    pairing = Pairing(baseline, candidate)
    judge = Judge(pairing, tolerance)
    steps = judge.steps()
    sequences, affected = sequence_differences(pairing)
    reasons = _reasons(pairing, steps, affected)
    return Comparison(
        verdict=_verdict(pairing, steps),
        baseline=_side(baseline, "baseline", context.specs[0], len(pairing.a.steps)),
        candidate=_side(candidate, "candidate", context.specs[1], len(pairing.b.steps)),
        environment=environment_differences(baseline, candidate),
        neutral=context.neutral,
        coverage=_coverage(pairing, steps, tolerance),
        tolerance=tolerance,
        steps=steps,
        shapes=shape_rows(steps),
        heat=heat_map(pairing, steps, Measurer(pairing, tolerance)),
        sequences=sequences,
        weights_equal=judge.premises.weights_equal,
        reasons=reasons,
        watched=watched_calls(pairing, tolerance),
        reproduce=context.reproduce,
    )


def environment_differences(
    baseline: Recording, candidate: Recording
) -> tuple[EnvironmentDifference, ...]:
    """Entries of the fingerprints that are not the same on both sides, by key."""
    one, two = baseline.manifest.fingerprint, candidate.manifest.fingerprint
    return tuple(
        EnvironmentDifference(key=key, baseline=one.get(key), candidate=two.get(key))
        for key in sorted(one.keys() | two.keys())
        if one.get(key) != two.get(key)
    )


def _verdict(pairing: Pairing, steps: tuple[Step, ...]) -> Verdict:
    """The worst of the steps; a run that did not end, or other steps, count as well."""
    verdicts = [step.verdict for step in steps]
    if not (pairing.a.recording.complete and pairing.b.recording.complete):
        verdicts.append(Verdict.INCOMPLETE)
    if pairing.a.steps.keys() != pairing.b.steps.keys():
        verdicts.append(Verdict.NOT_COMPARABLE)
    return worst(verdicts) or Verdict.NOT_COMPARABLE


def _reasons(pairing: Pairing, steps: tuple[Step, ...], affected: int) -> tuple[str, ...]:
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
            found.append(f"The {name} has {more}, from step {extra[0]} on.")
    if not steps:
        found.append("The recordings have no step in common.")
    unlike = [s for s in steps if s.verdict is Verdict.NOT_COMPARABLE and s.reason]
    found += dict.fromkeys(s.reason for s in unlike[:1] if s.reason)
    if len(unlike) > 1:
        total = _count(len(steps), "step")
        found.append(f"In all, {len(unlike):,} of {total} cannot be compared.")
    if affected:
        where = _count(affected, "step")
        found.append(f"The operators or modules that ran are not the same in {where}.")
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
        notes=tuple(_notes(steps, tolerance)),
    )


def _notes(steps: tuple[Step, ...], tolerance: Tolerance) -> list[str]:
    notes = []
    blind = [s for s in steps if s.verdict is Verdict.DIVERGENT and not _measured(s)]
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


def _measured(step: Step) -> bool:
    return all(output.equal or output.metrics for output in step.outputs)
