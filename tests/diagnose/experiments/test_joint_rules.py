"""Rules of several sizes: what was planted is found, and nothing is said of noise."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkpoint.diagnose.experiments.joint_rules import JointRule, Shape, each, fit_joint
from forkpoint.diagnose.experiments.rules import Rule, fit

NAMES = ("dimension 0 of self (and of out with it)", "dimension 1 of self", "dimension 1 of mat2")
SIZES = (*range(1, 18), 24, 31, 32, 33, 48, 63, 64, 65)
Holds = Callable[[Shape], bool]


def _alone(holds: Holds, recorded: Shape) -> list[Rule]:
    found = []
    for number in range(len(recorded)):
        seen = {size: holds(_with(recorded, number, size)) for size in SIZES}
        rule = fit(seen)
        assert rule is not None
        found.append(rule)
    return found


def _with(shape: Shape, number: int, size: int) -> Shape:
    return (*shape[:number], size, *shape[number + 1 :])


def _drawn(holds: Holds, recorded: Shape, seed: int = 0) -> dict[Shape, bool]:
    """Shapes as the experiment tries them: one size varied alone, and some drawn together."""
    chance = Random(seed)
    shapes = [_with(recorded, n, size) for n in range(len(recorded)) for size in SIZES]
    shapes += [tuple(chance.randint(1, 20) for _ in recorded) for _ in range(120)]
    shapes += [(n, n + step, *recorded[2:]) for n in range(2, 12) for step in (-1, 0, 1)]
    return {shape: holds(shape) for shape in shapes}


def _fit(holds: Holds, recorded: Shape, crossed: list[Rule] | None = None) -> JointRule | None:
    rules = _alone(holds, recorded)
    return fit_joint(rules, NAMES[: len(recorded)], _drawn(holds, recorded), crossed or ())


@pytest.mark.parametrize(
    ("holds", "recorded", "text"),
    [
        (lambda s: True, (2, 5), "at every size tried"),
        (
            lambda s: s[0] % 3 == 0,
            (3, 5),
            "at multiples of 3 of dimension 0 of self (and of out with it) "
            "and at every size tried of the others",
        ),
        (
            lambda s: s[0] >= 4 and s[1] < 9,
            (6, 5),
            "from size 4 on of dimension 0 of self (and of out with it) "
            "and below size 9 of dimension 1 of self",
        ),
        (
            lambda s: s[0] > s[1],
            (10, 4),
            "where dimension 0 of self is larger than dimension 1 of self",
        ),
        (
            lambda s: s[0] <= s[2] and s[1] % 2 == 0,
            (3, 4, 9),
            "where dimension 0 of self is at most dimension 1 of mat2 "
            "and at even sizes of dimension 1 of self",
        ),
        (
            lambda s: s[0] * s[1] % 3 == 0,
            (2, 6),
            "at multiples of 3 of the product of dimension 0 of self and dimension 1 of self",
        ),
        (
            lambda s: s[0] * s[1] * s[2] >= 60,
            (4, 4, 5),
            "from size 60 on of the product of dimension 0 of self, dimension 1 of self "
            "and dimension 1 of mat2",
        ),
    ],
)
def test_what_was_planted_is_found(holds: Holds, recorded: Shape, text: str) -> None:
    rule = _fit(holds, recorded)
    assert rule is not None
    assert rule.text.startswith(text.partition("60")[0])
    if not rule.edges:
        chance = Random(1)
        fresh = [tuple(chance.randint(1, 90) for _ in recorded) for _ in range(200)]
        assert rule.text == text
        assert [rule.holds(shape) for shape in fresh] == [holds(shape) for shape in fresh]


def test_a_bound_of_a_product_is_told_with_what_brackets_it() -> None:
    rule = _fit(lambda s: s[0] * s[1] > 40, (10, 6))
    assert rule is not None
    assert rule.factors == (0, 1)
    ((low, high),) = rule.edges
    assert low <= 40 < high


def test_one_of_two_is_enough() -> None:
    def holds(shape: Shape) -> bool:
        return shape[0] >= 8 or shape[1] % 2 == 0

    crossed = _alone(holds, (3, 3))  # with the others as in a shape at which the sides agree
    rule = _fit(holds, (9, 4), crossed)
    assert rule is not None
    assert (
        rule.text == "from size 8 on of dimension 0 of self or at even sizes of dimension 1 of self"
    )
    assert _fit(holds, (9, 4)) is None  # nobody guesses it from the recorded sizes alone


def test_each_says_nothing_twice() -> None:
    always = fit({1: True, 2: True})
    bound = fit({1: False, 2: True})
    assert always is not None
    assert bound is not None
    assert each([always, always], NAMES[:2]) == "at every size tried"
    assert each([always, bound], NAMES[:2]) == (
        "from size 2 on of dimension 1 of self and at every size tried of the others"
    )


@given(st.integers(0, 10**6))
@settings(max_examples=30)
def test_noise_is_not_explained(seed: int) -> None:
    chance = Random(seed)
    always = fit({1: True, 2: True})
    assert always is not None
    noise = {(one, two): chance.random() < 0.5 for one in range(1, 16) for two in range(1, 16)} | {
        (2, 2): True
    }
    assert fit_joint([always, always], NAMES[:2], noise) is None


@given(st.integers(0, 10**6), st.integers(2, 7), st.integers(0, 6))
@settings(max_examples=40)
def test_a_rule_is_right_about_all_that_was_seen(seed: int, divisor: int, rest: int) -> None:
    def holds(shape: Shape) -> bool:
        return shape[0] * shape[1] % divisor == rest % divisor

    seen = _drawn(holds, (1, rest % divisor or divisor), seed)
    always = fit({1: True, 2: True})
    assert always is not None
    rule = fit_joint([always, always], NAMES[:2], seen)
    assert rule is not None
    assert all(rule.holds(shape) == value for shape, value in seen.items())
