"""How a tensor of a varied call lies within the same tensor of the whole call.

Ops see rows as ``[B, ...]``, ``[B*L, ...]`` or ``[B*heads, ...]``. Which dimension holds them is
read off two shapes: a dimension that is ``k`` times as large as the batch in both calls holds
``k`` elements for each row. What two shapes cannot tell is whether those ``k`` lie together or
apart (``[B, k]`` or ``[k, B]`` flattened): both are tried, and equal contents decide.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence, Tuple

import torch

Axes = Tuple["Axis", ...]

_INTS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Axis(NamedTuple):
    """A dimension that grows with what is varied, and how many elements of it belong to one."""

    dim: int
    factor: int


class Part(NamedTuple):
    """What is compared: ``rows`` (or places) of ``size``; None for all of them."""

    size: int
    rows: tuple[int, ...] | None


def axes(whole: Sequence[int], varied: Sequence[int], sizes: tuple[int, int]) -> Axes | None:
    """Dimensions that went with the size from ``sizes[0]`` to ``sizes[1]``.

    None where a shape changed in another way. Nothing is learned from equal sizes.
    """
    if len(whole) != len(varied):
        return None
    found = []
    for dim, (one, two) in enumerate(zip(whole, varied)):
        if one == two:
            continue
        factor = one // sizes[0]
        if factor == 0 or (one, two) != (factor * sizes[0], factor * sizes[1]):
            return None
        found.append(Axis(dim, factor))
    return tuple(found)


def take(tensor: torch.Tensor, where: Axes, part: Part, together: bool) -> torch.Tensor:
    """The elements of a tensor that belong to a part; ``together`` as the module's text says."""
    if part.rows is None:
        return tensor
    for dim, factor in where:
        sizes = (part.size, factor) if together else (factor, part.size)
        split = tensor.unflatten(dim, sizes)
        at = dim if together else dim + 1
        index = torch.tensor(part.rows, device=tensor.device)
        tensor = split.index_select(at, index).flatten(dim, dim + 1)
    return tensor


def orders(where: Axes) -> tuple[bool, ...]:
    """The orders to try: with one element a row there is no difference."""
    return (True, False) if any(axis.factor > 1 for axis in where) else (True,)


def same_bits(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two tensors have one dtype, one shape and the same bits."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    if one.is_complex():
        one, two = torch.view_as_real(one.resolve_conj()), torch.view_as_real(two.resolve_conj())
    if one.dtype is torch.bool:
        return bool(torch.equal(one, two))
    # as integers: a NaN equals itself, and -0 is not 0
    kind = _INTS[one.element_size()]
    one, two = (tensor.resolve_neg().contiguous() for tensor in (one, two))
    return bool(torch.equal(one.view(kind), two.view(kind)))
