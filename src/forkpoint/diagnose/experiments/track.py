"""The sweep of one dimension under way: sizes tried, the rule that fits, and sizes it predicts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from forkpoint.diagnose.experiments.classes import RowDigests, row_classes
from forkpoint.diagnose.experiments.dimensions import Dimension
from forkpoint.diagnose.experiments.findings import Pair, Sides, differ
from forkpoint.diagnose.experiments.rules import Rule, fit
from forkpoint.diagnose.experiments.variants import Template
from forkpoint.host import Call
from forkpoint.model import Sweep, SweepPoint

ROOM = 30_000_000
"""Elements that a sweep may fill for one dimension at a time, over all inputs."""

LARGEST = 3_000_000
"""Elements of one call."""

_MOST_ROWS = 512
_MORE = 24  # further inputs for a size that contradicts a rule
_BEYOND = 4  # times the largest size tried: how far fresh sizes go

Stage = Literal["first", "edges", "fresh", "doubts"]


@dataclass(slots=True)
class Track:
    """One dimension: its results by size (whether the sides differ, for each random input).

    ``counts`` says of a size whether it can be held against the others: where the memory layout
    decides, sizes that make a tensor contiguous cannot.
    """

    number: int
    template: Template
    dimension: Dimension
    sizes: list[int]
    counts: Callable[[int], bool] = lambda _: True
    results: dict[int, list[bool]] = field(default_factory=dict)
    rows: RowDigests = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    rule: Rule | None = None
    checked: int = 0
    wrong: int = 0
    done: bool = False
    stage: Stage = "first"
    asked: tuple[int, ...] = ()

    def first(self, pair: Pair) -> list[Call]:
        """The calls to begin with."""
        return list(self._calls(pair, self.sizes))

    def next(self, pair: Pair, fresh: int) -> list[Call]:
        """Calls at sizes that the rule has to predict; none where it is settled.

        Sizes that contradicted it get more random inputs first: where only some of these
        differ, values decide.
        """
        if self.done:
            return []
        if self.stage == "fresh" and (doubted := self._contradictions()):
            self.stage = "doubts"
            return list(self._calls(pair, doubted, more=_MORE))
        self.rule = None if self.mixed else fit(self.seen())
        if self.rule is None or not self.rule.holds(self.dimension.size):
            self.done, self.rule = True, None
            return []
        edges = [size for size in self.rule.inside() if size not in self.results]
        edges = [size for size in edges if self.counts(size)]
        self.stage = "edges" if edges else "fresh"
        self.asked = tuple(edges or self._draw(fresh))
        if not self.asked:
            self.done = True  # every size up to the largest was tried
        return list(self._calls(pair, self.asked))

    def take(self, answers: Mapping[str, Sides]) -> None:
        """Note what the calls gave, and whether the rule had predicted it."""
        before = len(self.results)
        for name, sides in answers.items():
            track, _, rest = name.partition("/")
            if track == str(self.number):
                self._note(int(rest.partition("/")[0]), sides)
        if self.stage == "fresh" and self.rule is not None and len(self.results) > before:
            known = [size for size in self.asked if size in self.results]
            self.checked, self.wrong = len(known), len(self._contradictions())
            self.done = not self.wrong

    @property
    def mixed(self) -> int:
        """How many sizes have inputs that differ beside inputs that do not."""
        return sum(len(set(found)) > 1 for size, found in self._counted())

    @property
    def held(self) -> bool:
        """Whether there is a rule that has predicted fresh sizes, all of them rightly."""
        return self.rule is not None and self.done and not self.wrong

    def seen(self) -> dict[int, bool]:
        """Whether the sides differ, by size, as far as sizes can be held against each other."""
        return {size: found[0] for size, found in self._counted()}

    def sweep(self, values: str) -> Sweep | None:
        """What the sweep has shown; ``values`` says that they decide, or is empty."""
        if not self.results:
            return None
        classes = [row_classes(self.rows, side) for side in (0, 1)]
        points = tuple(
            SweepPoint(
                size=size,
                inputs=len(found),
                differing=sum(found),
                baseline_class=classes[0].get(size),
                candidate_class=classes[1].get(size),
            )
            for size, found in sorted(self.results.items())
        )
        held = self.held and not values
        return Sweep(
            dimension=self.dimension.name,
            points=points,
            rule=self.rule.text if held and self.rule else None,
            checked=self.checked if held else 0,
            wrong=self.wrong,
            note=self._left_out() if held else self._why_not(values),
        )

    def positions(self) -> Sweep | None:
        """Which rows of the largest recorded-like call differ."""
        sizes = [size for size in self.rows if size <= self.dimension.size] or list(self.rows)
        if not sizes:
            return None
        size = max(sizes)
        tries = [sides for sides in self.rows[size] if len(sides[0]) == len(sides[1]) == size]
        if size < 2 or not tries:
            return None
        counts = [sum(one[row] != two[row] for one, two in tries) for row in range(size)]
        if not any(counts):
            return None
        mixed = any(0 < count < len(tries) for count in counts)
        rule = None if mixed else fit({row: bool(count) for row, count in enumerate(counts)})
        points = tuple(
            SweepPoint(size=row, inputs=len(tries), differing=count)
            for row, count in enumerate(counts)
        )
        return Sweep(
            dimension=f"row of {size}",
            points=points,
            rule=_of_rows(rule.text) if rule else None,
            note="in some rows, only some of the inputs differ: values decide" if mixed else "",
        )

    def _counted(self) -> Iterator[tuple[int, list[bool]]]:
        return ((size, found) for size, found in self.results.items() if self.counts(size))

    def _contradictions(self) -> list[int]:
        """Fresh sizes of which some input is not as the rule said."""
        rule = self.rule
        if rule is None:
            return []
        known = [size for size in self.asked if size in self.results]
        return [size for size in known if set(self.results[size]) != {rule.holds(size)}]

    def _left_out(self) -> str:
        sizes = sorted(size for size in self.results if not self.counts(size))
        if not sizes:
            return ""
        return (
            f"left out: {', '.join(map(str, sizes))}, where the tensor is contiguous in memory, "
            "which is what decides"
        )

    def _why_not(self, values: str) -> str:
        if values:
            return values
        if self.mixed:
            return (
                f"at {self.mixed} of {len(self.results)} sizes only some of the inputs differ: "
                "values decide there, so no rule of sizes is claimed"
            )
        if not self.seen().get(self.dimension.size, True):
            return (
                "random values in the recorded memory differ, and at the same size in memory of "
                "their own they do not: how tensors share memory decides, and no rule of sizes is "
                "claimed"
            )
        if self.rule is not None:
            return f"the simplest rule ({self.rule.text}) was not confirmed at sizes not tried yet"
        return "no simple rule fits the sizes tried"

    def _draw(self, count: int) -> list[int]:
        """Sizes not tried yet, at random, half of them up to the largest; the same each time."""
        top = max(*self.results, 2)
        chance = random.Random(f"{self.dimension.name} {len(self.results)}")  # noqa: S311 - no secret
        within, beyond = range(1, top + 1), range(top + 1, 1 + _BEYOND * top)
        halves = [
            [size for size in part if size not in self.results and size not in self.refused]
            for part in (within, beyond)
        ]
        drawn = [chance.sample(left, min(count, len(left))) for left in halves]
        half = count // 2
        near, far = drawn[0][: max(half, count - len(drawn[1]))], drawn[1]
        room, found = ROOM, []
        for size in (*near, *far[: count - len(near)]):
            cost = self.template.cost({self.dimension: size})
            if cost > LARGEST or not self.counts(size):
                continue
            room -= cost * inputs(cost, many=True)
            if room >= 0:
                found.append(size)
        return found

    def _calls(self, pair: Pair, sizes: Iterable[int], *, more: int = 0) -> Iterator[Call]:
        """Calls at sizes not tried yet, or ``more`` of those that were."""
        for size in sizes:
            if not more and (size in self.results or size in self.refused):
                continue
            tried = len(self.results.get(size, ()))
            cost = self.template.cost({self.dimension: size})
            count = more or inputs(cost, many=self.stage == "fresh")
            for seed in range(1 + tried, 1 + tried + count):
                yield pair.call(
                    f"{self.number}/{size}/{seed}",
                    self.template.sized({self.dimension: size}, seed),
                    rows=self.dimension.rows and size <= _MOST_ROWS,
                )

    def _note(self, size: int, sides: Sides) -> None:
        found = differ(sides)
        if found is None:
            self.refused.add(size)
            return
        self.results.setdefault(size, []).append(found)
        rows = [side.outputs[0].rows for side in sides]
        if self.dimension.rows and all(len(one) == size for one in rows):
            self.rows.setdefault(size, []).append((rows[0], rows[1]))


def inputs(cost: int, *, many: bool = False) -> int:
    """How many random inputs a size gets: more where they are cheap, and to try a rule."""
    if cost < 200_000:
        return (16 if cost < 20_000 else 8) if many else 6
    return 4 if cost < 10**6 else 2


def _of_rows(text: str) -> str:
    """A rule's words, about rows counted from 0."""
    words = text.replace("at every size", "every row").replace("sizes", "rows")
    return words.replace("size", "row")
