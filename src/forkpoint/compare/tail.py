"""The largest of many distances, as many as it takes to read their 99th percentile.

One look at the distances is enough as a rule: what is certain to lie below the percentile is
counted and forgotten. That is a bet on what is still to come. It is lost where the distances
become much smaller later on, or are too many to keep; then `Tail.p99` says so, and another look
is needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from forkpoint.compare.elements import Unsigned

FEW = 1 << 17
"""Distances of which none is forgotten."""

MOST = 1 << 25
"""Distances that are kept at most."""

_PART = 80  # one in so many is kept: more than the hundredth that the percentile takes


@dataclass(slots=True)
class Tail:
    """The distances above a floor that rises; those at the floor are counted."""

    _floor: int = 0
    _at_floor: int = 0
    _above: int = 0
    _kept: list[Unsigned] = field(default_factory=list)
    _lost: bool = False

    def add(self, distances: Unsigned, largest: int, seen: int) -> None:
        """Take in distances, the ``largest`` of them, out of ``seen`` pairs so far."""
        if self._lost or largest < self._floor:
            return
        floor = distances.dtype.type(self._floor)
        if self._floor:  # below it is zero, and zeros need no count
            self._at_floor += int(np.count_nonzero(distances == floor))
        if largest == self._floor:
            return
        found = distances[np.flatnonzero(distances > floor)]
        if found.itemsize < 4:
            found = found.astype(np.uint32)  # of narrower ones, `partition` takes ten times as long
        self._kept.append(found)
        self._above += found.size
        if self._above > 2 * max(FEW, seen // _PART):
            self._raise_floor(max(FEW, seen // _PART))

    def p99(self, seen: int) -> int | None:
        """The distance of rank ceil(0.99 n) of all ``seen`` pairs; None where it is not known.

        Pairs that were not handed over count as equal.
        """
        from_above = seen - -(-99 * seen // 100) + 1
        if self._lost or not seen:
            return None if seen else 0
        if from_above <= self._above:
            whole = np.concatenate(self._kept)
            at = whole.size - from_above
            return int(np.partition(whole, at)[at])
        if not self._floor or from_above <= self._above + self._at_floor:
            return self._floor
        return None

    def _raise_floor(self, count: int) -> None:
        """Keep the largest ``count``, those of them that lie above the least."""
        if count > MOST // 2:
            self._lost, self._above = True, 0
            self._kept.clear()
            return
        whole = np.concatenate(self._kept)
        least = np.partition(whole, whole.size - count)[whole.size - count]
        self._floor, self._at_floor = int(least), int(np.count_nonzero(whole == least))
        self._kept = [whole[whole > least]]
        self._above = self._kept[0].size
