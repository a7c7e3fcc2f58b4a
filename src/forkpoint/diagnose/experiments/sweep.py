"""Which sizes trigger the difference: an origin's call at other sizes, in both environments.

Each size is tried with several random inputs. A rule of sizes is claimed only where all inputs
of a size agree with each other about whether the sides differ, at every size, and where the
rule then predicts sizes that it was not made from. Where only some of the inputs differ, or
where it changes with the magnitude of the values, values decide, and no rule is claimed.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from forkpoint.diagnose.bench import Case
from forkpoint.diagnose.experiments.categories import Categories
from forkpoint.diagnose.experiments.classes import RowDigests, row_classes
from forkpoint.diagnose.experiments.findings import (
    Findings,
    Pair,
    Sides,
    differ,
    evidence,
    pairs,
    short,
)
from forkpoint.diagnose.experiments.rules import Rule, fit
from forkpoint.diagnose.experiments.variants import (
    Dimension,
    Template,
    dimensions,
    read_template,
)
from forkpoint.host import Call
from forkpoint.model import Experiment, Origin, Outcome, Sweep, SweepPoint

ROUNDS = 6
FRESH = 16
"""Sizes drawn at random, in each round, that a rule has to predict."""

_BASE = (*range(1, 10), 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 256)
_MOST_DIMENSIONS = 4
_ROOM = 30_000_000  # elements that a sweep may fill for one dimension, over all inputs
_LARGEST = 3_000_000  # elements of one call
_MOST_ROWS = 512
_PARTS = 8  # into which the search for a bound divides what is left, in each round


def sweep(case: Case, *, fresh: int = FRESH) -> Findings:
    """Vary each origin's call; its rules go to `Origin.sweeps` and `Origin.rule`."""
    changed, told = {}, []
    for number, origin, pair in pairs(case):
        swept = sweep_call(pair, origin, fresh=fresh)
        rule = summary(swept)
        changed[number] = replace(origin, sweeps=swept, rule=rule)
        told.append(_told(origin, swept))
    ruled = [origin for origin in changed.values() if origin.rule]
    outcome = Outcome.SUPPORTED if ruled and len(ruled) == len(changed) else Outcome.INCONCLUSIVE
    experiment = Experiment(
        name="sweep",
        hypothesis="the sizes of the input decide whether an origin differs",
        did="replayed one call of each origin in both environments at other sizes, each with "
        "several random inputs, and had the simplest rule that fits predict sizes not tried",
        outcome=outcome,
        evidence=evidence(case, told, nothing="no origin could be replayed"),
    )
    return Findings(experiment=experiment, origins=changed)


def sweep_call(pair: Pair, origin: Origin, *, fresh: int = FRESH) -> tuple[Sweep, ...]:
    """All sweeps of one call; none where it cannot be varied."""
    template = read_template(pair.folders[0])
    if template is None:
        return ()
    tracks = _tracks(pair, template, origin)
    others = Categories(template)
    answers = pair.ask(
        [*(call for track in tracks for call in track.first(pair)), *others.calls(pair)],
        purpose="sweeping sizes",
    )
    for track in tracks:
        track.take(answers)
    values = others.values(answers)
    for _ in range(ROUNDS):
        calls = [call for track in tracks for call in track.next(pair, fresh)]
        if not calls:
            break
        answers = pair.ask(calls, purpose="sweeping sizes, trying the rule")
        for track in tracks:
            track.take(answers)
    swept = [track.sweep(values) for track in tracks]
    rows = [track.positions() for track in tracks if track.dimension.rows]
    return tuple(one for one in (*swept, *rows, *others.sweeps()) if one)


def summary(swept: Sequence[Sweep]) -> str | None:
    """One clause for all sweeps of sizes; null where one of them has no rule."""
    sized = [one for one in swept if one.points and not one.points[0].label]
    sized = [one for one in sized if not one.dimension.startswith("row of ")]
    if not sized or any(one.rule is None for one in sized):
        return None
    if all(one.rule == "at every size" for one in sized):
        return "at every size tried"
    rules = [f"{one.rule} of {one.dimension}" for one in sized if one.rule != "at every size"]
    if len(rules) < len(sized):
        rules.append("at every size tried of the others")
    return ", ".join(rules[:-1]) + (" and " if rules[1:] else "") + rules[-1]


