"""The diagnosis: origins, isolation, sufficiency, and what each of them rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from forkpoint.compare import DIFFERING, DifferingCall, OriginKey, differing_calls, largest
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
from forkpoint.diagnose.words import explain
from forkpoint.errors import ForkpointError
from forkpoint.model import Comparison, Experiment, Origin, Outcome
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

_UNEXPLAINED = "unexplained"
"""Op calls that neither lockstep nor replay could judge; it is there only where there are some."""

_MOST_NAMED = 6  # ops that are named before the rest is counted

_ORDER = ("repeatability", *SEARCH, _UNEXPLAINED, *EXPERIMENTS)

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
    are taken in, for in lockstep they are given equal inputs, too. A comparison in which no op call
    is known to differ by itself gets an experiment that says so, and no origin. Raises what the
    environments raise where they cannot be started.
    """
    steps = tuple(s.index for s in case.comparison.steps if s.verdict in DIFFERING)
    seen = _differing(case, steps)
    first = [call for call in seen if call.is_origin]
    if not first:
        experiments = (_no_origin(case.comparison, seen), *unexplained(seen))
        return _explained(case.comparison, (), experiments, None)
    some = to_begin_with(steps, seen, case.room)
    found = lockstep(case, first, steps=some, purpose="searching for origins")
    chosen, left_out = _that_fit(steps, found.origins, found.steps, case.room)
    if set(chosen) > set(some) and not found.failure:
        calls = found.origins or tuple(first)
        found = lockstep(case, calls, steps=chosen, purpose="substituting the origins")
    if not found.origins:
        return _explained(case.comparison, (), (_vanished(found),), None)
    isolated = isolate(case, found)
    origins = _origins(found, isolated, case.folder)
    experiments = (
        _replay(case, origins, isolated),
        _sufficiency(case, found, left_out),
        *unexplained(found.unexplained),
    )
    return _explained(case.comparison, origins, experiments, _propagated(seen, found))


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
    place = alone.folder and alone.folder.relative_to(folder.parent)
    return Origin(
        op=first.op,
        signature=first.signature,
        modules=tuple(dict.fromkeys(call.module for call in calls)),
        shapes=tuple(dict.fromkeys(call.shapes[0] for call in calls if call.shapes)),
        steps=tuple(sorted({call.step for call in calls})),
        metrics=largest(call.metrics for call in calls),
        dtypes=first.dtypes,
        calls=len(calls),
        confirmed=alone.confirmed,
        capsule=None if place is None else place.as_posix(),
    )


def _propagated(seen: Sequence[DifferingCall], found: Lockstep) -> int:
    """How many calls of the second pass differ, and are no origins."""
    origins = {call.place for call in found.origins}
    return sum(call.place not in origins for call in seen)


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


def _no_origin(comparison: Comparison, seen: Sequence[DifferingCall]) -> Experiment:
    if comparison.sequences:
        why = "the operators that ran are not the same, so that is the first thing to explain"
    elif seen:
        first = f"{seen[0].op} in {seen[0].module or 'the model itself'}"
        why = (
            f"of {len(seen)} op calls that differ, none is known to have had equal inputs; the "
            f"first is {first}"
        )
    else:
        why = "no op call that was recorded differs: it happens where ops are not seen"
    return Experiment(
        name="origins",
        hypothesis="some op gives other bits from the same inputs",
        did="compared inputs and outputs of every op call that was recorded",
        outcome=Outcome.INCONCLUSIVE,
        evidence=why,
    )


def unexplained(calls: Sequence[DifferingCall]) -> tuple[Experiment, ...]:
    """Name the ops of which it is not known whether they differ by themselves; none, where none.

    The first of them is where to look: what comes behind it may only pass its difference on.
    """
    if not calls:
        return ()
    open_ = [call for call in calls if call.inputs_equal is not False] or list(calls)
    groups: dict[OriginKey, list[DifferingCall]] = {}
    for call in open_:
        groups.setdefault(call.origin, []).append(call)
    told = [_told_of(group) for group in list(groups.values())[:_MOST_NAMED]]
    if len(groups) > _MOST_NAMED:
        told.append(f"{len(groups) - _MOST_NAMED} more ops")
    behind = len(calls) - len(open_)
    if behind:
        many = "one more op call" if behind == 1 else f"{behind} more op calls"
        told.append(f"{many} had other inputs")
    experiment = Experiment(
        name=_UNEXPLAINED,
        hypothesis="every op call that differs has an origin before it, or is one",
        did="looked for op calls that differ and could be given equal inputs neither in the "
        "running script nor alone",
        outcome=Outcome.INCONCLUSIVE,
        evidence="; ".join(told),
    )
    return (experiment,)


def _told_of(calls: Sequence[DifferingCall]) -> str:
    first = calls[0]
    why = {
        None: "not all of its inputs could be compared",
        True: "its arguments or memory layouts differ",
        False: "its inputs differ, too",
    }[first.inputs_equal]
    place = f"step {first.step}, {first.module or 'the model itself'}"
    kinds = ", ".join(first.dtypes)
    many = f"{len(calls)} calls, the first" if len(calls) > 1 else "one call"
    return f"{first.op} ({kinds}): {many} in {place}; {why}"


def _vanished(found: Lockstep) -> Experiment:
    return Experiment(
        name="origins",
        hypothesis="some op gives other bits from the same inputs",
        did=f"ran the script again, with the baseline's outputs of {', '.join(found.ops)}",
        outcome=Outcome.INCONCLUSIVE,
        evidence=found.failure or "in the runs of the search, no op call differed by itself",
    )


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


def _sufficiency(case: Case, found: Lockstep, left_out: Sequence[int]) -> Experiment:
    baseline, candidate = (bench.name for bench in case.benches)
    total = len(found.steps)
    parts = [f"{len(found.identical)} of {total} steps became identical to {baseline}"]
    if found.failure:
        parts = [f"the run failed: {found.failure}"]
    if found.missed:
        parts.append(f"{found.missed} calls could not be substituted")
    if found.unexplained:
        parts.append(f"{len(found.unexplained)} op calls still differ for want of equal inputs")
    if left_out:
        parts.append(f"{len(left_out)} more steps were not tried: no room for their tensors")
    outcome = Outcome.SUPPORTED if found.complete else Outcome.INCONCLUSIVE
    return Experiment(
        name="sufficiency",
        hypothesis="the origins are the whole cause",
        did=f"ran the script in {candidate} with {baseline}'s outputs in place of those of "
        f"{', '.join(found.ops)} (search done in {found.rounds} "
        f"round{'' if found.rounds == 1 else 's'})",
        outcome=outcome,
        evidence="; ".join(parts),
        whole=not left_out,
    )
