"""Several sizes varied at once: whether the rules of single sizes hold together."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from forkpoint.diagnose.experiments.dimensions import Sizes
from forkpoint.diagnose.experiments.findings import Pair, Sides, differ
from forkpoint.diagnose.experiments.joint_rules import JointRule, Shape, fit_joint
from forkpoint.diagnose.experiments.rules import Rule, fit, inside
from forkpoint.diagnose.experiments.track import LARGEST, Track
from forkpoint.diagnose.experiments.variants import Template
from forkpoint.host import Call
from forkpoint.model import Sweep, SweepPoint

_DRAWN = 96  # shapes drawn at first; half of them have to be predicted
_FRESH = 48
_INPUTS, _MORE = 2, 16
_LEAST = 12  # shapes that have to run before anything is said
_MOST_COST = 150_000  # elements of one call
_MOST_ROUNDS = 6
_LINE = (*range(1, 21), 24, 31, 32, 33, 40, 48, 63, 64, 65)

Stage = Literal["drawn", "edges", "crossed", "fresh", "doubts"]


@dataclass(slots=True)
class Joint:
    """The sizes of several tracks, drawn together at random.

    ``counts`` says whether sizes can be held against the others, as in a track.
    """

    template: Template
    tracks: Sequence[Track]
    counts: Callable[[Sizes], bool]
    results: dict[Shape, list[bool]] = field(default_factory=dict)
    refused: set[Shape] = field(default_factory=set)
    rule: JointRule | None = None
    checked: int = 0
    wrong: int = 0
    done: bool = False
    rounds: int = 0
    stage: Stage | None = None
    asked: tuple[Shape, ...] = ()
    centre: Shape | None = None

    def next(self, pair: Pair) -> list[Call]:
        """Calls at shapes that the rule is made from, or has to predict; none where it is settled.

        Waits until each size alone has a rule.
        """
        if self.done or not all(one.held or one.stage == "fresh" for one in self.tracks):
            return []
        self.rounds += 1
        shapes, more = self._wanted()
        self.asked = tuple(shapes)
        self.done = not self.asked
        return list(self._calls(pair, self.asked, more=more))

    def take(self, answers: Mapping[str, Sides]) -> None:
        """Note what the calls gave, and whether the rule had predicted it."""
        for name, sides in answers.items():
            kind, _, rest = name.partition("/")
            if kind != "joint":
                continue
            shape = tuple(map(int, rest.partition("/")[0].split("x")))
            found = differ(sides)
            if found is None:
                self.refused.add(shape)
            else:
                self.results.setdefault(shape, []).append(found)
        if self.stage == "fresh" and self.rule is not None:
            known = [shape for shape in self.asked if shape in self.results]
            self.checked, self.wrong = len(known), len(self._contradictions(known))
            self.done = bool(known) and not self.wrong

    @property
    def held(self) -> bool:
        """Whether there is a rule that has predicted fresh shapes, all of them rightly."""
        return self.rule is not None and self.done and self.checked > 0 and not self.wrong

    def sweep(self, values: str) -> Sweep | None:
        """What was seen at shapes drawn at random; ``values`` as in a track."""
        if len(self.results) < _LEAST:
            return None
        ordered = sorted(self.results.items(), key=lambda one: (not any(one[1]), one[0]))
        points = tuple(
            SweepPoint(
                size=place,
                inputs=len(found),
                differing=sum(found),
                label=" x ".join(map(str, shape)),
            )
            for place, (shape, found) in enumerate(ordered)
        )
        held = self.held and not values
        names = ", ".join(track.dimension.name.partition(" (")[0] for track in self.tracks)
        return Sweep(
            dimension=f"sizes drawn together: {names}",
            points=points,
            rule=self.rule.text if held and self.rule else None,
            checked=self.checked if held else 0,
            wrong=self.wrong,
            note="" if held else self._why_not(values),
        )

    def _wanted(self) -> tuple[Iterable[Shape], int]:
        """The shapes to try next, and how many more inputs they get where they were tried."""
        if self.stage is None:
            self.stage = "drawn"
            return self._draw(_DRAWN), 0
        if self._mixed() or len(self.results) < _LEAST or self.rounds > _MOST_ROUNDS:
            self.rule = None
            return (), 0
        if self.stage == "fresh" and (doubted := self._contradictions(self.asked)):
            self.stage = "doubts"
            return doubted, _MORE
        if self.stage == "drawn" and self._predicts():
            return (), 0
        self.rule = fit_joint(self._rules(), self._names(), self._seen(), self._crossed())
        if self.rule is None:
            self.stage = "crossed"
            return self._line(), 0
        edges = [shape for shape in self._edges(self.rule) if shape not in self.results]
        self.stage = "edges" if edges else "fresh"
        return edges or self._draw(_FRESH), 0

    def _predicts(self) -> bool:
        """Whether what fits one half of the shapes drawn is right about the other half."""
        known = [shape for shape in self.asked if shape in self.results]
        half = known[len(known) // 2 :]
        seen = {shape: value for shape, value in self._seen().items() if shape not in set(half)}
        self.rule = fit_joint(self._rules(), self._names(), seen)
        if self.rule is None or inside(self.rule.edges):
            return False
        self.checked, self.wrong = len(half), len(self._contradictions(half))
        return not self.wrong

    def _rules(self) -> list[Rule]:
        return [track.rule for track in self.tracks if track.rule is not None]

    def _names(self) -> list[str]:
        return [track.dimension.name for track in self.tracks]

    def _recorded(self) -> Shape:
        return tuple(track.dimension.size for track in self.tracks)

    def _mixed(self) -> bool:
        return any(len(set(found)) > 1 for found in self.results.values())

    def _seen(self) -> dict[Shape, bool]:
        """Whether the sides differ at each shape, with what the tracks saw of one size alone."""
        found = {
            _with(self._recorded(), number, size): value
            for number, track in enumerate(self.tracks)
            for size, value in track.seen().items()
        }
        return found | {shape: values[0] for shape, values in self.results.items()}

    def _contradictions(self, shapes: Iterable[Shape]) -> list[Shape]:
        rule = self.rule
        if rule is None:
            return []
        known = [shape for shape in shapes if shape in self.results]
        return [shape for shape in known if set(self.results[shape]) != {rule.holds(shape)}]

    def _why_not(self, values: str) -> str:
        if values:
            return values
        if self._mixed():
            return "at some of these shapes only some of the inputs differ: values decide there"
        return (
            "no simple rule of several sizes was confirmed: those of single sizes hold with the "
            "other sizes as recorded"
        )

    def _crossed(self) -> list[Rule]:
        """The rule of each size with the others as in a shape at which the sides agree."""
        if self.centre is None:
            return []
        found = []
        for number in range(len(self.tracks)):
            rule = fit(self._along(number), plain=True)
            if rule is not None:
                found.append(rule)
        return found if len(found) == len(self.tracks) else []

    def _along(self, number: int) -> dict[int, bool]:
        assert self.centre is not None
        centre = self.centre
        return {
            shape[number]: values[0]
            for shape, values in self.results.items()
            if shape == _with(centre, number, shape[number])
        }

    def _line(self) -> list[Shape]:
        """Shapes through one at which the sides agree, one size varied at a time."""
        if self.centre is None:
            agree = [shape for shape, values in self.results.items() if not any(values)]
            if not agree:
                return []
            self.centre = min(agree, key=lambda shape: (self._cost(shape), shape))
            sizes = {number: list(_LINE) for number in range(len(self.tracks))}
        else:
            rules = self._crossed()
            sizes = {number: rule.inside() for number, rule in enumerate(rules)}
        return [
            shape
            for number, many in sizes.items()
            for shape in (_with(self.centre, number, size) for size in many)
            if shape not in self.results and self._cost(shape) <= _MOST_COST
        ]

    def _edges(self, rule: JointRule) -> Iterator[Shape]:
        """Shapes whose product lies inside of an edge that is not known exactly."""
        for product in inside(rule.edges):
            chance = random.Random(product)  # noqa: S311 - no secret
            shape, left = list(self._recorded()), product
            for factor in rule.factors[:-1]:
                divisors = [n for n in range(1, left + 1) if not left % n]
                shape[factor] = chance.choice(divisors)
                left //= shape[factor]
            shape[rule.factors[-1]] = left
            yield tuple(shape)

    def _draw(self, count: int) -> list[Shape]:
        """Shapes not tried yet, at random; the same ones each time."""
        chance = random.Random(f"{self._names()} {len(self.results)}")  # noqa: S311 - no secret
        found: dict[Shape, None] = {}
        for _ in range(20 * count):
            shape = self._guess(chance)
            known = shape in self.results or shape in self.refused
            if not known and self._cost(shape) <= _MOST_COST and self.counts(self._sizes(shape)):
                found[shape] = None
            if len(found) == count:
                break
        return list(found)

    def _guess(self, chance: random.Random) -> Shape:
        """A third of the shapes meet the rules of all sizes, some have two sizes alike."""
        kind = chance.random()
        shape = [
            _size(chance, track, meets=kind < 0.35 or chance.random() < 0.5)
            for track in self.tracks
        ]
        if kind > 0.75:
            one, two = chance.sample(range(len(shape)), 2)
            shape[one] = max(1, shape[two] + chance.choice((-1, 0, 1)))
        return tuple(shape)

    def _sizes(self, shape: Shape) -> Sizes:
        return {t.dimension: size for t, size in zip(self.tracks, shape, strict=True)}

    def _cost(self, shape: Shape) -> int:
        return self.template.cost(self._sizes(shape))

    def _calls(self, pair: Pair, shapes: Iterable[Shape], *, more: int) -> Iterator[Call]:
        for shape in shapes:
            tried = len(self.results.get(shape, ()))
            if self._cost(shape) > LARGEST or (tried and not more):
                continue
            for seed in range(1 + tried, 1 + tried + (more or _INPUTS)):
                name = f"joint/{'x'.join(map(str, shape))}/{seed}"
                yield pair.call(name, self.template.sized(self._sizes(shape), seed))


def independent(tracks: Sequence[Track]) -> list[Track]:
    """Tracks that change no place that an earlier one changes."""
    found: list[Track] = []
    taken: set[tuple[int, int]] = set()
    for track in tracks:
        if not taken & set(track.dimension.places):
            taken.update(track.dimension.places)
            found.append(track)
    return found


def _with(shape: Shape, number: int, size: int) -> Shape:
    return (*shape[:number], size, *shape[number + 1 :])


def _size(chance: random.Random, track: Track, *, meets: bool) -> int:
    """A size that meets the rule of its track, or does not, where there are such."""
    rule = track.rule
    assert rule is not None
    tried = sorted(size for size in track.seen() if rule.holds(size) == meets)[:12]
    if tried and chance.random() < 0.5:
        return chance.choice(tried)
    size = 1
    for _ in range(20):
        size = chance.randint(1, chance.choice((4, 12, 40, 80)))
        if rule.holds(size) == meets:
            break
    return size
