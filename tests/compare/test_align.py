from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from forkpoint.compare.align import Alignment, align

SEQUENCES = st.lists(st.integers(0, 6), max_size=40)


def run(a: list[int], b: list[int]) -> Alignment:
    return align(np.array(a, dtype=np.int64), np.array(b, dtype=np.int64))


@given(SEQUENCES, SEQUENCES)
def test_every_position_is_matched_once_or_left_over(a: list[int], b: list[int]) -> None:
    found = run(a, b)
    assert sorted([*found.pairs[:, 0], *found.only_a]) == list(range(len(a)))
    assert sorted([*found.pairs[:, 1], *found.only_b]) == list(range(len(b)))


@given(SEQUENCES, SEQUENCES)
def test_pairs_have_equal_keys_and_keep_the_order(a: list[int], b: list[int]) -> None:
    pairs = run(a, b).pairs.tolist()
    assert all(a[i] == b[j] for i, j in pairs)
    assert all(p[0] < q[0] and p[1] < q[1] for p, q in pairwise(pairs))


@given(SEQUENCES, SEQUENCES)
def test_the_common_prefix_is_matched(a: list[int], b: list[int]) -> None:
    found = run(a, b)
    assert a[: found.common] == b[: found.common]
    assert a[found.common : found.common + 1] != b[found.common : found.common + 1] or a == b
    assert found.pairs[: found.common].tolist() == [[i, i] for i in range(found.common)]


@given(SEQUENCES)
def test_a_sequence_matches_itself_whole(a: list[int]) -> None:
    found = run(a, list(a))
    assert found.same
    assert len(found.pairs) == found.common == len(a)


@given(SEQUENCES, SEQUENCES)
def test_sides_change_places(a: list[int], b: list[int]) -> None:
    assert len(run(a, b).only_a) == 0 or a != b
    assert run(a, b).common == run(b, a).common


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.data())
def test_what_is_inserted_is_all_that_is_left_over(a: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(a)))
    found = run(a, [*a[:at], 99, 98, *a[at:]])
    assert found.only_a.tolist() == []
    assert found.only_b.tolist() == [at, at + 1]


def test_modules_anchor_ops_that_repeat() -> None:
    a = [1, 1, 1, 100, 1, 1, 101]
    b = [1, 1, 100, 1, 1, 1, 101]
    found = run(a, b)
    assert [3, 2] in found.pairs.tolist()
    assert len(found.pairs) == 6


def test_ten_thousand_events_without_a_common_one_are_left_over() -> None:
    a, b = list(range(10_000)), list(range(20_000, 30_000))
    assert len(run(a, b).pairs) == 0


def test_long_sequences_that_repeat_stay_bounded() -> None:
    a, b = [1, 2] * 5_000, [2, 1, 3] * 3_000
    found = run(a, b)
    assert len(found.only_a) + len(found.pairs) == len(a)
