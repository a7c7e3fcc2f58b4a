"""Whether the runs of one environment agree with each other, and if not, why.

A run that records must give the numbers of one that does not. Where two runs disagree, one more
tells whether the environment disagrees with itself or the recording is to blame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from forkpoint.api._passes import Passes
from forkpoint.api._refine import both_neutral
from forkpoint.api._results import AGAIN, BARE, BARE_AGAIN, DETAIL
from forkpoint.compare import changed_by_recording, check_neutral, unrepeatable_steps
from forkpoint.environments import Environment
from forkpoint.host import JobResult
from forkpoint.model import Neutral
from forkpoint_worker.schema import OP

CHEAP = 30.0
"""Seconds of both environments' first runs up to which steps that were never run bare get a run
of their own for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What runs of each environment say about each other.

    ``unrepeatable`` and ``unneutral`` are the steps, by environment, that came out otherwise in a
    run like another one, and in a run without recording. ``by_ops`` are steps that came out
    otherwise only where they were observed op by op.
    """

    neutral: Neutral
    unrepeatable: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unneutral: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    by_ops: frozenset[int] = frozenset()


def by_bare_run(passes: Passes, *, last: int | None = None) -> Checked:
    """Run the whole script in each environment with nothing but steps' outputs looked at.

    With ``last``, up to that step only.
    """
    stop = None if last is None else last + 1
    runs = passes.bare(passes.environments, stop_after=stop)
    environments = dict(zip((run.name for run in runs), passes.environments, strict=True))
    found = [_bare(passes, environments[run.name], run, stop) for run in runs]
    return joined(found, [run.name for run in runs])


def joined(found: Sequence[Checked], names: Sequence[str]) -> Checked:
    """What was found of both environments, in one."""
    return Checked(
        neutral=both_neutral({name: one.neutral for name, one in zip(names, found, strict=True)}),
        unrepeatable={k: v for one in found for k, v in one.unrepeatable.items()},
        unneutral={k: v for one in found for k, v in one.unneutral.items()},
        by_ops=frozenset().union(*(one.by_ops for one in found)),
    )


def by_detail(passes: Passes, *, seconds: float) -> Checked:
    """Hold the second pass of each environment against its first, step by step.

    ``seconds`` are those of the first pass: where that was cheap, the steps that the second pass
    did not leave bare are run so, too.
    """
    names = [environment.name for environment in passes.environments]
    doubts, neutral, closer = {}, {}, set()
    for name in names:
        with passes.runs(name, "", DETAIL) as (one, two):
            doubts[name] = unrepeatable_steps(one, two)
            neutral[name] = check_neutral(one, two)
            closer |= {step.id for step in two.steps() if step.level >= OP}
    if any(doubts.values()):
        return _in_doubt(passes, {k: v for k, v in doubts.items() if v}, closer)
    if closer and (seconds <= CHEAP or any(one.equal is None for one in neutral.values())):
        return _with_rest(by_bare_run(passes, last=max(closer)), neutral)
    return Checked(neutral=both_neutral(neutral))


def _with_rest(bare: Checked, neutral: Mapping[str, Neutral]) -> Checked:
    """The bare run speaks for the steps that it came to, the second pass for the others."""
    if bare.neutral.equal is not True or any(one.equal is None for one in neutral.values()):
        return bare
    total = both_neutral(neutral)
    evidence = f"{bare.neutral.evidence}; in the second pass, {total.evidence}"
    both = Neutral(equal=True, evidence=evidence, covered=max(bare.neutral.covered, total.covered))
    return Checked(neutral=both, unrepeatable=bare.unrepeatable, unneutral=bare.unneutral)


def _in_doubt(passes: Passes, doubts: Mapping[str, tuple[int, ...]], closer: set[int]) -> Checked:
    """Two passes disagree: run the first once more, and then bare."""
    nothing = Neutral(equal=None, evidence="the environments do not repeat themselves")
    unequal: dict[str, tuple[int, ...]] = {}
    for environment in passes.environments:
        steps = doubts.get(environment.name)
        if steps is None:
            continue
        if not closer.intersection(steps):  # no op was looked at where the runs part
            unequal[environment.name] = steps
            continue
        run = passes.again(environment)
        if run.failure is not None:
            unequal[environment.name] = steps
            continue
        with passes.runs(environment.name, "", AGAIN) as (one, two):
            if found := unrepeatable_steps(one, two):
                unequal[environment.name] = found
    if unequal:
        return Checked(neutral=nothing, unrepeatable=unequal)
    bare = by_bare_run(passes)
    return Checked(
        neutral=bare.neutral,
        unrepeatable=bare.unrepeatable,
        unneutral=bare.unneutral,
        by_ops=frozenset(step for found in doubts.values() for step in found),
    )


def _bare(
    passes: Passes, environment: Environment, run: JobResult, stop_after: int | None
) -> Checked:
    """One environment's recorded run beside its bare one."""
    if run.failure is not None:
        why = run.failure.message.partition("\n")[0]
        return Checked(neutral=Neutral(equal=None, evidence=f"the unrecorded run failed ({why})"))
    with passes.runs(run.name, "", BARE) as (observed, bare):
        neutral = check_neutral(observed, bare)
        unequal = unrepeatable_steps(observed, bare)
        steps = len(bare.steps())
    if not unequal:
        return Checked(neutral=neutral)
    (second,) = passes.bare([environment], suffix=BARE_AGAIN, stop_after=stop_after)
    if second.failure is not None:
        failed = Neutral(equal=None, evidence="the second unrecorded run failed")
        return Checked(neutral=failed, unrepeatable={run.name: unequal})
    with passes.runs(run.name, BARE, BARE_AGAIN) as (one, two):
        loose = unrepeatable_steps(one, two)
    if loose:
        said = Neutral(equal=None, evidence="two unrecorded runs do not agree with each other")
        return Checked(neutral=said, unrepeatable={run.name: loose})
    return Checked(
        neutral=changed_by_recording(list(unequal), steps), unneutral={run.name: unequal}
    )
