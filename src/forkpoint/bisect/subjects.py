"""What is run in every release: op calls, or a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from forkpoint.bisect.catalogue import CatalogueCall
from forkpoint.bisect.model import Answer, Size
from forkpoint.bisect.results import Place
from forkpoint.environments import Environment
from forkpoint.host import Call, Replayed, replay


@dataclass(frozen=True, slots=True, kw_only=True)
class RowKey:
    """What a row of the matrix stands for; its items are told apart by their random input."""

    name: str
    op: str
    dtype: str
    shapes: tuple[tuple[int, ...], ...]


class Subject(Protocol):
    """Something that gives answers, item by item, in an environment."""

    @property
    def title(self) -> str:
        """What it is called."""
        ...

    def complete(self, answers: Mapping[str, Answer]) -> bool:
        """Whether these are all the answers there can be."""
        ...

    def measure(self, environment: Environment, place: Place, control: Path) -> dict[str, Answer]:
        """Run it, and keep at ``place`` what the next release is measured against."""
        ...

    def sizes(
        self,
        environment: Environment,
        pair: tuple[Place, Place],
        items: Sequence[str],
        control: Path,
    ) -> dict[str, Size]:
        """How far these items moved between two environments; the second one is given."""
        ...

    def row(self, item: str) -> RowKey | None:
        """The row that an item belongs to; None for one of another subject."""
        ...


@dataclass(frozen=True, slots=True)
class Calls:
    """Op calls of the catalogue or of capsules, by the digest of each."""

    name: str
    calls: Mapping[str, Call]
    keys: Mapping[str, RowKey]

    @property
    def title(self) -> str:
        """What these calls are called together."""
        return self.name

    def complete(self, answers: Mapping[str, Answer]) -> bool:
        """Whether every call has its answer."""
        return self.calls.keys() <= answers.keys()

    def measure(self, environment: Environment, place: Place, control: Path) -> dict[str, Answer]:
        """Replay all calls in one process, and the first of each row in another one."""
        asked = [
            replace(call, id=item, keep=place.kept / item) for item, call in self.calls.items()
        ]
        first = replay(environment, asked, control=control / "replay")
        again = [replace(self.calls[item], id=item) for item in self._one_of_each_row()]
        second = replay(environment, again, control=control / "again")
        return {item: _answer(one, second.get(item)) for item, one in first.items()}

    def sizes(
        self,
        environment: Environment,
        pair: tuple[Place, Place],
        items: Sequence[str],
        control: Path,
    ) -> dict[str, Size]:
        """Measure against the outputs that both environments kept, and against float64."""
        before, after = pair
        asked: list[Call] = []
        for item in items:
            old, new = before.kept / item, after.kept / item
            if not old.is_dir() or not new.is_dir():
                continue
            call = self.calls[item]
            asked.append(replace(call, id=f"{item}/pair", against=(old,)))
            asked.append(replace(call, id=f"{item}/truth", against=(old, new), as_="float64"))
        found = replay(environment, asked, control=control / "sizes") if asked else {}
        return {
            item: _size(found[f"{item}/pair"], found[f"{item}/truth"])
            for item in items
            if f"{item}/pair" in found and f"{item}/truth" in found
        }

    def row(self, item: str) -> RowKey | None:
        """The row of a call."""
        return self.keys.get(item)

    def _one_of_each_row(self) -> list[str]:
        return list({self.keys[item].name: item for item in self.calls}.values())


def catalogue_subject(calls: Sequence[CatalogueCall]) -> Calls:
    """The catalogue, as something to measure."""
    return Calls(
        name="the catalogue",
        calls={one.digest: Call(id=one.digest, call=one.document) for one in calls},
        keys={
            one.digest: RowKey(name=one.row, op=one.op, dtype=one.dtype, shapes=one.shapes)
            for one in calls
        },
    )


def _answer(one: Replayed, again: Replayed | None) -> Answer:
    repeatable = None
    if again is not None and one.status == "ran":
        repeatable = one.repeatable and again.digests == one.digests
    return Answer(status=one.status, digests=one.digests, reason=one.reason, repeatable=repeatable)


def _size(pair: Replayed, truth: Replayed) -> Size:
    moved = [output.metrics[0] for output in pair.outputs if output.metrics]
    old = [output.metrics[0] for output in truth.outputs if len(output.metrics) == 2]
    new = [output.metrics[1] for output in truth.outputs if len(output.metrics) == 2]
    ulp = _largest(moved, "max_ulp")
    return Size(
        max_abs=_largest(moved, "max_abs"),
        max_ulp=None if ulp is None else int(ulp),
        before_ulp=_largest(old, "max_ulp"),
        after_ulp=_largest(new, "max_ulp"),
    )


def _largest(many: Sequence[Mapping[str, Any] | None], key: str) -> float | None:
    values = [one[key] for one in many if one is not None and isinstance(one.get(key), int | float)]
    return float(max(values)) if values else None
