"""Op calls that differ and are no origins: why not, and what their inputs miss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from forkpoint.compare import DifferingCall, OriginKey, Unlike
from forkpoint.diagnose.lockstep import Lockstep
from forkpoint.diagnose.words import base_name, counted
from forkpoint.model import Comparison, Experiment, Outcome
from forkpoint_worker.schema import GENERATOR

UNEXPLAINED = "unexplained"
"""Op calls that neither lockstep nor replay could judge; it is there only where there are some."""

_MOST_NAMED = 6  # ops that are named before the rest is counted
_MOST_INPUTS = 3
_OUTSIDE = "was made outside of what was recorded (an attribute, a closure, a file, another thread)"


def no_origin(comparison: Comparison, seen: Sequence[DifferingCall]) -> Experiment:
    """No op call is known to differ by itself: what is known instead."""
    if comparison.sequences:
        why = "the operators that ran are not the same, so that is the first thing to explain"
    elif seen:
        first = seen[0]
        why = (
            f"of {counted(len(seen), 'op call')} that {'differs' if len(seen) == 1 else 'differ'}, "
            f"none is known to compute other bits from equal inputs; the first is "
            f"{base_name(first.op)} in {first.module or 'the model itself'}: {why_not(first)}"
        )
    elif any(step.changed_by_ops for step in comparison.steps):
        why = "observed op by op, the steps that differ come out otherwise, so no op can be named"
    else:
        why = "no op call that was recorded differs: it happens where ops are not seen"
    return _inconclusive("compared inputs and outputs of every op call that was recorded", why)


def not_searched(why: str) -> Experiment:
    """The search cannot be made at all."""
    return _inconclusive("looked at what was recorded", why)


def vanished(found: Lockstep) -> Experiment:
    """What looked like origins did not prove to be any."""
    why = found.failure or "in the runs of the search, no op call differed by itself"
    if not found.failure and found.unexplained:
        first = found.unexplained[0]
        why += (
            f"; {base_name(first.op)} in {first.module or 'the model itself'} seemed to: "
            f"{why_not(first)}"
        )
    return _inconclusive(
        f"ran the script again, with the baseline's outputs of {', '.join(found.ops)}, and read "
        "what those ops are given from memory",
        why,
    )


def _inconclusive(did: str, why: str) -> Experiment:
    return Experiment(
        name="origins",
        hypothesis="some op computes other bits from the same inputs",
        did=did,
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
    told += _more(list(groups))
    behind = len(calls) - len(open_)
    if behind:
        many = "one more op call" if behind == 1 else f"{behind} more op calls"
        told.append(f"{many} had other inputs")
    experiment = Experiment(
        name=UNEXPLAINED,
        hypothesis="every op call that differs has an origin before it, or is one",
        did="looked for op calls that differ and could be given equal inputs neither in the "
        "running script nor alone",
        outcome=Outcome.INCONCLUSIVE,
        evidence="; ".join(told),
    )
    return (experiment,)


def _more(origins: Sequence[OriginKey]) -> Iterator[str]:
    """How many ops were not named; the same op with other dtypes is none more."""
    named = {op for op, _ in origins[:_MOST_NAMED]}
    left = {op for op, _ in origins[_MOST_NAMED:]} - named
    if left:
        yield counted(len(left), "more op")


def _told_of(calls: Sequence[DifferingCall]) -> str:
    first = calls[0]
    place = f"step {first.step}, {first.module or 'the model itself'}"
    kinds = ", ".join(first.dtypes)
    many = f"{len(calls)} calls, the first" if len(calls) > 1 else "one call"
    return f"{first.op} ({kinds}): {many} in {place}; {why_not(first)}"


def why_not(call: DifferingCall) -> str:
    """Why a call that differs is no origin, in one clause."""
    if call.inputs_equal is not True:
        return _of_inputs(call)
    if not call.same_arguments:
        return f"its arguments or memory layouts differ{_of_arguments(call.signature, call.other)}"
    return (
        "it computes nothing, it only puts values elsewhere: its inputs look equal, and were not "
        "seen rightly (or something else wrote to its result)"
    )


def _of_inputs(call: DifferingCall) -> str:
    if any(one.name == GENERATOR and one.equal is False for one in call.unlike):
        return "it draws from a random generator, which is in another state"
    if call.inputs_equal is None:
        return f"not all of its inputs could be compared{_listed(call.unlike)}"
    differing = [one for one in call.unlike if one.equal is False]
    outside = [one for one in differing if one.outside]
    if outside:
        return f"its input {outside[0].name} differs, and {_OUTSIDE}"
    return f"its inputs differ, too{_listed(differing)}"


def _listed(inputs: Sequence[Unlike]) -> str:
    if not inputs:
        return ""
    names = [one.name for one in inputs[:_MOST_INPUTS]]
    left = len(inputs) - len(names)
    more = f" and {left} more" if left else ""
    return f" ({', '.join(names)}{more})"


def _of_arguments(one: str, two: str) -> str:
    """Which arguments are not the same: `` (1e-05 in the baseline, 0.01 in the candidate)``."""
    pairs = zip_longest(_split(one), _split(two), fillvalue="nothing")
    unlike = [(a, b) for a, b in pairs if a != b]
    if not unlike:
        return ""
    told = [f"{a} in the baseline, {b} in the candidate" for a, b in unlike[:_MOST_INPUTS]]
    left = len(unlike) - len(told)
    more = f"; and {left} more" if left else ""
    return f" ({'; '.join(told)}{more})"


def _split(signature: str) -> list[str]:
    """The arguments of a call as it is written, between commas that stand in no bracket."""
    parts, depth, part = [], 0, ""
    for letter in signature.partition("(")[2].removesuffix(")"):
        depth += (letter in "[{(") - (letter in ")}]")
        if letter == "," and not depth:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return [*parts, part.strip()]
