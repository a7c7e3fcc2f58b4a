"""Bisection over releases, some of which cannot be looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

V = TypeVar("V")
Seen = Literal["good", "bad", "skipped"]

ASSUMPTION = (
    "Bisection looks at the two ends and halves what lies between: it assumes one change there. "
    "A change that was reverted later, or a second one, is not seen; --all looks at every release."
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
    cheap: Callable[[V], bool] = lambda _: False,
) -> Found[V]:
    """Find where ``between`` turns from good to bad; its ends are known to be so.

    ``look`` is asked once for each value at most. Of the middle half, a value for which
    ``cheap`` holds goes first: an environment that exists costs nothing to look at.
    """
    low, high = 0, len(between) - 1
    skipped: set[int] = set()
    while True:
        open_ = [at for at in range(low + 1, high) if at not in skipped]
        if not open_:
            break
        at = _choose(open_, lambda at: cheap(between[at]))
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


def _choose(candidates: Sequence[int], cheap: Callable[[int], bool]) -> int:
    """The middle one, or the cheap one that is nearest to it."""
    centre = (len(candidates) - 1) / 2
    ranked = sorted(range(len(candidates)), key=lambda at: (abs(at - centre), at))
    free = [at for at in ranked if cheap(candidates[at])]
    return candidates[(free or ranked)[0]]
