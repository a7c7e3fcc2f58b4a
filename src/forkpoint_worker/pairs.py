"""Which rows of a varied op call hold what a row of the whole call holds, whatever their order.

Packing, sorting and folding put rows elsewhere, so rows are paired by what they hold in all of
an op's inputs together, not by where they lie. A row is a slice of one dimension; where one input
has a multiple of another's slices (``[B * heads, ...]`` beside ``[B, ...]``), so many make a row.
"""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Sequence

import torch

from .layouts import bits_of, same_bits, twin

EQUAL, CARRIES = "equal", "carries"
SHAPES = "a shape that rows or places do not explain"
MADE = "made from sizes alone"

_MOST_DIMS = 4
_SEED = 20_261


Other = Mapping[int, "tuple[torch.Tensor, torch.Tensor]"]


class Fold(NamedTuple):
    """Rows of a tensor: ``size`` of them along ``dim``, each of as many slices as fit."""

    dim: int
    size: int

    def rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensor as [rows, elements of a row]."""
        return tensor.movedim(self.dim, 0).reshape(self.size, -1)

    def put(self, rows: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """A tensor like another one that holds these rows."""
        found = twin(like)
        if 0 in found.stride():
            found = found.contiguous()
        moved = found.movedim(self.dim, 0)
        moved.copy_(rows.reshape(moved.shape))
        return found


class Pairs(NamedTuple):
    """``whole`` and ``varied``: the inputs that have rows, by slot; ``order[j]`` is the row of the
    whole call that holds what row ``j`` of the varied call does."""

    whole: dict[int, Fold]
    varied: dict[int, Fold]
    order: list[int]

    @property
    def sizes(self) -> tuple[int, int]:
        """How many rows the two calls have."""
        slot = next(iter(self.whole))
        return self.whole[slot].size, self.varied[slot].size


def pair(whole: Sequence[torch.Tensor], varied: Sequence[torch.Tensor]) -> Pairs | str:
    """The pairs of rows of an op's inputs, or why there are none."""
    if len(whole) != len(varied):
        return SHAPES
    other = {i: (a, b) for i, (a, b) in enumerate(zip(whole, varied)) if not _equal(a, b)}
    if not other:
        return MADE
    # what has one shape in both calls and differs was made of what differs
    reason = CARRIES if any(a.shape == b.shape for a, b in other.values()) else SHAPES
    for dims in _dims(other):
        folds = _folds(other, dims)
        if folds is None:
            continue
        one, two = folds
        index = _index(
            [one[slot].rows(whole[slot]) for slot in one],
            [two[slot].rows(varied[slot]) for slot in two],
        )
        if index is not None:
            return Pairs(one, two, index)
        reason = CARRIES
    return reason


def _dims(other: Other) -> Iterator[dict[int, int]]:
    """Where the rows of each input may lie: where its size changed, else where others' do."""
    fixed: dict[int, int] = {}
    for slot, (one, two) in other.items():
        if one.dim() != two.dim() or not one.dim():
            return
        changed = [dim for dim in range(one.dim()) if one.shape[dim] != two.shape[dim]]
        if len(changed) > 1:
            return
        if changed:
            fixed[slot] = changed[0]
    if len(fixed) == len(other):
        yield fixed
        return
    for dim in dict.fromkeys([*fixed.values(), *range(_MOST_DIMS)]):
        if all(slot in fixed or dim < one.dim() for slot, (one, _) in other.items()):
            yield {slot: fixed.get(slot, dim) for slot in other}


def _folds(other: Other, dims: dict[int, int]) -> tuple[dict[int, Fold], dict[int, Fold]] | None:
    sizes = {
        slot: (one.shape[dims[slot]], two.shape[dims[slot]]) for slot, (one, two) in other.items()
    }
    one, two = min(sizes.values())
    if not one or not two:
        return None
    for a, b in sizes.values():
        if a % one or b % two or a // one != b // two:
            return None
    return (
        {slot: Fold(dims[slot], one) for slot in other},
        {slot: Fold(dims[slot], two) for slot in other},
    )


def _index(whole: Sequence[torch.Tensor], varied: Sequence[torch.Tensor]) -> list[int] | None:
    """For each row of the varied call, one of the whole call that holds the same."""
    where: dict[tuple[int, ...], int] = {}
    for number, row in enumerate(zip(*map(row_sums, whole))):
        where.setdefault(row, number)
    found = [where.get(row) for row in zip(*map(row_sums, varied))]
    index = [number for number in found if number is not None]
    if len(index) < len(found):
        return None
    same = all(same_bits(one[index], two) for one, two in zip(whole, varied))
    return index if same else None


def row_sums(rows: torch.Tensor) -> list[int]:
    """A number for each row, which equal rows share and others hardly ever do."""
    bits = bits_of(rows).to(torch.int64).reshape(rows.shape[0], -1)
    generator = torch.Generator().manual_seed(_SEED)
    weights = torch.randint(-(1 << 62), 1 << 62, (bits.shape[1],), generator=generator)
    weights = weights.to(bits.device)
    mixed = (bits + 1) * (weights | 1)
    mixed = (mixed ^ (mixed >> 29)) * (weights.flip(0) | 1)
    found: list[int] = mixed.sum(1).tolist()
    return found


def _equal(one: torch.Tensor, two: torch.Tensor) -> bool:
    if one.shape == two.shape and one.numel() and one.data_ptr() == two.data_ptr():
        return bool(one.stride() == two.stride() and one.dtype == two.dtype)
    return same_bits(one, two)
