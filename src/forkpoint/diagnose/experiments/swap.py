"""Whether what a watched function returned is the cause of what differs after it.

The candidate runs once more, and the callers of the function are given what the baseline's
recording kept of the same calls (`forkpoint_worker`, ``substitute``). What comes after is then
compared with the baseline again: watched calls, inputs of steps, files, and rankings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from forkpoint.model import Artifact, Comparison, Experiment, Outcome, Verdict, WatchedCall
from forkpoint_worker.schema import NOT_SWAPPED

NAME = "swap"

_NAMED = 4  # things that evidence names before it counts the rest

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Things of one kind that differed before: ``became`` of ``total`` are identical now.

    ``left`` names those that are not, ``broken`` those that were identical before only.
    """

    what: str
    total: int
    became: int
    left: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def untried_swap(functions: Sequence[str], before: Comparison) -> Experiment | None:
    """What is known without a run: nothing to swap, or nothing to compare with; else null."""
    if before.verdict in (Verdict.INCOMPLETE, Verdict.NOT_REPEATABLE):
        return _inconclusive(functions, f"not tried, since the verdict is {before.verdict.value}")
    calls = [call for call in before.watched if call.function in functions]
    if not calls:
        return _inconclusive(functions, "not tried: no call of it was seen")
    if all(call.results_equal for call in calls):
        return _experiment(
            functions,
            Outcome.REFUTED,
            f"the results of {_calls(len(calls))} are equal in both runs: nothing comes from them",
        )
    return None


def failed_swap(functions: Sequence[str], before: Comparison, why: str) -> Experiment:
    """The run with the swapped results did not come to its end."""
    return _inconclusive(functions, f"the run failed: {why}", before)


def judge_swap(functions: Sequence[str], before: Comparison, after: Comparison) -> Experiment:
    """Judge one run of the candidate with the baseline's results of ``functions``.

    ``before`` compares the baseline with the candidate, ``after`` with that run. ``supported``
    where all that differed and comes after the functions became identical, ``refuted`` where
    nothing of it did though every call was swapped. Watched calls that had equal arguments
    before and still differ are not counted: they differ by themselves. Both list every part of
    a file (`Context.every_part` of `forkpoint.artifacts`).
    """
    calls = sum(call.function in functions and call.side != "baseline" for call in after.watched)
    reasons = _not_swapped(functions, after)
    swapped = calls - sum(reasons.values())
    effects, alone = effects_of(functions, before, after)
    told = [f"{swapped:,} of {_calls(calls)} swapped", *_missed(reasons)]
    if swapped:
        told += [*_told(effects), *_alone(alone), *_shares(before, after)]
    outcome = _outcome(effects) if swapped else Outcome.INCONCLUSIVE
    if outcome is Outcome.REFUTED and reasons:
        outcome = Outcome.INCONCLUSIVE
    return _experiment(functions, outcome, "; ".join(told), before, whole=not reasons)


def effects_of(
    functions: Sequence[str], before: Comparison, after: Comparison
) -> tuple[tuple[Effect, ...], int]:
    """What differed after the functions' first call and what became of it, by kind.

    Also the number of watched calls that differ by themselves.
    """
    downstream = _downstream(functions, before.watched)
    now = {(call.function, str(call.call)): call.results_equal for call in after.watched}
    known = {(call.function, str(call.call)): call for call in downstream}
    alone = {
        key
        for key, call in known.items()
        if call.results_equal is False and call.arguments_equal and not now.get(key)
    }
    watched = {key: call.results_equal is not False for key, call in known.items()}
    first = next((c.step for c in before.watched if c.function in functions), -1)
    effects = (
        _effect("watched calls", {k: v for k, v in watched.items() if k not in alone}, now, _call),
        _effect("steps' inputs", _steps(before, first), _steps(after, first), _plain),
        _effect("files or parts of them", _files(before, after), _files(after, before), _part),
        _queries(before, after),
    )
    return tuple(one for one in effects if one.total or one.broken), len(alone)


def _downstream(functions: Sequence[str], calls: Sequence[WatchedCall]) -> list[WatchedCall]:
    numbers = [number for number, call in enumerate(calls) if call.function in functions]
    later = calls[numbers[0] :] if numbers else ()
    return [call for call in later if call.function not in functions]


def _steps(comparison: Comparison, first: int) -> dict[_Key, bool]:
    """Whether the inputs of each step after the first swapped call are the baseline's."""
    return {
        (f"step {step.index}", ""): all(given.equal for given in step.inputs)
        for step in comparison.steps
        if step.index > first
    }


def _files(comparison: Comparison, other: Comparison) -> dict[_Key, bool]:
    """Whether each part of a file, or a file without parts, is identical; no rankings.

    Parts are those that either comparison lists. One that is not listed is identical where the
    whole file is; else nothing is known of it, as files of other layouts are not taken apart.
    """
    both = (*comparison.artifacts, *other.artifacts)
    ranked = {one.path for one in both if one.ranking is not None}
    keys = dict.fromkeys((one.path, one.part) for one in both if one.path not in ranked)
    apart = {path for path, part in keys if part}
    verdicts = {(one.path, one.part): one.verdict for one in comparison.artifacts}
    found: dict[_Key, bool] = {}
    for path, part in keys:
        if not part and path in apart:
            continue
        whole = verdicts.get((path, ""))
        verdict = verdicts.get((path, part), whole if whole is Verdict.IDENTICAL else None)
        if verdict is not None:
            found[path, part] = verdict is Verdict.IDENTICAL
    return found


