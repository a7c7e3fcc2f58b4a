"""From answers to classes of bits: the matrix, and the changes between neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from forkpoint.bisect.axes import axis_name
from forkpoint.bisect.model import Answer, Change, History, Row, RowChange, Size, Tried
from forkpoint.bisect.subjects import RowKey, Subject

_EQUAL_ULP = 1e-9
"""Distances from the truth that differ by less than this are one distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One release: answers by axis and item, and sizes since the release measured before.

    Without any answers, it was skipped; an axis value that could not run has none of its own.
    """

    tried: Tried
    answers: tuple[Mapping[str, Answer], ...]
    sizes: tuple[Mapping[str, Size], ...]


def matrix(
    subject: Subject, axes: Sequence[Mapping[str, str]], columns: Sequence[Column]
) -> History:
    """The history of these columns; package, machine and time are for the caller to fill in."""
    rows: list[Row] = []
    members: list[tuple[int, tuple[str, ...]]] = []
    for at, axis in enumerate(axes):
        for key, items in _grouped(subject, at, columns).items():
            rows.append(_row(key, axis_name(axis), at, items, columns))
            members.append((at, items))
    changes = _changes(rows, members, columns)
    return History(
        package="",
        subject=subject.title,
        machine={},
        releases=tuple(column.tried for column in columns),
        rows=tuple(rows),
        changes=tuple(changes),
    )


def _grouped(subject: Subject, at: int, columns: Sequence[Column]) -> dict[RowKey, tuple[str, ...]]:
    """The items of each row, in the order in which they were met."""
    items = dict.fromkeys(
        item for column in columns if column.answers for item in column.answers[at]
    )
    found: dict[RowKey, list[str]] = {}
    for item in items:
        key = subject.row(item)
        if key is not None:
            found.setdefault(key, []).append(item)
    return {key: tuple(many) for key, many in found.items()}


def _row(key: RowKey, axis: str, at: int, items: Sequence[str], columns: Sequence[Column]) -> Row:
    names: dict[tuple[object, ...], str] = {}
    cells: list[str | None] = []
    absent: dict[str, str] = {}
    unrepeatable: list[str] = []
    for column in columns:
        if not column.answers:
            cells.append(None)
            continue
        answers = [column.answers[at].get(item) for item in items]
        ran = [one for one in answers if one is not None and one.ran]
        if not ran:
            cells.append(None)
            failure = column.tried.failures.get(axis)
            absent[column.tried.version] = failure or _why(answers)
            continue
        bits = tuple(one.digests if one is not None and one.ran else None for one in answers)
        cells.append(names.setdefault(bits, _letters(len(names))))
        if any(one.repeatable is False for one in ran):
            unrepeatable.append(column.tried.version)
    return Row(
        name=key.name,
        op=key.op,
        dtype=key.dtype,
        shapes=key.shapes,
        axis=axis,
        inputs=len(items),
        cells=tuple(cells),
        absent=absent,
        unrepeatable=tuple(unrepeatable),
    )


def _why(answers: Sequence[Answer | None]) -> str:
    first = next((one for one in answers if one is not None), None)
    if first is None:
        return "not there"
    return first.status if first.reason is None else f"{first.status}: {first.reason[:200]}"


def _letters(number: int) -> str:
    """``a`` to ``z``, then ``aa``."""
    letter = chr(ord("a") + number % 26)
    return letter if number < 26 else _letters(number // 26 - 1) + letter


def _changes(
    rows: Sequence[Row],
    members: Sequence[tuple[int, tuple[str, ...]]],
    columns: Sequence[Column],
) -> list[Change]:
    measured = [at for at, column in enumerate(columns) if column.answers]
    return [_change(rows, members, columns, old, new) for old, new in pairwise(measured)]


def _change(
    rows: Sequence[Row],
    members: Sequence[tuple[int, tuple[str, ...]]],
    columns: Sequence[Column],
    old: int,
    new: int,
) -> Change:
    changed: list[RowChange] = []
    compared = 0
    for row, (axis, items) in zip(rows, members, strict=True):
        if row.unrepeatable:
            continue  # what differs from itself once may do so in every release, by chance unseen
        last = _last(row, new)
        if last is None or row.cells[new] is None:
            continue
        compared += 1
        found = _row_change(row, axis, items, (columns[last], columns[new]))
        if found is not None:
            since = None if last == old else columns[last].tried.version
            earlier = _earlier(row, last, new, columns)
            changed.append(replace(found, returns_to=earlier, since=since))
    pairs = [(row.name, row.cells[old], row.cells[new]) for row in rows]
    return Change(
        before=columns[old].tried.version,
        after=columns[new].tried.version,
        rows=tuple(changed),
        compared=compared,
        appeared=tuple(dict.fromkeys(n for n, one, other in pairs if one is None and other)),
        vanished=tuple(dict.fromkeys(n for n, one, other in pairs if one and other is None)),
    )


def _last(row: Row, new: int) -> int | None:
    """The last column before ``new`` in which the row ran: a gap must not hide a change."""
    return next((at for at in range(new - 1, -1, -1) if row.cells[at] is not None), None)


def _row_change(
    row: Row, axis: int, items: Sequence[str], pair: tuple[Column, Column]
) -> RowChange | None:
    before, after = (column.answers[axis] for column in pair)
    both = [
        item
        for item in items
        if item in before and item in after and before[item].ran and after[item].ran
    ]
    moved = [item for item in both if before[item].digests != after[item].digests]
    if not moved:
        return None
    known = pair[1].sizes[axis] if axis < len(pair[1].sizes) else {}
    sizes = [known[item] for item in moved if item in known]
    old, new = _most(sizes, "before_ulp"), _most(sizes, "after_ulp")
    ulp = _most(sizes, "max_ulp")
    return RowChange(
        name=row.name,
        axis=row.axis,
        inputs=len(both),
        differing=len(moved),
        own=_own(before, after, moved),
        max_abs=_most(sizes, "max_abs"),
        max_ulp=None if ulp is None else int(ulp),
        before_ulp=old,
        after_ulp=new,
        nearer=_nearer(old, new),
    )


def _own(
    before: Mapping[str, Answer], after: Mapping[str, Answer], moved: Sequence[str]
) -> int | None:
    """How many items moved although their inputs are equal; None where no input is known."""
    pairs = [(before[item].inputs, after[item].inputs) for item in moved]
    if all(old is None or new is None for old, new in pairs):
        return None
    return sum(1 for old, new in pairs if old is not None and old == new)


def _most(sizes: Sequence[Size], name: str) -> float | None:
    values = [value for size in sizes if (value := getattr(size, name)) is not None]
    return max(values, default=None)


def _nearer(old: float | None, new: float | None) -> Literal["before", "after", "neither"] | None:
    """Which side's largest distance from float64 is smaller."""
    if old is None or new is None:
        return None
    if abs(old - new) <= _EQUAL_ULP:
        return "neither"
    return "before" if old < new else "after"


def _earlier(row: Row, old: int, new: int, columns: Sequence[Column]) -> str | None:
    """The last release before ``old`` that had the bits of ``new``: a change taken back."""
    same = [at for at in range(old) if row.cells[at] == row.cells[new]]
    return columns[same[-1]].tried.version if same else None
