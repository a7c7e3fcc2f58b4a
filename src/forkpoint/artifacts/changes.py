"""Values of text compared one by one: what changed, how many, and where first.

The memory taken is that of both values and one path: places are spelled only where they are
shown, as a key may be as long as the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from forkpoint.artifacts.arrays import MAX_WHERE, share
from forkpoint.artifacts.comparer import Context, Found
from forkpoint.artifacts.numbers import Number, Weighed, weigh
from forkpoint.inert import name
from forkpoint.model import Verdict

LONG = 120
"""Characters of a place, or of a value, that are shown."""

_SIMPLE = re.compile(r"[^\W\d][\w-]*")

Place = tuple["Place | None", str | int]
"""A key or an index, behind the place of what holds it."""

Pair = tuple[Place | None, Any, Any]


class _Label(str):
    """Where a document lies, in words: no key."""

    __slots__ = ()


class Repeated(list[Any]):
    """All values of a key that an object has more than once, in their order."""


@dataclass(slots=True)
class Changes:
    """Counts of values that changed, and the first few of them.

    ``respelled`` counts numbers that are equal and written otherwise.
    """

    context: Context
    total: int = 0
    changed: int = 0
    beyond: int = 0
    respelled: int = 0
    largest: Decimal = Decimal(0)
    where: list[str] = field(default_factory=list)

    def walk(self, path: str, one: Any, two: Any) -> None:
        """Compare two values and all that they hold; ``path`` is where they lie."""
        start: Place | None = (None, _Label(path)) if path else None
        waiting: list[Iterator[Pair]] = [iter([(start, one, two)])]
        while waiting:
            pair = next(waiting[-1], None)
            if pair is None:
                waiting.pop()
            elif inside := self._inside(*pair):
                waiting.append(inside)

    def change(self, path: str, text: str, *, close: bool = False) -> None:
        """Note one value that changed."""
        self.total += 1
        self.changed += 1
        self.beyond += not close
        if len(self.where) < MAX_WHERE:
            self.where.append(f"{_cut(path)}: {text}")

    def number(self, path: str, one: Number, two: Number) -> Weighed:
        """Note two numbers, which are equal in value or have changed; what they weigh."""
        found = weigh(one, two, self.context.tolerance)
        if found.equal:
            self.total += 1
            self.respelled += one != two
        else:
            self.largest = max(self.largest, found.difference)
            self.change(path, contrast(one, two), close=found.close)
        return found

    def found(self) -> Found:
        """All changes as one result."""
        if not self.changed:
            verdict, text = Verdict.IDENTICAL, "every value is equal"
        else:
            verdict = Verdict.DIVERGENT if self.beyond else Verdict.WITHIN_TOLERANCE
            text = f"{share(self.changed / self.total)} of {self.total:,} values changed"
            text += f", numbers by up to {size_of(self.largest)}" if self.largest else ""
        if self.respelled:
            text += f"; {self.respelled:,} equal numbers are written otherwise"
        return Found(
            verdict=verdict,
            summary=text,
            elements=self.total,
            changed_fraction=self.changed / self.total if self.total else 0.0,
            where=tuple(self.where),
        )

    def _inside(self, place: Place | None, one: Any, two: Any) -> Iterator[Pair] | None:
        """The pairs that two containers hold; None for what is no pair of containers."""
        if type(one) is not type(two) or not isinstance(one, dict | list):
            self._leaf(place, one, two)
            return None
        if isinstance(one, dict):
            self._alone(place, (key for key in one if key not in two))
            self._alone(place, (key for key in two if key not in one))
            return (((place, key), one[key], two[key]) for key in one if key in two)
        if len(one) != len(two):
            self._note(place, f"{len(one):,} and {len(two):,} items")
        pairs = enumerate(zip(one, two, strict=False))
        return (((place, number), b, c) for number, (b, c) in pairs)

    def _alone(self, place: Place | None, keys: Iterable[str]) -> None:
        for key in keys:
            self._note((place, key), "only in one file")

    def _leaf(self, place: Place | None, one: Any, two: Any) -> None:
        if type(one) is type(two) and one == two:
            self.total += 1
        elif isinstance(one, Number) and isinstance(two, Number):
            shown = len(self.where) < MAX_WHERE
            self.number(spelled(place) if shown else "", one, two)
        else:
            self._note(place, contrast(one, two))

    def _note(self, place: Place | None, text: str) -> None:
        self.change(spelled(place) if len(self.where) < MAX_WHERE else "", text)


def spelled(place: Place | None) -> str:
    """``.a[1]``, or ``["a b"]`` for a key that is no plain word; long keys by their ends."""
    pieces = []
    while place is not None:
        place, step = place
        if isinstance(step, int):
            pieces.append(f"[{step}]")
        elif isinstance(step, _Label):
            pieces.append(step)
        elif _SIMPLE.fullmatch(step, 0, LONG):
            pieces.append(f".{name(step)}")
        else:
            pieces.append(f'["{_cut(name(_ends(step)))}"]')
    return "".join(reversed(pieces)) or "the value"


def contrast(one: Any, two: Any) -> str:
    """Both values in short; two long texts from where they part."""
    if not (isinstance(one, str) and isinstance(two, str)) or max(len(one), len(two)) <= LONG // 2:
        return f"{_short(one)} and {_short(two)}"
    at = len(os.path.commonprefix((one, two)))  # noqa: RUF071 - of letters
    start = max(0, at - 8)
    shown = (_quoted(text[start : start + LONG // 3], text) for text in (one, two))
    return f"from character {start + 1:,} on {' and '.join(shown)}"


def size_of(value: Decimal) -> str:
    """Three significant digits."""
    return f"{value:.3g}"


def _short(value: Any) -> str:
    if isinstance(value, Repeated):
        return f"a key {len(value):,} times"
    if isinstance(value, list):
        return f"a list of {len(value):,}"
    if isinstance(value, dict):
        return f"an object of {len(value):,}"
    if isinstance(value, str):
        return _quoted(_ends(value), value)
    return {None: "null", True: "true", False: "false"}.get(value, str(value))


def _quoted(shown: str, whole: str) -> str:
    return shown if isinstance(whole, Number) else f"'{shown}'"


def _cut(text: str) -> str:
    return _ends(text, LONG)


def _ends(text: str, limit: int = LONG // 2) -> str:
    """The text, or its ends where it is long."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-(limit // 2) :]}"
