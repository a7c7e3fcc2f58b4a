"""Faults drawn at random: what is said of several sizes is right at shapes that nobody tried."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from forkpoint.diagnose.experiments.sweeping import Swept
from tests.diagnose.experiments.simulated import Op, swept, view

Shape = tuple[int, ...]
Holds = Callable[[Shape], bool]
SCHEMA, SHAPES = "aten::op(Tensor self) -> Tensor", 200


def _drawn(chance: random.Random) -> tuple[Shape, Holds]:
    """A recorded shape, and one reason to differ that it meets: a size, two of them, a product."""
    rank = chance.choice((1, 2, 3))
    while True:
        shape = tuple(chance.randint(1, 12) for _ in range(rank))
        holds = _reason(chance, rank)
        if holds(shape):
            return shape, holds


def _reason(chance: random.Random, rank: int) -> Holds:
    one, two = chance.randrange(rank), chance.randrange(rank)
    divisor, bound = chance.randint(2, 9), chance.randint(2, 40)
    rest = chance.randrange(divisor)
    alone: list[Holds] = [
        lambda s: s[one] % divisor == rest,
        lambda s: s[one] >= bound,
        lambda s: s[one] < bound,
        lambda s: s[one] == bound,
        lambda s: bound <= s[one] <= bound + divisor,
    ]
    together: list[Holds] = [
        lambda s: s[one] * s[two] >= 4 * bound,
        lambda s: s[one] * s[two] % divisor == rest,
        lambda s: s[one] > s[two],
        lambda s: s[one] <= s[two],
    ]
    return chance.choice(alone if one == two else [*alone, *together])


@pytest.mark.parametrize("seed", range(30))
def test_the_rule_is_right_about_shapes_not_tried(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    shape, holds = _drawn(chance)
    op = Op(SCHEMA, (view(*shape),), ({"tensor": 0},))
    found = swept(op, lambda seen: holds(seen.x.shape), tmp_path / "capsule")
    assert found.rule is not None
    assert "other sizes as recorded" not in found.rule
    axes = [track.dimension.places[0][1] for track in found.tracks]
    assert len(axes) == len(shape)
    wrong = []
    for _ in range(SHAPES):
        fresh = tuple(chance.choice((chance.randint(1, 12), chance.randint(1, 60))) for _ in shape)
        tried = tuple(fresh[axis] for axis in axes)
        if _predicted(found, tried) != holds(fresh):
            wrong.append(fresh)
    assert not wrong


def _predicted(found: Swept, shape: Shape) -> bool:
    if found.joint.rule is not None:
        return found.joint.rule.holds(shape)
    (track,) = found.tracks
    assert track.rule is not None
    return track.rule.holds(shape[0])
