"""Classes of results inside one environment: does a row depend on how many others there are?"""

from __future__ import annotations

Tries = list[tuple[tuple[str, ...], tuple[str, ...]]]
"""Digests of the rows of one size, for each input: (baseline, candidate)."""

RowDigests = dict[int, Tries]
"""By the number of rows. Inputs of the same place in the list begin with the same rows."""


def row_classes(rows: RowDigests, side: int) -> dict[int, int]:
    """Number the results inside one environment: shared rows of a class are the same bits."""
    members: list[list[int]] = []
    found: dict[int, int] = {}
    for size in sorted(rows):
        for number, group in enumerate(members):
            if all(_alike(rows[size], rows[other], side) for other in group):
                group.append(size)
                found[size] = number
                break
        else:
            members.append([size])
            found[size] = len(members) - 1
    return found


def _alike(
    one: Tries,
    two: Tries,
    side: int,
) -> bool:
    """Whether the rows that two sizes share are the same, over the inputs that they share."""
    return all(
        first[side][: len(second[side])] == second[side][: len(first[side])]
        for first, second in zip(one, two, strict=False)
    )
