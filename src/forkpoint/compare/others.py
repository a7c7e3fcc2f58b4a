"""What events took and gave that is no tensor, or could not be read, on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Literal, TypeVar

from forkpoint.compare.pairing import Pairing
from forkpoint.model import PlainDifference, Unread
from forkpoint.store import PlainRow, UnreadRow
from forkpoint_worker.schema import KIND_WEIGHTS, ROLE_IN, STRUCTURE

Places = tuple[int | None, int | None]
"""Positions in the columns of the baseline and of the candidate; None where one has no event."""

_SIDES: tuple[tuple[int, Literal["baseline", "candidate"]], ...] = (
    (0, "baseline"),
    (1, "candidate"),
)
_Key = tuple[bool, str, int]
_Row = TypeVar("_Row", PlainRow, UnreadRow)


class Others:
    """Plain values and unread ones, looked up by event."""

    def __init__(self, pairing: Pairing) -> None:
        self._views = pairing.a, pairing.b

    def differences(self, places: Places, role: int) -> tuple[PlainDifference, ...]:
        """The plain values that are not the same text, the structure of containers first."""
        one, two = (
            _texts(rows, role)
            for rows in (self._rows(self._plain, places, 0), self._rows(self._plain, places, 1))
        )
        return tuple(
            PlainDifference(
                role="input" if role == ROLE_IN else "output",
                name=key[1],
                baseline=one.get(key),
                candidate=two.get(key),
                structure=key[0],
            )
            for key in dict.fromkeys([*one, *two])
            if one.get(key) != two.get(key)
        )

    def known(self, places: Places, role: int) -> bool:
        """Whether both events say what they took or gave that is no tensor (older ones do not)."""
        return all(
            any(row.role == role for row in self._rows(self._plain, places, side))
            for side in (0, 1)
        )

    def unread(self, places: Places, role: int) -> tuple[Unread, ...]:
        """What could not be read of two events, the baseline's first."""
        return tuple(
            Unread(side=side, role=self._called(places, role), name=row.name, why=row.why)
            for at, side in _SIDES
            for row in self._rows(self._unread, places, at)
            if row.role == role
        )

    def unread_names(self, side: int, position: int, role: int) -> frozenset[str]:
        """The names of the values of one event that could not be read."""
        event = int(self._views[side].columns.id[position])
        return frozenset(r.name for r in self._unread[side].get(event, ()) if r.role == role)

    def _called(self, places: Places, role: int) -> Literal["input", "weight", "output"]:
        if role != ROLE_IN:
            return "output"
        kinds = {
            int(view.columns.kind[place])
            for view, place in zip(self._views, places, strict=True)
            if place is not None
        }
        return "weight" if KIND_WEIGHTS in kinds else "input"

    def _rows(
        self, tables: tuple[dict[int, tuple[_Row, ...]], ...], places: Places, side: int
    ) -> tuple[_Row, ...]:
        place = places[side]
        if place is None:
            return ()
        return tables[side].get(int(self._views[side].columns.id[place]), ())

    @cached_property
    def _plain(self) -> tuple[dict[int, tuple[PlainRow, ...]], ...]:
        return tuple(view.recording.plain_by_event() for view in self._views)

    @cached_property
    def _unread(self) -> tuple[dict[int, tuple[UnreadRow, ...]], ...]:
        return tuple(view.recording.unread_by_event() for view in self._views)


def _texts(rows: Iterable[PlainRow], role: int) -> dict[_Key, str]:
    """Texts by what they are called; a name that comes again has a number."""
    found: dict[_Key, str] = {}
    seen: Counter[str] = Counter()
    for row in sorted((row for row in rows if row.role == role), key=lambda row: row.slot):
        found[row.slot == STRUCTURE, row.name, seen[row.name]] = row.text
        seen[row.name] += 1
    return found
