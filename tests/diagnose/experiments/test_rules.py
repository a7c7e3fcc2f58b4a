"""Rules: what was planted is found, and noise is given no name."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.diagnose.experiments.rules import fit

SIZES = (*range(1, 18), 24, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 256)


def _fit(holds: Callable[[int], bool]) -> str | None:
    rule = fit({size: holds(size) for size in SIZES})
    return rule.text if rule else None


@pytest.mark.parametrize(
    ("holds", "text"),
    [
        (lambda n: True, "at every size"),
        (lambda n: False, "at no size"),
        (lambda n: n >= 64, "from size 64 on"),
        (lambda n: n < 4, "below size 4"),
        (lambda n: n == 1, "below size 2"),
        (lambda n: n == 16, "at size 16 only"),
        (lambda n: n != 16, "at every size but 16"),
        (lambda n: n % 2 == 1, "at odd sizes"),
        (lambda n: n % 2 == 0, "at even sizes"),
        (lambda n: n % 3 == 0, "at multiples of 3"),
        (lambda n: n % 8 != 0, "at sizes that are no multiples of 8"),
        (lambda n: n % 5 == 2, "where size % 5 == 2"),
        (lambda n: 2 <= n <= 9, "from size 2 to 9"),
        (lambda n: n in (5, 6, 7, 9, 10, 11), "at sizes 5, 6, 7, 9, 10 and 11 only"),
        (lambda n: n not in (3, 8, 48), "at every size but 3, 8 and 48"),
        (lambda n: not 2 <= n <= 9, "at every size but those from size 2 to 9"),
        (lambda n: n >= 8 and n % 2 == 0, "from size 8 on at even sizes, and at no other size"),
    ],
)
def test_what_was_planted_is_found(holds: Callable[[int], bool], text: str) -> None:
    assert _fit(holds) == text


def test_nothing_seen_has_no_rule() -> None:
    assert fit({}) is None


@given(st.dictionaries(st.integers(1, 300), st.booleans(), min_size=1, max_size=40))
def test_a_rule_is_right_about_all_that_was_seen(seen: dict[int, bool]) -> None:
    rule = fit(seen)
    if rule is not None:
        assert {size: rule.holds(size) for size in seen} == seen


@given(
    divisor=st.integers(2, 16),
    rest=st.integers(0, 15),
    sizes=st.sets(st.integers(1, 400), min_size=1),
)
def test_a_remainder_is_always_explained(divisor: int, rest: int, sizes: set[int]) -> None:
    """Whatever sizes are tried, some rule fits what a remainder decides."""
    everything = {size: size % divisor == rest % divisor for size in {*range(1, 40), *sizes}}
    rule = fit(everything)
    assert rule is not None
    beyond = range(400, 500)
    assert [rule.holds(n) for n in beyond] == [n % divisor == rest % divisor for n in beyond]


@given(st.integers(0, 10**6))
def test_noise_is_not_explained(seed: int) -> None:
    chance = Random(seed)
    noise = {size: chance.random() < 0.5 for size in range(1, 120)}
    assert fit(noise) is None


@given(threshold=st.integers(2, 255))
def test_edges_bracket_the_bound(threshold: int) -> None:
    rule = fit({size: size >= threshold for size in SIZES})
    assert rule is not None
    ((low, high),) = rule.edges
    assert low < threshold <= high