@dataclass(slots=True)
class _Track:
    """The sweep of one dimension under way."""

    number: int
    template: Template
    dimension: Dimension
    sizes: list[int]
    results: dict[int, list[bool]] = field(default_factory=dict)
    rows: RowDigests = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    rule: Rule | None = None
    checked: int = 0
    wrong: int = 0
    done: bool = False
    fresh: tuple[int, ...] = ()

    def first(self, pair: Pair) -> list[Call]:
        return self._calls(pair, self.sizes)

    def next(self, pair: Pair, fresh: int) -> list[Call]:
        """Calls at sizes that the rule has to predict; none where it is settled."""
        if self.done:
            return []
        self.rule = None if self.mixed else fit(self._seen())
        if self.rule is None or not self._recorded_fits(self.rule):
            self.done, self.rule = True, None
            return []
        edges = [size for size in _between(self.rule) if size not in self.results]
        self.fresh = () if edges else tuple(self._draw(fresh))
        if not edges and not self.fresh:
            self.done = True  # every size up to the largest was tried
        return self._calls(pair, edges or self.fresh)

    def take(self, answers: dict[str, Sides]) -> None:
        """Note what the calls gave, and whether the rule had predicted it."""
        tried: set[int] = set()
        for name, sides in answers.items():
            track, _, rest = name.partition("/")
            if track != str(self.number):
                continue
            size = int(rest.partition("/")[0])
            self._note(size, sides)
            tried.add(size)
        if self.rule is None or not tried or not self.fresh:
            return
        known = [size for size in self.fresh if size in self.results]
        wrong = [s for s in known if set(self.results[s]) != {self.rule.holds(s)}]
        self.checked, self.wrong = len(known), len(wrong)
        self.done = not wrong

    @property
    def mixed(self) -> int:
        """How many sizes have inputs that differ beside inputs that do not."""
        return sum(len(set(found)) > 1 for found in self.results.values())

    def sweep(self, values: str) -> Sweep | None:
        """What the sweep has shown; ``values`` says that their magnitude matters, or is empty."""
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
        held = self.rule is not None and self.done and not self.wrong and not values
        note = "" if held else self._why_not(values)
        return Sweep(
            dimension=self.dimension.name,
            points=points,
            rule=self.rule.text if held and self.rule else None,
            checked=self.checked if held else 0,
            wrong=self.wrong,
            note=note,
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
        seen = {row: bool(count) for row, count in enumerate(counts)}
        rule = None if mixed else fit(seen)
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

    def _why_not(self, values: str) -> str:
        if self.mixed:
            return (
                f"at {self.mixed} of {len(self.results)} sizes only some of the inputs differ: "
                "values decide there, so no rule of sizes is claimed"
            )
        if values:
            return values
        if not any(any(found) for found in self.results.values()):
            return (
                "the recorded values differ, and random ones differ at no size: values decide, "
                "so no rule of sizes is claimed"
            )
        if self.rule is not None:
            return f"the simplest rule ({self.rule.text}) was not confirmed at sizes not tried yet"
        return "no simple rule fits the sizes tried"

    def _recorded_fits(self, rule: Rule) -> bool:
        """The recorded call differs, so a rule must say that its size does."""
        return rule.holds(self.dimension.size)

    def _seen(self) -> dict[int, bool]:
        return {size: found[0] for size, found in self.results.items()}

    def _draw(self, count: int) -> list[int]:
        """Sizes not tried yet, at random; the same ones each time."""
        top = max(*self.results, 2)
        left = [size for size in range(1, top + 1) if size not in self.results]
        left = [size for size in left if size not in self.refused]
        chance = random.Random(f"{self.dimension.name} {len(self.results)}")  # noqa: S311 - no secret
        room, found = _ROOM, []
        for size in chance.sample(left, min(count, len(left))):
            elements = self.template.elements(self.dimension, size)
            room -= elements * _inputs(elements)
            if room < 0:
                break
            found.append(size)
        return found

    def _calls(self, pair: Pair, sizes: Iterable[int]) -> list[Call]:
        wanted = [size for size in sizes if size not in self.results and size not in self.refused]
        return [
            pair.call(
                f"{self.number}/{size}/{seed}",
                self.template.sized(self.dimension, size, seed),
                rows=self.dimension.rows and size <= _MOST_ROWS,
            )
            for size in wanted
            for seed in range(1, 1 + _inputs(self.template.elements(self.dimension, size)))
        ]

    def _note(self, size: int, sides: Sides) -> None:
        found = differ(sides)
        if found is None:
            self.refused.add(size)
            return
        self.results.setdefault(size, []).append(found)
        rows = [side.outputs[0].rows for side in sides]
        if self.dimension.rows and all(len(one) == size for one in rows):
            self.rows.setdefault(size, []).append((rows[0], rows[1]))


def _tracks(pair: Pair, template: Template, origin: Origin) -> list[_Track]:
    """The dimensions that can be varied, each in the first way in which the op runs."""
    ways = dimensions(template.call, _varying(origin))
    asked = [
        pair.call(f"{number}-{way}/{size}", template.sized(dimension, size, 1))
        for number, options in enumerate(ways)
        for way, dimension in enumerate(options)
        for size in _probes(dimension.size)
    ]
    if not asked:
        return []
    answers = pair.ask(asked, purpose="looking for sizes to vary")
    tracks: list[_Track] = []
    taken: set[tuple[tuple[int, int], ...]] = set()
    for number, options in enumerate(ways):
        for way, dimension in enumerate(options):
            sides = [answers[f"{number}-{way}/{size}"] for size in _probes(dimension.size)]
            if not all(differ(pair_of) is not None for pair_of in sides):
                continue
            if dimension.places not in taken and len(tracks) < _MOST_DIMENSIONS:
                taken.add(dimension.places)
                sizes = _sizes(template, dimension, origin)
                tracks.append(_Track(len(tracks), template, dimension, sizes))
            break
    return tracks


def _probes(size: int) -> tuple[int, int]:
    return size + 1, max(1, size // 2)


def _varying(origin: Origin) -> list[int]:
    """Axes of the first tensor that were not the same in all recorded calls."""
    shapes = [shape for shape in origin.shapes if len(shape) == len(origin.shapes[0])]
    if len(shapes) < 2:
        return []
    return [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]


def _sizes(template: Template, dimension: Dimension, origin: Origin) -> list[int]:
    """Sizes to begin with, as many as the room allows; the recorded one always."""
    recorded = {
        shape[axis]
        for shape in origin.shapes
        for tensor, axis in dimension.places
        if tensor == 0 and axis < len(shape)
    }
    own = dimension.size
    near = {own - 1, own, own + 1, 2 * own}
    order = [own, *sorted(recorded), *_BASE, *sorted(near)]
    room, found = _ROOM, []
    for size in dict.fromkeys(size for size in order if size > 0):
        elements = template.elements(dimension, size)
        need = elements * _inputs(elements)
        if size != own and (need > room or elements > _LARGEST):
            continue
        room -= need
        found.append(size)
    return sorted(found)


def _inputs(elements: int) -> int:
    """How many random inputs a size gets: more where they are cheap."""
    return 16 if elements < 20_000 else 8 if elements < 200_000 else 4 if elements < 10**6 else 2


def _between(rule: Rule) -> list[int]:
    """Some sizes inside of each edge that is not known exactly yet."""
    found = {
        low + (high - low) * part // _PARTS
        for low, high in rule.edges
        if high - low > 1
        for part in range(1, _PARTS)
    }
    return sorted(found)


def _of_rows(text: str) -> str:
    """A rule's words, about rows counted from 0."""
    words = text.replace("at every size", "every row").replace("sizes", "rows")
    return words.replace("size", "row")


def _told(origin: Origin, swept: Sequence[Sweep]) -> str:
    name = short(origin)
    if not swept:
        return f"{name}: could not be run at other sizes"
    parts = []
    for one in swept:
        inputs = sum(point.inputs for point in one.points)
        what = f"{len(one.points)} values, {inputs} inputs"
        if one.rule is None:
            parts.append(f"{one.dimension}: {one.note or 'no rule'} ({what})")
        else:
            checked = f", {one.checked} more predicted rightly" if one.checked else ""
            parts.append(f"{one.dimension}: differs {one.rule} ({what}{checked})")
    return f"{name}: " + "; ".join(parts)
