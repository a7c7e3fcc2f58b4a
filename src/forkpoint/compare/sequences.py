"""Where two steps stop doing the same things."""

from __future__ import annotations

from forkpoint.compare.forks import differing_before
from forkpoint.compare.pairing import Pairing, Positions, StepEvents, View
from forkpoint.model import SequenceDifference, Verdict
from forkpoint_worker.schema import KIND_OP

_SHOWN = 20


def sequence_differences(pairing: Pairing) -> tuple[SequenceDifference, ...]:
    """The distinct differences of op and module sequences, each at its first step.

    A difference holds at most 20 names a side, and counts the others.
    """
    found: dict[tuple[tuple[str, ...], tuple[str, ...]], SequenceDifference] = {}
    for step in pairing.steps:
        if step in pairing.unchanged:
            continue
        events = pairing.events(step)
        if events.alignment.same:
            continue
        difference = _difference(pairing, step, events)
        found.setdefault((difference.only_baseline, difference.only_candidate), difference)
    return tuple(found.values())


def _difference(pairing: Pairing, step: int, events: StepEvents) -> SequenceDifference:
    root = pairing.rows(step)[0].module
    only_a = events.a[events.alignment.only_a]
    only_b = events.b[events.alignment.only_b]
    if len(only_a):
        module = pairing.a.label(int(only_a[0]), root)
        if pairing.a.columns.kind[only_a[0]] == KIND_OP:
            module = pairing.a.recording.event(int(only_a[0])).module or root
    else:
        module = pairing.b.recording.event(int(only_b[0])).module or root
    return SequenceDifference(
        step=step,
        module=module,
        only_baseline=_names(pairing.a, only_a, root),
        only_candidate=_names(pairing.b, only_b, root),
        omitted=(max(0, len(only_a) - _SHOWN), max(0, len(only_b) - _SHOWN)),
        verdict_before=Verdict.DIVERGENT if len(differing_before(events)) else Verdict.IDENTICAL,
    )


def _names(view: View, places: Positions, root: str) -> tuple[str, ...]:
    names = []
    for place in places[:_SHOWN].tolist():
        event = view.recording.event(place)
        module = event.module or root
        names.append(f"{event.op} in {module}" if event.kind == KIND_OP else module)
    return tuple(names)
