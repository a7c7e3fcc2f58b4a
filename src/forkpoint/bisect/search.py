"""Bisection over releases, some of which cannot be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

V = TypeVar("V")
Seen = Literal["good", "bad", "skipped"]

ASSUMPTION = (
    "Bisection halves what lies between the two ends: it assumes one change there. A change that "
    "was reverted later, or a second one, is not seen; --all looks at every release."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[V]):
    """The last good and the first bad one; those between them could not be looked at."""

    last_good: V
    first_bad: V
    skipped: tuple[V, ...]


def bisect(
    between: Sequence[V],
    *,
    look: Callable[[V], Seen],
    cost: Callable[[V], int] = lambda _: 0,
) -> Found[V]:
    """Find where ``between`` turns from good to bad; its ends are taken to be so.

    ``look`` is asked once for each value at most, and never for the ends. Values of the least
    ``cost`` go first, and of those the one that is nearest to the middle: what is known already
    narrows the search for nothing.
    """
    low, high = 0, len(between) - 1
    skipped: set[int] = set()
    while True:
        open_ = [at for at in range(low + 1, high) if at not in skipped]
        if not open_:
            break
        at = _choose(open_, lambda at: cost(between[at]))
        match look(between[at]):
            case "good":
                low = at
            case "bad":
                high = at
            case "skipped":
                skipped.add(at)
    return Found(
        last_good=between[low],
        first_bad=between[high],
        skipped=tuple(between[at] for at in range(low + 1, high)),
    )


def _choose(candidates: Sequence[int], cost: Callable[[int], int]) -> int:
    """The middle one of those that cost least."""
    centre = (len(candidates) - 1) / 2
    order = range(len(candidates))
    return candidates[min(order, key=lambda at: (cost(candidates[at]), abs(at - centre), at))]
