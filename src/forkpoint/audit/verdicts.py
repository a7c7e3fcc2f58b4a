"""From trials to what is said of a property and of an op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from forkpoint.audit.model import (
    PROPERTIES,
    Break,
    OpRow,
    Property,
    PropertyResult,
    SizeClasses,
    SizeCount,
    Trial,
)


def judge(
    trials: Sequence[Trial], *, asked: Collection[Property], promised: Collection[Property]
) -> tuple[PropertyResult, ...]:
    """What is known of each property, in the order of `PROPERTIES`; of others nothing was asked.

    A property fails where the outputs of one step differ. It holds where at least one variant
    was tried, and the outputs of all were equal. Outputs that could not be matched row by row
    count as not tried.
    """
    return tuple(
        _result(one, [trial for trial in trials if trial.property == one], one in promised)
        if one in asked
        else PropertyResult(
            property=one, verdict="not_tried", promised=False, reason="it was not asked for"
        )
        for one in PROPERTIES
    )


def _result(name: Property, trials: Sequence[Trial], promised: bool) -> PropertyResult:
    tried = [trial for trial in trials if trial.state in ("equal", "differs")]
    if not tried:
        return PropertyResult(
            property=name, verdict="not_tried", promised=promised, reason=_reason(trials)
        )
    failed = [trial for trial in tried if trial.state == "differs"]
    first, times = _first([trial.breaks for trial in failed])
    mixed = [trial for trial in failed if trial.rows == "mixed"]
    mixing, _ = _first([trial.mixing for trial in mixed])
    measured = [trial.metrics for trial in failed if trial.metrics]
    return PropertyResult(
        property=name,
        verdict="fails" if failed else "holds",
        promised=promised,
        tried=len(tried),
        equal=len(tried) - len(failed),
        first=first,
        first_in=times,
        mixed=len(mixed),
        mixing=mixing,
        largest=max(measured, key=lambda one: one.max_abs, default=None),
        sizes=_sizes(tried),
        classes=_classes(tried),
    )


def _sizes(tried: Sequence[Trial]) -> tuple[SizeCount, ...]:
    many = Counter(trial.size for trial in tried if trial.size is not None)
    differing = Counter(trial.size for trial in tried if trial.state == "differs")
    return tuple(
        SizeCount(size=size, tried=many[size], differing=differing[size]) for size in sorted(many)
    )


def _classes(tried: Sequence[Trial]) -> tuple[SizeClasses, ...]:
    """The classes of each step, steps with the same ones together; the most frequent first."""
    by_step: dict[int, list[Trial]] = {}
    for trial in tried:
        by_step.setdefault(trial.step, []).append(trial)
    found: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for step, trials in by_step.items():
        classes = _step_classes(trials)
        if classes:
            found.setdefault(classes, []).append(step)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[1]))
    return tuple(SizeClasses(classes=one, steps=tuple(steps)) for one, steps in ordered)


def _step_classes(trials: Sequence[Trial]) -> tuple[tuple[int, ...], ...]:
    """The sizes of one step by result; empty where a result is not known.

    Trials that are equal to the script's own call are of its class. The others are told apart
    by what they share, which is less than all that they hold: one row of a batch.
    """
    own: set[int] = set()
    others: dict[str, set[int]] = {}
    for trial in trials:
        if trial.size is None or trial.whole_size is None:
            return ()
        own.add(trial.whole_size)
        if trial.state == "equal":
            own.add(trial.size)
        elif trial.shared is None:
            return ()
        else:
            others.setdefault(trial.shared, set()).add(trial.size)
    return tuple(sorted(tuple(sorted(sizes)) for sizes in (own, *others.values())))


def _reason(trials: Sequence[Trial]) -> str:
    """The most frequent reason for which nothing was tried."""
    reasons = Counter(trial.reason or "outputs could not be matched row by row" for trial in trials)
    return reasons.most_common(1)[0][0] if reasons else "no step could be called again"


def _first(many: Sequence[tuple[Break, ...]]) -> tuple[Break | None, int]:
    """The break that comes first in most of the trials, and in how many."""
    firsts = [breaks[0] for breaks in many if breaks]
    if not firsts:
        return None, 0
    (place, times), *_ = Counter((one.op, one.module) for one in firsts).most_common(1)
    return next(one for one in firsts if (one.op, one.module) == place), times


def op_rows(trials: Sequence[Trial]) -> tuple[OpRow, ...]:
    """Each op that breaks a property, those of most trials first."""
    found: dict[str, list[tuple[Trial, Break]]] = {}
    for trial in trials:
        for one in trial.breaks:
            found.setdefault(one.op, []).append((trial, one))
    rows = [_op_row(op, many) for op, many in found.items()]
    return tuple(sorted(rows, key=lambda row: (-sum(row.trials.values()), row.op)))


def _op_row(op: str, many: Sequence[tuple[Trial, Break]]) -> OpRow:
    trials: dict[str, set[int]] = {}
    for trial, _ in many:
        trials.setdefault(trial.property, set()).add(id(trial))
    measured = [one.metrics for _, one in many if one.metrics]
    ulps = [one.max_ulp for one in measured if one.max_ulp is not None]
    return OpRow(
        op=op,
        modules=tuple(dict.fromkeys(one.module for _, one in many)),
        trials={name: len(trials[name]) for name in PROPERTIES if name in trials},
        max_abs=max((one.max_abs for one in measured), default=None),
        max_ulp=max(ulps, default=None),
    )
