"""The 99th percentile from a tail that forgets, against sorting everything."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.compare import compare_arrays, metrics, tail

Pieces = list[list[int]]


def added(pieces: Pieces, dtype: str) -> tuple[tail.Tail, list[int]]:
    """A tail of these distances, piece by piece, and all of them in order."""
    found, every = tail.Tail(), list[int]()
    for piece in pieces:
        every += piece
        distances = np.array(piece, dtype=dtype)
        found.add(distances, int(distances.max()), len(every))
    return found, sorted(every)


def ranked(every: list[int]) -> int:
    return every[math.ceil(99 * len(every) / 100) - 1]


@given(
    st.lists(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=60), min_size=1, max_size=20),
    st.sampled_from(["uint16", "uint32", "uint64"]),
    st.sampled_from([1, 4, 1000]),
)
def test_what_is_known_is_right(pieces: Pieces, dtype: str, few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "FEW", few)
        found, every = added(pieces, dtype)
        known = found.p99(len(every))
        assert known in (None, ranked(every))
        if few == 1000 or len(every) < few:
            assert known is not None  # nothing was forgotten


@given(st.lists(st.integers(0, 9), min_size=1, max_size=300), st.integers(0, 2000))
def test_pairs_that_were_not_handed_over_are_equal(some: list[int], more: int) -> None:
    found, every = added([some], "uint32")
    assert found.p99(len(every) + more) == ranked(sorted([0] * more + every))


def test_one_look_is_enough_where_distances_are_spread_evenly() -> None:
    rng = np.random.default_rng(5)
    pieces = [rng.integers(0, 2**31, 500).tolist() for _ in range(200)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "FEW", 64)
        found, every = added(pieces, "uint32")
    assert found.p99(len(every)) == ranked(every)


def test_many_equal_distances_are_counted() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "FEW", 4)
        found, every = added([[1] * 100] * 50 + [[7] + [1] * 99], "uint16")
    assert found.p99(len(every)) == 1


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("few", [8, 100])
def test_a_lost_bet_takes_another_look(name: str, few: int) -> None:
    """What comes later is much nearer, so the floor was too high; or too much was to be kept."""
    b = np.ones(20_000, dtype=name)
    c = b * np.where(np.arange(b.size) < 150, 1.5, 1 + 2.0**-10).astype(name)
    c[150:].view(f"u{c.itemsize}")[...] += (np.arange(c.size - 150) % 97).astype(f"u{c.itemsize}")
    bits = f"i{b.itemsize}"
    every = sorted(np.abs(b.view(bits) - c.view(bits)).tolist())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "FEW", few)
        patch.setattr(tail, "_PART", 10**6)  # fewer than the percentile takes
        looks = _looks(patch)
        assert compare_arrays(b, c).p99_ulp == ranked(every)
        patch.setattr(tail, "MOST", 1)
        assert compare_arrays(b, c).p99_ulp == ranked(every)
    assert looks


def _looks(patch: pytest.MonkeyPatch) -> list[int]:
    """Which digits were looked at again: the slow way was really taken."""
    seen: list[int] = []
    original = metrics._digits

    def digits(source: metrics.Source, shift: int, prefix: int) -> np.ndarray:
        seen.append(shift)
        return original(source, shift, prefix)

    patch.setattr(metrics, "_digits", digits)
    return seen
