"""The diagnosis: origins, isolation, sufficiency, and what each of them rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from forkpoint.compare import (
    DIFFERING,
    DifferingCall,
    OriginKey,
    Shown,
    differing_calls,
    largest,
)
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments import (
    Findings,
    crop,
    interventions,
    kernels,
    necessity,
    oracle,
    repeatability,
    sweep,
)
from forkpoint.diagnose.isolation import Isolated, isolate
from forkpoint.diagnose.lockstep import Lockstep, lockstep
from forkpoint.diagnose.sufficiency import sufficiency
from forkpoint.diagnose.unexplained import (
    UNEXPLAINED,
    no_origin,
    not_searched,
    unexplained,
    vanished,
)
from forkpoint.diagnose.words import explain
from forkpoint.errors import ForkpointError
from forkpoint.model import Comparison, Experiment, Origin, Outcome, Verdict
from forkpoint.store import Recording

EXPERIMENTS: Mapping[str, Callable[[Case], Findings]] = {
    "repeatability": repeatability,
    "necessity": necessity,
    "oracle": oracle,
    "crop": crop,
    "sweep": sweep,
    "kernels": kernels,
    "interventions": interventions,
}
"""What is tried once origins are known, in this order."""

SEARCH = ("origins", "replay", "sufficiency")
"""The experiments that find the origins: they are done together."""

_WITHOUT_ORIGINS = ("repeatability", "crop")
"""Experiments on the script as it is: they are done where no origin is known, too."""

_ORDER = ("repeatability", *SEARCH, UNEXPLAINED, *EXPERIMENTS)

_BESIDE = ("stages", "swap")
"""Experiments on what comes after the model: they stand at the end, and stay as they are."""

_FEW_MORE = 2
"""The search takes in all steps where they are at most so many times those looked at: a run of
its own for the others would cost more than they do."""


def examine(case: Case, names: Iterable[str]) -> Comparison:
    """The comparison with these experiments done (again) on the origins that it has.

    ``names`` are of `EXPERIMENTS`; they are done in its order. One that fails says so, and the
    others go on.
    """
    comparison = case.comparison
    wanted = set(names)
    for name, experiment in EXPERIMENTS.items():
        if name in wanted and (comparison.origins or name in _WITHOUT_ORIGINS):
            comparison = _with(comparison, _tried(name, experiment, case, comparison))
    return replace(comparison, explanation=explain(comparison))


def _tried(
    name: str, experiment: Callable[[Case], Findings], case: Case, comparison: Comparison
) -> Findings:
    try:
        return experiment(replace(case, comparison=comparison))
    except ForkpointError as failure:
        failed = Experiment(
            name=name,
            hypothesis=(experiment.__doc__ or name).partition("\n")[0],
            outcome=Outcome.INCONCLUSIVE,
            evidence=f"it failed: {failure.message.partition(chr(10))[0]}",
            whole=False,
        )
        return Findings(experiment=failed)


def _with(comparison: Comparison, found: Findings) -> Comparison:
    origins = list(comparison.origins)
    for number, origin in found.origins.items():
        origins[number] = origin
    others = [one for one in comparison.experiments if one.name != found.experiment.name]
    places = {name: place for place, name in enumerate((*_ORDER, *_BESIDE))}
    ordered = sorted((*others, found.experiment), key=lambda one: places[one.name])
    return replace(comparison, origins=tuple(origins), experiments=tuple(ordered))


def diagnose(case: Case) -> Comparison:
    """The comparison with its origins, how they were proven, and the verdict in plain words.

    What `examine` does is not done yet. Steps that cannot be compared are left alone; chained ones
    are taken in, for in lockstep they are given equal inputs, too. Where every step was recorded op
    by op, steps with identical outputs are searched as well, if any of their op calls differs. A
    comparison in which no op call is known to differ by itself gets an experiment that says so, and
    no origin; one in which nothing differs is returned as it is. Raises what the environments raise
    where they cannot be started.
    """
    steps, seen = _to_search(case)
    if not steps:
        return case.comparison
    if reason := _unsearchable(case):
        return _explained(case.comparison, (), (not_searched(reason),), None)
    first = [call for call in seen if call.is_origin]
    if not first:
        experiments = (no_origin(case.comparison, seen), *unexplained(seen))
        return _explained(case.comparison, (), experiments, None)
    some = to_begin_with(steps, seen, case.room)
    found = lockstep(case, first, steps=some, purpose="searching for origins")
    chosen, left_out = _that_fit(steps, found.origins, found.steps, case.room)
    if set(chosen) > set(some) and not found.failure:
        calls = found.origins or tuple(first)
        found = lockstep(case, calls, steps=chosen, purpose="substituting the origins")
    if not found.origins:
        experiments = (vanished(found), *unexplained(found.unexplained))
        return _explained(case.comparison, (), experiments, None)
    isolated = isolate(case, found)
    origins = _origins(found, isolated, case.folder)
    experiments = (
        _replay(case, origins, isolated),
        sufficiency(case, found, left_out),
        *unexplained(found.unexplained),
    )
    return _explained(case.comparison, origins, experiments, _propagated(seen, found))


def _to_search(case: Case) -> tuple[tuple[int, ...], tuple[DifferingCall, ...]]:
    """The steps in which something differs that ops can explain, and the calls that differ there.

    Steps that come out otherwise when they are observed op by op have no calls to go by, but are
    among the steps, so that something is said of them.
    """
    outputs = [s for s in case.comparison.steps if s.verdict in DIFFERING]
    hidden = [
        s.index
        for s in case.comparison.steps
        if s.verdict is Verdict.IDENTICAL and case.first == case.recordings
    ]
    looked = [*(s.index for s in outputs if not s.changed_by_ops), *hidden]
    seen = _differing(case, sorted(looked))
    inside = {call.step for call in seen}
    found = {s.index for s in outputs if not s.changed_by_ops} | inside.intersection(hidden)
    return tuple(sorted(found or {s.index for s in outputs})), seen


def _unsearchable(case: Case) -> str:
    """Why the outputs of calls cannot be put into the other run, or nothing."""
    for path in case.recordings:
        with Recording.open(path) as recording:
            if len({step.thread for step in recording.steps()}) > 1:
                return (
                    "steps ran in several threads, in no fixed order, so what one side computed "
                    "cannot be put into the other's calls"
                )
    return ""


def to_begin_with(
    steps: Sequence[int], seen: Sequence[DifferingCall], room: int
) -> tuple[int, ...]:
    """The steps that the search begins with: all that differ, where those are few more.

    Else those that the second pass looked at op by op, to which the calls ``seen`` belong. All
    only where half of the room (bytes) will do, as the search may come upon more ops.
    """
    looked = tuple(sorted({call.step for call in seen}))
    suspects = {call.op for call in seen if call.is_origin}
    calls = [call for call in seen if call.op in suspects]
    every, left_out = _that_fit(steps, calls, looked, room // 2)
    return looked if left_out or len(every) > _FEW_MORE * len(looked) else every


def _differing(case: Case, steps: Sequence[int]) -> tuple[DifferingCall, ...]:
    with Recording.open(case.recordings[0]) as one, Recording.open(case.recordings[1]) as two:
        return differing_calls(one, two, steps=steps, tolerance=case.tolerance)


def _that_fit(
    steps: Sequence[int], origins: Sequence[DifferingCall], looked: Sequence[int], room: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The steps whose origins' outputs fit into the room, those looked at before; and the others.

    A step is taken to need as much as the neediest of those looked at. They are taken in order,
    so what a chained step was given is among them where the step is.
    """
    needs: dict[int, int] = {}
    for call in origins:
        needs[call.step] = needs.get(call.step, 0) + call.bytes
    most = max(needs.values(), default=0)
    count = len(steps) if not most else min(len(steps), room // most)
    before = [step for step in looked if step in steps]
    order = (*before, *(step for step in steps if step not in set(before)))
    chosen = order[: max(count, len(before))]
    return tuple(sorted(chosen)), tuple(sorted(set(steps) - set(chosen)))


def _origins(
    found: Lockstep, isolated: Mapping[OriginKey, Isolated], folder: Path
) -> tuple[Origin, ...]:
    groups: dict[OriginKey, list[DifferingCall]] = {}
    for call in found.origins:
        groups.setdefault(call.origin, []).append(call)
    return tuple(_origin(calls, isolated[key], folder) for key, calls in groups.items())


def _origin(calls: Sequence[DifferingCall], alone: Isolated, folder: Path) -> Origin:
    first = calls[0]
    spoken = _most([call.shown for call in calls])
    place = alone.folder and alone.folder.relative_to(folder.parent)
    return Origin(
        op=first.op,
        signature=first.signature,
        modules=tuple(dict.fromkeys(call.module for call in calls)),
        shapes=tuple(dict.fromkeys(call.shapes[0] for call in calls if call.shapes)),
        steps=tuple(sorted({call.step for call in calls})),
        metrics=spoken.metrics,
        output=spoken.output if spoken.metrics else "",
        side_only=all(call.shown.side_only for call in calls),
        dtypes=first.dtypes,
        calls=len(calls),
        confirmed=alone.confirmed,
        capsule=None if place is None else place.as_posix(),
    )


def _most(shown: Sequence[Shown]) -> Shown:
    """The output that says most of a group of calls: of a result, before what lies beside one."""
    results = [one for one in shown if not one.side_only] or list(shown)
    most = largest(one.metrics for one in results)
    return next((one for one in results if one.metrics is most), results[0])


def _propagated(seen: Sequence[DifferingCall], found: Lockstep) -> int:
    """How many calls that differed are known to differ no more once origins are substituted."""
    open_ = {call.place for call in (*found.origins, *found.unexplained)}
    known = set(found.steps) - set(found.drifted)
    return sum(call.step in known and call.place not in open_ for call in seen)


def _explained(
    comparison: Comparison,
    origins: tuple[Origin, ...],
    experiments: tuple[Experiment, ...],
    propagated: int | None,
) -> Comparison:
    beside = (one for one in comparison.experiments if one.name in _BESIDE)
    whole = replace(
        comparison, origins=origins, experiments=(*experiments, *beside), propagated=propagated
    )
    return replace(whole, explanation=explain(whole))


def _replay(
    case: Case, origins: Sequence[Origin], isolated: Mapping[OriginKey, Isolated]
) -> Experiment:
    alone = sum(origin.confirmed == "replay" for origin in origins)
    reasons = [
        f"{op} ({', '.join(dtypes)}): {one.reason}" for (op, dtypes), one in isolated.items()
    ]
    outcome = Outcome.SUPPORTED if alone == len(origins) else Outcome.INCONCLUSIVE
    names = " and ".join(bench.name for bench in case.benches)
    return Experiment(
        name="replay",
        hypothesis="each origin differs by itself, outside of the script, too",
        did=f"ran one captured call of each origin alone, twice, in {names}, with the numerics "
        "state of the call",
        outcome=outcome,
        evidence=f"{alone} of {len(origins)} differ alone; " + "; ".join(reasons),
    )
