"""Aligning two sequences of events that may differ.

Patience diff: what occurs once on both sides is an anchor, the longest chain of anchors that
keeps its order is matched, and the gaps between are aligned in the same way. A gap without
anchors is left to `difflib` while it is small, and stays unmatched where it is not, so ten
thousand events never cost more than a moment.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_SMALL_GAP = 250_000
"""The product of lengths up to which a gap without anchors is searched for common runs."""

Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """Matched pairs of positions, and what one side has alone; all in ascending order.

    ``pairs`` has shape [n, 2]. Before position ``common`` both sequences are the same.
    """

    pairs: Keys
    only_a: Keys
    only_b: Keys
    common: int

    @property
    def same(self) -> bool:
        """Whether the sequences are equal."""
        return not len(self.only_a) and not len(self.only_b)


def align(a: Keys, b: Keys) -> Alignment:
    """Match equal keys of two sequences in order: [n], [m] -> at most min(n, m) pairs."""
    if np.array_equal(a, b):
        every = np.arange(len(a), dtype=np.int64)
        none = every[:0]
        return Alignment(np.stack([every, every], axis=1), none, none, len(a))
    keys_a, keys_b = a.tolist(), b.tolist()
    matched: list[tuple[int, int]] = []
    gaps = [(0, len(keys_a), 0, len(keys_b))]
    while gaps:
        pairs, inner = _match(keys_a, keys_b, gaps.pop())
        matched += pairs
        gaps += inner
    matched.sort()
    pairs_array = np.array(matched, dtype=np.int64).reshape(-1, 2)
    return Alignment(
        pairs_array,
        _rest(len(a), pairs_array[:, 0]),
        _rest(len(b), pairs_array[:, 1]),
        _prefix(keys_a, keys_b),
    )


_Gap = tuple[int, int, int, int]
_Pairs = list[tuple[int, int]]


def _match(a: list[int], b: list[int], gap: _Gap) -> tuple[_Pairs, list[_Gap]]:
    """Pairs found in one gap, and the smaller gaps between them that are left to do."""
    a_start, a_stop, b_start, b_stop = gap
    pairs: _Pairs = []
    while a_start < a_stop and b_start < b_stop and a[a_start] == b[b_start]:
        pairs.append((a_start, b_start))
        a_start, b_start = a_start + 1, b_start + 1
    while a_start < a_stop and b_start < b_stop and a[a_stop - 1] == b[b_stop - 1]:
        a_stop, b_stop = a_stop - 1, b_stop - 1
        pairs.append((a_stop, b_stop))
    if a_start == a_stop or b_start == b_stop:
        return pairs, []
    gap = a_start, a_stop, b_start, b_stop
    anchors = _anchors(a, b, gap)
    if not anchors:
        return pairs + _runs(a, b, gap), []
    edges = [(a_start - 1, b_start - 1), *anchors, (a_stop, b_stop)]
    inner = [
        (before[0] + 1, after[0], before[1] + 1, after[1]) for before, after in pairwise(edges)
    ]
    return pairs + anchors, [g for g in inner if g[0] < g[1] and g[2] < g[3]]


def _anchors(a: list[int], b: list[int], gap: _Gap) -> _Pairs:
    """Keys that occur once on both sides, as the longest chain that ascends on both."""
    a_start, a_stop, b_start, b_stop = gap
    counts_a, counts_b = Counter(a[a_start:a_stop]), Counter(b[b_start:b_stop])
    places = {b[j]: j for j in range(b_start, b_stop) if counts_b[b[j]] == 1}
    unique = [
        (i, places[a[i]]) for i in range(a_start, a_stop) if counts_a[a[i]] == 1 and a[i] in places
    ]
    return _longest_ascending(unique)


def _longest_ascending(pairs: _Pairs) -> _Pairs:
    """The longest subsequence whose second members ascend (the first ones already do)."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for at, (_, j) in enumerate(pairs):
        length = bisect_left(tails, j)
        before.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [j]
        ends[length : length + 1] = [at]
    chain: _Pairs = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]


def _runs(a: list[int], b: list[int], gap: _Gap) -> _Pairs:
    a_start, a_stop, b_start, b_stop = gap
    if (a_stop - a_start) * (b_stop - b_start) > _SMALL_GAP:
        return []
    matcher = SequenceMatcher(None, a[a_start:a_stop], b[b_start:b_stop], autojunk=False)
    return [
        (a_start + block.a + k, b_start + block.b + k)
        for block in matcher.get_matching_blocks()
        for k in range(block.size)
    ]


def _rest(length: int, taken: Keys) -> Keys:
    left = np.ones(length, dtype=np.bool_)
    left[taken] = False
    return np.flatnonzero(left)


def _prefix(a: list[int], b: list[int]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