def _queries(before: Comparison, after: Comparison) -> Effect:
    """Queries in another order than the baseline's: they have no names, only numbers of them."""
    unlike = [
        sum(one.ranking.queries - one.ranking.same_order for one in c.artifacts if one.ranking)
        for c in (before, after)
    ]
    left = (f"{unlike[1]:,} of them",) if unlike[1] else ()
    more = (f"{unlike[1] - unlike[0]:,} more queries",) if unlike[1] > unlike[0] else ()
    became = max(0, unlike[0] - unlike[1])
    return Effect(what="queries' orders", total=unlike[0], became=became, left=left, broken=more)


def _effect(
    what: str,
    before: Mapping[_Key, bool],
    after: Mapping[_Key, bool | None],
    name: Callable[[_Key], str],
) -> Effect:
    unlike = [key for key, equal in before.items() if not equal]
    left = [key for key in unlike if not after.get(key)]
    broken = [key for key, equal in before.items() if equal and after.get(key) is False]
    return Effect(
        what=what,
        total=len(unlike),
        became=len(unlike) - len(left),
        left=tuple(dict.fromkeys(map(name, left))),
        broken=tuple(dict.fromkeys(map(name, broken))),
    )


def _call(key: _Key) -> str:
    return key[0].partition(":")[2]


def _plain(key: _Key) -> str:
    return key[0]


def _part(key: _Key) -> str:
    return f"{key[0]}: {key[1]}" if key[1] else key[0]


def _outcome(effects: Sequence[Effect]) -> Outcome:
    total, became = sum(one.total for one in effects), sum(one.became for one in effects)
    if not total or any(one.broken for one in effects):
        return Outcome.INCONCLUSIVE
    if became == total:
        return Outcome.SUPPORTED
    return Outcome.INCONCLUSIVE if became else Outcome.REFUTED


def _not_swapped(functions: Sequence[str], after: Comparison) -> dict[str, int]:
    """Calls that were not swapped, by the reason."""
    found: dict[str, int] = {}
    for one in after.coverage.uncovered:
        function, _, why = one.detail.partition(": ")
        if one.side == "candidate" and one.kind == NOT_SWAPPED and function in functions:
            found[why] = found.get(why, 0) + one.count
    return found


def _missed(reasons: Mapping[str, int]) -> Iterator[str]:
    for why, count in reasons.items():
        yield f"{_calls(count)} not: {why}"


def _told(effects: Sequence[Effect]) -> Iterator[str]:
    if not any(one.total for one in effects):
        yield "nothing that was seen to differ comes after them"
    for one in effects:
        if one.total:
            left = f" (not {_listed(one.left)})" if one.left else ""
            yield f"{one.became:,} of {one.total:,} {one.what} became identical{left}"
        if one.broken:
            yield f"{_listed(one.broken)} had been identical, and differ now"


def _alone(count: int) -> Iterator[str]:
    if count:
        yield (
            f"{_calls(count)} of watched functions had equal arguments before and still differ: "
            "they differ by themselves, or by what was not seen"
        )


def _shares(before: Comparison, after: Comparison) -> Iterator[str]:
    """How much of a file still differs, where that was measured on both occasions."""
    now = {(one.path, one.part): one for one in after.artifacts}
    told = []
    for one in before.artifacts:
        other = now.get((one.path, one.part))
        if other is None or other.verdict is Verdict.IDENTICAL or not one.changed_fraction:
            continue
        if other.changed_fraction is not None:
            shares = f"{_percent(one)} before, {_percent(other)} now"
            told.append(f"{_part((one.path, one.part))}: {shares}")
    if told:
        yield f"changed values: {_listed(told)}"


def _percent(artifact: Artifact) -> str:
    return f"{100 * (artifact.changed_fraction or 0.0):.3g}%"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _calls(count: int) -> str:
    return f"{count:,} call{'' if count == 1 else 's'}"


def _inconclusive(
    functions: Sequence[str], why: str, before: Comparison | None = None
) -> Experiment:
    return _experiment(functions, Outcome.INCONCLUSIVE, why, before, whole=False)


def _experiment(
    functions: Sequence[str],
    outcome: Outcome,
    evidence: str,
    before: Comparison | None = None,
    *,
    whole: bool = True,
) -> Experiment:
    """``before`` is given where a run was made."""
    names = " and ".join(functions)
    did = ""
    if before is not None:
        baseline, candidate = before.baseline.name, before.candidate.name
        did = f"ran the script in {candidate} with {baseline}'s results of {names} in place of its"
        did += " own, call by call"
    return Experiment(
        name=NAME,
        hypothesis=f"what {names} returns is the cause of what differs after it",
        outcome=outcome,
        evidence=evidence,
        did=did,
        whole=whole,
    )
