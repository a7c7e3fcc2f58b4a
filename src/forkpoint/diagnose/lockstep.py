"""Finding origins in place: the candidate runs with the baseline's outputs put into it.

The candidate runs again, and after each call of a suspected op, the baseline's output of that
call takes the place of its own. What follows is then given equal inputs, so that whatever still
differs, differs by itself: an op call with equal inputs and other outputs is an origin. Its op
joins the suspects, until a run finds no new one. This is the search for a fork (`git bisect` in
space instead of time), done for all forks at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from forkpoint.compare import (
    DifferingCall,
    OriginKey,
    differing_calls,
    equal_steps,
    unrepeatable_steps,
)
from forkpoint.diagnose.bench import Case
from forkpoint.host import Job, in_turn
from forkpoint.model import Step
from forkpoint.store import Recording

_MOST_ROUNDS = 12
_NOT_SUBSTITUTED = "not substituted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockstep:
    """What the last run in lockstep showed.

    ``ops`` are those whose outputs were substituted: in a run that settled, the origins' and no
    others. ``origins`` are the calls with equal inputs and other outputs, ``unexplained`` calls
    that differ and are not known to have equal inputs. ``identical`` are the steps, out of
    ``steps``, whose outputs, all of them read, became the baseline's bits; ``missed`` counts calls
    that could not be substituted; in ``drifted`` steps the baseline itself gave other bits than in
    its first run, so nothing is known of them. ``capsules`` are the folders (baseline, candidate)
    of captured calls. ``failure`` says why the search ended early, or is empty.
    """

    steps: tuple[int, ...]
    ops: tuple[str, ...]
    origins: tuple[DifferingCall, ...]
    unexplained: tuple[DifferingCall, ...]
    identical: frozenset[int]
    missed: int
    rounds: int
    capsules: tuple[Path, Path]
    drifted: tuple[int, ...] = ()
    failure: str = ""

    @property
    def complete(self) -> bool:
        """Whether substituting the origins made every step identical, and all were reached."""
        doubts = self.failure or self.missed or self.unexplained or self.drifted
        return not doubts and self.identical == frozenset(self.steps)


def lockstep(
    case: Case, first: Sequence[DifferingCall], *, steps: Sequence[int], purpose: str
) -> Lockstep:
    """Search for the origins of some steps, beginning with the calls ``first``.

    Needs at least one call with equal inputs in ``first``. What suspected ops are given is read
    from memory again in each round, so one that looked like an origin by what was remembered of
    its inputs is found out, and is substituted no more. Recordings lie in ``case.scratch`` and are
    removed, but for the capsules of the last round.
    """
    known: tuple[DifferingCall, ...] = tuple(call for call in first if call.is_origin)
    ops = _ops(known)
    cleared: tuple[str, ...] = ()
    found: Lockstep | None = None
    for number in range(1, _MOST_ROUNDS + 1):
        before = found
        found = _round(case, (ops, cleared), known, tuple(steps), (number, purpose))
        if found.failure:
            return _read_again(before, found.failure) if before is not None else found
        guilty = _ops(found.origins)
        # also once more where a call that is to be a capsule was met only in this round
        met = {call.origin for call in known}
        settled = set(guilty) == set(ops) and all(call.origin in met for call in found.origins)
        if settled or not guilty:
            return found
        cleared = tuple(dict.fromkeys((*cleared, *(op for op in ops if op not in guilty))))
        ops = tuple(dict.fromkeys((*(op for op in ops if op in guilty), *guilty)))
        known = found.origins
    assert found is not None
    return _read_again(found, f"the search did not come to rest in {_MOST_ROUNDS} rounds")


def _read_again(found: Lockstep, failure: str) -> Lockstep:
    """A search that ended early: only ops whose inputs were read again stand as origins."""
    origins = tuple(call for call in found.origins if call.op in found.ops)
    return replace(found, origins=origins, failure=failure)


def _ops(calls: Sequence[DifferingCall]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(call.op for call in calls))


def substituted(
    case: Case, ops: tuple[str, ...], steps: Sequence[int], *, purpose: str
) -> frozenset[int] | str:
    """Which steps become identical with the baseline's outputs of these ops; or what failed.

    What a chained step was given must be substituted, too, or it would differ for that alone.
    """
    every = with_sources(case.comparison.steps, steps)
    found = _round(case, (ops, ()), (), every, (1, purpose))
    if found.missed:
        return f"{found.missed} calls could not be substituted"
    if found.drifted:
        return f"the baseline gave other bits than before in {len(found.drifted)} steps"
    return found.failure or found.identical & frozenset(steps)


def with_sources(steps: Sequence[Step], wanted: Sequence[int]) -> tuple[int, ...]:
    """The steps wanted, and all whose outputs these were given, directly or not."""
    found = set(wanted)
    for step in sorted(steps, key=lambda one: one.index, reverse=True):
        if step.index in found:
            found.update(one.from_step for one in step.inputs if one.from_step is not None)
    return tuple(sorted(found))


def representatives(calls: Sequence[DifferingCall]) -> list[DifferingCall]:
    """The first call of each origin."""
    found: dict[OriginKey, DifferingCall] = {}
    for call in calls:
        found.setdefault(call.origin, call)
    return list(found.values())


def _round(
    case: Case,
    about_ops: tuple[tuple[str, ...], tuple[str, ...]],
    known: Sequence[DifferingCall],
    steps: tuple[int, ...],
    about: tuple[int, str],
) -> Lockstep:
    """One run of each side; ``about_ops``: ops to substitute, and others to read the inputs of."""
    ops, cleared = about_ops
    number, purpose = about
    shutil.rmtree(case.scratch, ignore_errors=True)
    folders = case.scratch / "baseline", case.scratch / "candidate"
    plan = _plan(steps, (*ops, *cleared), representatives(known))
    failure = _run(case, ops, (plan, max(steps) + 1), folders, f"{purpose}, round {number}")
    capsules = folders[0] / "capsules", folders[1] / "capsules"
    if failure:
        return Lockstep(
            steps=steps, ops=ops, origins=(), unexplained=(), identical=frozenset(),
            missed=0, rounds=number, capsules=capsules, failure=failure,
        )  # fmt: skip
    with Recording.open(folders[0]) as one, Recording.open(folders[1]) as two:
        drifted = _drifted(case, one, steps)
        sure = [step for step in steps if step not in drifted]
        calls = differing_calls(one, two, steps=sure, tolerance=case.tolerance)
        return Lockstep(
            steps=steps,
            ops=ops,
            origins=tuple(call for call in calls if call.is_origin),
            unexplained=tuple(call for call in calls if not call.is_origin),
            identical=equal_steps(one, two, sure),
            missed=sum(row.count for row in two.uncovered() if row.kind == _NOT_SUBSTITUTED),
            rounds=number,
            capsules=capsules,
            drifted=drifted,
        )


def _drifted(case: Case, baseline: Recording, steps: Sequence[int]) -> tuple[int, ...]:
    """Steps in which the baseline gives other bits than in its first run.

    There it computes otherwise when it is observed op by op, or does not repeat itself.
    """
    with Recording.open(case.first[0]) as first:
        other = set(unrepeatable_steps(first, baseline))
    return tuple(step for step in steps if step in other)


def _run(
    case: Case,
    ops: tuple[str, ...],
    asked: tuple[dict[str, Any], int],
    folders: tuple[Path, Path],
    purpose: str,
) -> str:
    """Record both sides by a plan, up to a step; why that failed, or nothing."""
    plan, stop_after = asked
    one, two = case.benches
    job = Job(recording=folders[0], plan=plan, max_storage=case.room, stop_after=stop_after)
    other = replace(job, recording=folders[1], reference=folders[0], substitute=ops)
    runs = in_turn(
        lambda: one.run(job, purpose=purpose),
        lambda gate: two.run(replace(other, gate=gate), purpose=purpose),
        at_once=case.at_once,
    )
    failures = [run.failure for run in runs if run is not None and run.failure is not None]
    return failures[0].message.partition("\n")[0] if failures else ""


def _plan(
    steps: Sequence[int], ops: Sequence[str], captured: Sequence[DifferingCall]
) -> dict[str, Any]:
    """Every step op by op, with the outputs of the suspected ops and some calls as capsules."""
    picks: dict[str, dict[str, Any]] = {
        str(step): {"level": "op", "store": [], "ops": list(ops)} for step in steps
    }
    for call in captured:
        if str(call.step) in picks:
            wanted = picks[str(call.step)].setdefault("capsules", [])
            wanted.append([call.module, call.op, call.call])
    return {"default": {"level": "bare", "store": []}, "reserve": 0, "steps": picks}
