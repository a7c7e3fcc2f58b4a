"""Whether the origins are the whole cause: all of them substituted, and what is left."""

from __future__ import annotations

from collections.abc import Sequence

from forkpoint.compare import DIFFERING
from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.lockstep import Lockstep
from forkpoint.diagnose.words import counted
from forkpoint.model import Experiment, Outcome

NAME = "sufficiency"


def sufficiency(case: Case, found: Lockstep, left_out: Sequence[int]) -> Experiment:
    """What the last run in lockstep says of the origins together.

    A step counts as identical only where it was run with them substituted, and everything that it
    returned was read again and is the baseline's.
    """
    baseline, candidate = (bench.name for bench in case.benches)
    unsearched = _differing(case) - set(found.steps) - set(left_out)
    complete = found.complete and not left_out and not unsearched
    return Experiment(
        name=NAME,
        hypothesis="the origins are the whole cause",
        did=f"ran the script in {candidate} with {baseline}'s outputs in place of those of "
        f"{', '.join(found.ops)} (search done in {counted(found.rounds, 'round')})",
        outcome=Outcome.SUPPORTED if complete else Outcome.INCONCLUSIVE,
        evidence="; ".join(_parts(case, found, left_out)),
        whole=not left_out and not unsearched,
    )


def _parts(case: Case, found: Lockstep, left_out: Sequence[int]) -> list[str]:
    baseline = case.benches[0].name
    differing = _differing(case)
    shown = [step for step in found.steps if step in differing]
    hidden = [step for step in found.steps if step not in differing]
    parts = []
    if found.failure:
        parts.append(f"the search ended early: {found.failure}")
    elif shown:
        became = len(found.identical.intersection(shown))
        parts.append(f"{became} of {counted(len(shown), 'step')} became identical to {baseline}")
    if hidden and not found.failure:
        open_ = {call.step for call in found.unexplained} | set(found.drifted)
        closed = len(set(hidden) - open_)
        parts.append(
            f"in {closed} of {counted(len(hidden), 'step')} whose outputs were identical before, "
            "no other op call differs any more"
        )
    if found.missed:
        parts.append(f"{counted(found.missed, 'call')} could not be substituted")
    if found.unexplained:
        parts.append(
            f"{counted(len(found.unexplained), 'op call')} still "
            f"{'differs' if len(found.unexplained) == 1 else 'differ'} for want of equal inputs"
        )
    if found.drifted:
        parts.append(
            f"in {counted(len(found.drifted), 'step')} {baseline} itself gave other bits than "
            "before, observed op by op: nothing is known of them"
        )
    if left_out:
        many = len(left_out)
        parts.append(
            f"{counted(many, 'more step')} {'was' if many == 1 else 'were'} not tried: no room for "
            "their tensors"
        )
    if unsearched := differing - set(found.steps) - set(left_out):
        parts.append(
            f"{counted(len(unsearched), 'more step')} come out otherwise when observed op by op, "
            "so the search cannot look into them"
        )
    return parts


def _differing(case: Case) -> set[int]:
    return {step.index for step in case.comparison.steps if step.verdict in DIFFERING}
