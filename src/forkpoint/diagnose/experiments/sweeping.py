"""One origin's call at other sizes, and with other dtypes, layouts and arguments, step by step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from forkpoint.diagnose.experiments.categories import Categories
from forkpoint.diagnose.experiments.dimensions import Dimension, Sizes, dimensions
from forkpoint.diagnose.experiments.findings import Pair, Sides, differ
from forkpoint.diagnose.experiments.joint import Joint, independent
from forkpoint.diagnose.experiments.joint_rules import each
from forkpoint.diagnose.experiments.track import LARGEST, ROOM, Track, inputs
from forkpoint.diagnose.experiments.variants import Template, read_template
from forkpoint.host import Call
from forkpoint.model import Origin, Sweep

ROUNDS = 10

_BASE = (*range(1, 10), 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 256)
_MOST_DIMENSIONS = 4


@dataclass(frozen=True, slots=True)
class Swept:
    """What the sweeps of one call showed: of single sizes, of several at once, and of the rest."""

    tracks: Sequence[Track]
    joint: Joint
    others: Categories

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """All of them, as they are reported."""
        values = self.others.values()
        rows = [track.positions() for track in self.tracks if track.dimension.rows]
        together = self.joint.sweep(values) if len(self.joint.tracks) > 1 else None
        sized = [track.sweep(values) for track in self.tracks]
        return tuple(one for one in (*sized, together, *rows, *self.others.sweeps()) if one)

    @property
    def rule(self) -> str | None:
        """With which sizes, dtypes, layouts and arguments the sides differ, in one clause.

        Null where values decide, or where nothing that decides is known.
        """
        if self.others.values() or any(track.mixed for track in self.tracks):
            return None
        clauses = self.others.clauses()
        sizes = self._of_sizes()
        if sizes is None:
            if not clauses:
                return None
            unruled = "; its sizes follow no simple rule" if self.tracks else ""
            return " and ".join(clauses) + unruled
        return ", ".join((sizes, *clauses))

    def _of_sizes(self) -> str | None:
        if not self.tracks or not all(track.held for track in self.tracks):
            return None
        if self.joint.held and self.joint.rule is not None:
            return self.joint.rule.text
        rules = [track.rule for track in self.tracks if track.rule is not None]
        alone = each(rules, [track.dimension.name for track in self.tracks])
        return f"{alone}, with the other sizes as recorded" if len(rules) > 1 else alone


Sweeping = Generator[list[Call], Mapping[str, Sides], Swept | None]
"""Gives calls to make on both sides, and is sent what came of them."""


def sweeping(pair: Pair, origin: Origin, fresh: int) -> Sweeping:
    """Vary one call: yields calls, wants what came of them, and returns what all of it showed.

    None where the call cannot be varied.
    """
    template = read_template(pair.folders[0])
    if template is None:
        return None
    others = Categories(template)
    tracks = yield from _tracks(pair, template, origin, others)
    joint = Joint(template, independent(tracks), _counter(template, others))
    calls = [call for track in tracks for call in track.first(pair)]
    for _ in range(ROUNDS):
        if not calls:
            break
        answers = yield calls
        for track in tracks:
            track.take(answers)
        joint.take(answers)
        calls = [call for track in tracks for call in track.next(pair, fresh)]
        if len(joint.tracks) > 1:
            calls += joint.next(pair)
    return Swept(tracks, joint, others)


def _counter(template: Template, others: Categories) -> Callable[[Sizes], bool]:
    """Whether sizes leave every tensor whose memory layout decides as it was recorded."""
    deciding = [t for t in range(len(template.call.tensors)) if others.layout_decides(t)]
    return lambda sizes: all(template.same_layout(tensor, sizes) for tensor in deciding)


def _tracks(
    pair: Pair, template: Template, origin: Origin, others: Categories
) -> Generator[list[Call], Mapping[str, Sides], list[Track]]:
    """The dimensions that can be varied, each in the first way in which the op runs.

    The changes that are no sizes are tried with the same calls, for what they show decides which
    sizes can be held against each other.
    """
    ways = dimensions(template.call, _varying(origin))
    asked = [
        pair.call(f"{number}-{way}/{size}", template.sized({dimension: size}, 1))
        for number, options in enumerate(ways)
        for way, dimension in enumerate(options)
        for size in _probes(dimension.size)
    ]
    answers = yield [*asked, *others.calls(pair)]
    others.take(answers)
    counts = _counter(template, others)
    tracks: list[Track] = []
    taken: set[tuple[tuple[int, int], ...]] = set()
    for number, options in enumerate(ways):
        for way, dimension in enumerate(options):
            sides = [answers[f"{number}-{way}/{size}"] for size in _probes(dimension.size)]
            if not all(differ(pair_of) is not None for pair_of in sides):
                continue
            if dimension.places not in taken and len(tracks) < _MOST_DIMENSIONS:
                taken.add(dimension.places)
                sizes = _sizes(template, dimension, origin)
                alike = partial(_alike, counts, dimension)
                tracks.append(Track(len(tracks), template, dimension, sizes, alike))
            break
    return tracks


def _alike(counts: Callable[[Sizes], bool], dimension: Dimension, size: int) -> bool:
    return counts({dimension: size})


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
    room, found = ROOM, []
    for size in dict.fromkeys(size for size in order if size > 0):
        cost = template.cost({dimension: size})
        need = cost * inputs(cost)
        if size != own and (need > room or cost > LARGEST):
            continue
        room -= need
        found.append(size)
    return sorted(found)
