"""Whose rows are a module's output rows? Found by giving the rows other contents.

Rows get other contents in groups, by the digits of their numbers: an output row that changes with
exactly the groups that hold row 5 is made of row 5 alone. Lengths, masks and positions stay, so
that the same ops run at the same sizes.
"""

from __future__ import annotations

from typing import Callable, Sequence

import torch

from .inputs import Change, Inputs
from .layouts import bits_of
from .masks import reads_as_mask
from .proof import other_numbers

Named = Sequence["tuple[str, torch.Tensor]"]
Call = Callable[[Change], Named]

NOBODY, SEVERAL = -1, -2
"""Stand for the owner of a row that nothing changes, and of one that several rows do."""

_STAY = ("mask", "position", "type", "length", "size", "index", "indices", "segment")


def owners(
    call: Call, inputs: Inputs, base: Change, rows: int, dims: Sequence[int | None]
) -> list[list[int]] | None:
    """For each output the owner of each of its rows, which lie in ``dims`` (None: nowhere).

    ``base`` makes the call that is looked at, of ``rows`` rows. None where it cannot be found.
    """
    names = _contents(inputs)
    if not names:
        return None
    before = call(base)
    masks: list[list[list[bool]]] = [[] for _ in before]
    groups = [(bit, side) for bit in range(max(1, (rows - 1).bit_length())) for side in (0, 1)]
    for bit, side in groups:
        chosen = [row for row in range(rows) if row >> bit & 1 == side]
        after = call(_altered(base, names, rows, chosen))
        if [(n, t.shape) for n, t in before] != [(n, t.shape) for n, t in after]:
            return None
        for found, dim, (_, one), (_, two) in zip(masks, dims, before, after):
            found.append([] if dim is None else _changed(one, two, dim))
    return [_owners(groups, found) for found in masks]


def _owners(groups: Sequence[tuple[int, int]], found: Sequence[Sequence[bool]]) -> list[int]:
    many = []
    for flags in zip(*found):
        moved = [group for group, flag in zip(groups, flags) if flag]
        bits = [bit for bit, _ in moved]
        if not moved:
            many.append(NOBODY)
        elif len(bits) != len(set(bits)) or len(bits) != len(groups) // 2:
            many.append(SEVERAL)
        else:
            many.append(sum(side << bit for bit, side in moved))
    return many


def _changed(one: torch.Tensor, two: torch.Tensor, dim: int) -> list[bool]:
    a, b = (bits_of(t.movedim(dim, 0)).reshape(t.shape[dim], -1) for t in (one, two))
    found: list[bool] = (a != b).any(1).tolist()
    return found


def _contents(inputs: Inputs) -> frozenset[str]:
    """The inputs that may hold anything: numbers, and the ids of words."""
    plain = [
        (name, tensor)
        for name, tensor in inputs.tensors
        if tensor.dim() and not reads_as_mask(name, tensor)
        and not any(word in name.lower() for word in _STAY)
    ]  # fmt: skip
    floats = {name for name, t in plain if t.is_floating_point() or t.is_complex()}
    ids = {name for name, t in plain if not t.is_floating_point() and t.dim() > 1}
    return frozenset(floats | ids)


def _altered(base: Change, names: frozenset[str], rows: int, chosen: Sequence[int]) -> Change:
    def change(name: str, tensor: torch.Tensor) -> torch.Tensor:
        found = base(name, tensor)
        if name not in names or found.shape[0] != rows:
            return found
        generator = torch.Generator().manual_seed(len(chosen))
        found = found.clone()
        found[list(chosen)] = other_numbers(found, generator)[list(chosen)]
        return found

    return change
