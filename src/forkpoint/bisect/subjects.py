"""What is run in every release: op calls, or a script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from forkpoint.bisect.catalogue import CatalogueCall
from forkpoint.bisect.model import Answer, Size
from forkpoint.bisect.results import Place, digest
from forkpoint.environments import Environment
from forkpoint.host import OWN_OPS, Call, Replayed, ReplayedOutput, Rules, replay


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

    @property
    def name(self) -> str:
        """A hash over all that is run."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether outputs are kept, for the next release to be measured against."""
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
        """How far these items moved between two environments, of which one is given."""
        ...

    def row(self, item: str) -> RowKey | None:
        """The row that an item belongs to; None for one of another subject."""
        ...


@dataclass(frozen=True, slots=True)
class Calls:
    """Op calls of the catalogue or of capsules, by the digest of each.

    ``slots`` are the outputs that count, where not all do: a capsule's are those that it recorded.
    """

    title: str
    calls: Mapping[str, Call]
    keys: Mapping[str, RowKey]
    slots: Mapping[str, frozenset[int]] = field(default_factory=dict)
    rules: Rules = OWN_OPS

    @property
    def name(self) -> str:
        """A hash over all calls."""
        return digest(sorted(self.calls))

    @property
    def keeps(self) -> bool:
        """Outputs are kept until the next release was measured."""
        return True

    def complete(self, answers: Mapping[str, Answer]) -> bool:
        """Whether every call has its answer."""
        return self.calls.keys() <= answers.keys()

    def measure(self, environment: Environment, place: Place, control: Path) -> dict[str, Answer]:
        """Replay all calls in one process, and the first of each row in another one."""
        where, device = _device(environment)
        asked = [
            replace(call, id=item, keep=place.kept / item, device=device)
            for item, call in self.calls.items()
        ]
        first = replay(where, asked, control=control / "replay", rules=self.rules)
        again = [
            replace(self.calls[item], id=item, device=device) for item in self._one_of_each_row()
        ]
        second = replay(where, again, control=control / "again", rules=self.rules)
        return {item: self._answer(one, second.get(item)) for item, one in first.items()}

    def sizes(
        self,
        environment: Environment,
        pair: tuple[Place, Place],
        items: Sequence[str],
        control: Path,
    ) -> dict[str, Size]:
        """Measure against the outputs that both environments kept, and against float64.

        The environment gives its own outputs again, so of the distances to what both kept, one
        is 0 and the other is that between the two.
        """
        where, device = _device(environment)
        asked: list[Call] = []
        for item in items:
            kept = tuple(place.kept / item for place in pair)
            if not all(folder.is_dir() for folder in kept):
                continue
            call = replace(self.calls[item], against=kept, device=device)
            asked.append(replace(call, id=f"{item}/pair"))
            asked.append(replace(call, id=f"{item}/truth", as_="float64"))
        rules = self.rules
        found = replay(where, asked, control=control / "sizes", rules=rules) if asked else {}
        return {
            item: self._size(item, found[f"{item}/pair"], found[f"{item}/truth"])
            for item in items
            if f"{item}/pair" in found and f"{item}/truth" in found
        }

    def row(self, item: str) -> RowKey | None:
        """The row of a call."""
        return self.keys.get(item)

    def _one_of_each_row(self) -> list[str]:
        return list({self.keys[item].name: item for item in self.calls}.values())

    def _outputs(self, item: str, one: Replayed) -> list[ReplayedOutput]:
        slots = self.slots.get(item)
        return [output for output in one.outputs if slots is None or output.slot in slots]

    def _answer(self, one: Replayed, again: Replayed | None) -> Answer:
        digests = tuple(output.digest for output in self._outputs(one.id, one))
        repeatable = None
        if again is not None and one.status == "ran":
            repeatable = one.repeatable and again.digests == one.digests
        return Answer(
            status=one.status,
            digests=digests,
            reason=one.reason,
            repeatable=repeatable,
            inputs=one.id,
        )

    def _size(self, item: str, pair: Replayed, truth: Replayed) -> Size:
        moved = [one for output in self._outputs(item, pair) for one in output.metrics]
        sides = [o.metrics for o in self._outputs(item, truth) if len(o.metrics) == 2]
        ulp = _largest(moved, "max_ulp")
        return Size(
            max_abs=_largest(moved, "max_abs"),
            max_ulp=None if ulp is None else int(ulp),
            before_ulp=_largest([old for old, _ in sides], "max_ulp"),
            after_ulp=_largest([new for _, new in sides], "max_ulp"),
        )


def _device(environment: Environment) -> tuple[Environment, str | None]:
    """Where calls are to run, and the environment without that setting: a call names its device."""
    settings = dict(environment.settings)
    device = settings.pop("device", None)
    where = replace(environment, settings=settings)
    return where, "cuda:0" if device == "cuda" else device


def catalogue_subject(calls: Sequence[CatalogueCall]) -> Calls:
    """The catalogue, as something to measure."""
    return Calls(
        title="the catalogue",
        calls={one.digest: Call(id=one.digest, call=one.document) for one in calls},
        keys={
            one.digest: RowKey(name=one.row, op=one.op, dtype=one.dtype, shapes=one.shapes)
            for one in calls
        },
    )


def _largest(many: Sequence[Mapping[str, Any] | None], key: str) -> float | None:
    values = [one[key] for one in many if one is not None and isinstance(one.get(key), int | float)]
    return float(max(values)) if values else None
