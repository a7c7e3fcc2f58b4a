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

from forkpoint.compare import DifferingCall, OriginKey, differing_calls, equal_steps
from forkpoint.diagnose.bench import Case
from forkpoint.host import Job, in_turn
from forkpoint.model import Step
from forkpoint.store import Recording

_MOST_ROUNDS = 12
_NOT_SUBSTITUTED = "not substituted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockstep:
    """What the last run in lockstep showed.

    ``origins`` are the calls with equal inputs and other outputs, ``unexplained`` calls that
    differ and are not known to have equal inputs. ``identical`` are the steps, out of
    ``steps``, whose outputs became the baseline's bits; ``missed`` counts calls that could not
    be substituted. ``capsules`` are the folders (baseline, candidate) of captured calls.
    ``failure`` says why the search ended early, or is empty.
    """

    steps: tuple[int, ...]
    ops: tuple[str, ...]
    origins: tuple[DifferingCall, ...]
    unexplained: tuple[DifferingCall, ...]
    identical: frozenset[int]
    missed: int
    rounds: int
    capsules: tuple[Path, Path]
    failure: str = ""

    @property
    def complete(self) -> bool:
        """Whether substituting the origins made every step identical, and all were reached."""
        whole = not self.failure and not self.missed and not self.unexplained
        return whole and self.identical == frozenset(self.steps)


def lockstep(
    case: Case, first: Sequence[DifferingCall], *, steps: Sequence[int], purpose: str
) -> Lockstep:
    """Search for the origins of some steps, beginning with the calls ``first``.

    Needs at least one call with equal inputs in ``first``. Recordings lie in ``case.scratch``
    and are removed, but for the capsules of the last round.
    """
    known: tuple[DifferingCall, ...] = tuple(call for call in first if call.is_origin)
    found: Lockstep | None = None
    for number in range(1, _MOST_ROUNDS + 1):
        ops = tuple(dict.fromkeys((*(found.ops if found else ()), *(call.op for call in known))))
        found = _round(case, ops, known, tuple(steps), (number, purpose))
        # also once more where a call that is to be a capsule was met only in this round
        met = {call.origin for call in known}
        if found.failure or all(call.origin in met for call in found.origins):
            return found
        known = found.origins or known
    assert found is not None
    return found


def substituted(
    case: Case, ops: tuple[str, ...], steps: Sequence[int], *, purpose: str
) -> frozenset[int] | str:
    """Which steps become identical with the baseline's outputs of these ops; or what failed.

    What a chained step was given must be substituted, too, or it would differ for that alone.
    """
    every = with_sources(case.comparison.steps, steps)
    found = _round(case, ops, (), every, (1, purpose))
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
    ops: tuple[str, ...],
    known: Sequence[DifferingCall],
    steps: tuple[int, ...],
    about: tuple[int, str],
) -> Lockstep:
    number, purpose = about
    shutil.rmtree(case.scratch, ignore_errors=True)
    folders = case.scratch / "baseline", case.scratch / "candidate"
    plan = _plan(steps, ops, representatives(known))
    failure = _run(case, ops, (plan, max(steps) + 1), folders, f"{purpose}, round {number}")
    capsules = folders[0] / "capsules", folders[1] / "capsules"
    if failure:
        return Lockstep(
            steps=steps, ops=ops, origins=tuple(known), unexplained=(), identical=frozenset(),
            missed=0, rounds=number, capsules=capsules, failure=failure,
        )  # fmt: skip
    with Recording.open(folders[0]) as one, Recording.open(folders[1]) as two:
        calls = differing_calls(one, two, steps=steps, tolerance=case.tolerance)
        return Lockstep(
            steps=steps,
            ops=ops,
            origins=tuple(call for call in calls if call.is_origin),
            unexplained=tuple(call for call in calls if not call.is_origin),
            identical=equal_steps(one, two, steps),
            missed=sum(row.count for row in two.uncovered() if row.kind == _NOT_SUBSTITUTED),
            rounds=number,
            capsules=capsules,
        )


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
