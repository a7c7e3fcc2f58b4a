"""Whether recording changed the numbers, and whether a second run gave the same ones."""

from __future__ import annotations

from forkpoint.compare.pairing import Pairing
from forkpoint.compare.premises import Premises
from forkpoint.model import Neutral
from forkpoint.store import Recording
from forkpoint_worker.schema import BARE


def check_neutral(observed: Recording, bare: Recording) -> Neutral:
    """Compare the outputs of steps that one run recorded and another left bare.

    Both are of one environment and workload. Only steps with equal inputs and weights count.
    ``equal`` is None where there is no such step.
    """
    pairing = Pairing(observed, bare)
    premises = Premises(pairing)
    checked = [
        step
        for step in pairing.steps
        if pairing.a.steps[step].level > BARE == pairing.b.steps[step].level
        and _has_output(pairing, step)
        and premises.reason(step) is None
    ]
    if not checked:
        return Neutral(
            equal=None, evidence="no step was run both with and without recording its modules"
        )
    unequal = [step for step in checked if not _same_output(pairing, step)]
    if unequal:
        return changed_by_recording(unequal, len(checked))
    what = "step returns" if len(checked) == 1 else "steps return"
    total = len(pairing.a.steps)
    of_all = f" of {total:,}" if len(checked) < total else ""
    return Neutral(
        equal=True,
        evidence=f"{len(checked):,}{of_all} {what} the same bits with and without recording",
        covered=len(checked),
    )


def changed_by_recording(steps: list[int], checked: int) -> Neutral:
    """The statement that these steps come out otherwise where nobody records them."""
    return Neutral(
        equal=False,
        evidence=f"step {steps[0]} comes out otherwise when it is recorded "
        f"({len(steps):,} of {checked:,} steps checked)",
        covered=checked,
    )


def unrepeatable_steps(first: Recording, second: Recording) -> tuple[int, ...]:
    """Steps that return other bits in a second run of one environment.

    Steps whose inputs or weights differ between the runs count, too, and those that only one of
    two runs made that went to their ends.
    """
    pairing = Pairing(first, second)
    premises = Premises(pairing)
    alone: set[int] = set()
    if first.manifest.status == second.manifest.status == "completed":
        alone = set(pairing.a.steps) ^ set(pairing.b.steps)
    other = {
        step
        for step in pairing.steps
        if premises.reason(step) is not None
        or (_has_output(pairing, step) and not _same_output(pairing, step))
    }
    return tuple(sorted(other | alone))


def _has_output(pairing: Pairing, step: int) -> bool:
    return step in pairing.a.roots and step in pairing.b.roots


def _same_output(pairing: Pairing, step: int) -> bool:
    a, b = pairing.a, pairing.b
    return a.digest(a.roots[step]) == b.digest(b.roots[step])
