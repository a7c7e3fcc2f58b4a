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


class Real(NamedTuple):
    """Which places hold data, for each row of a batch: ``kept`` is [rows, places], of bools."""

    kept: torch.Tensor

    def spread(self, part: Part) -> Real:
        """The same in a longer call, in which the places are those of a part."""
        if part.rows is None:
            return self
        more = self.kept.new_zeros((len(self.kept), part.size))
        more[:, list(part.rows)] = self.kept
        return Real(more)

    def mask(self, tensor: torch.Tensor, where: Axes, together: bool) -> torch.Tensor:
        """True for the elements of a tensor that are data; it can be broadcast to its shape."""
        found = torch.ones((1,) * tensor.dim(), dtype=torch.bool)
        for axis in where:
            found = found & self._along(tensor, axis, together)
        return found.to(tensor.device)

    def _along(self, tensor: torch.Tensor, axis: Axis, together: bool) -> torch.Tensor:
        rows, kept = len(self.kept), self.kept
        shape = [1] * tensor.dim()
        dim, factor = axis
        if factor == 1:
            other = int(dim == 0)
            some = tensor.shape[other] if tensor.dim() > other else 0
            if some and some % rows == 0:
                kept = kept.repeat_interleave(some // rows, 0)
                shape[other] = some
            else:
                kept = kept.any(0)
            shape[dim] = tensor.shape[dim]
            return (kept.t() if dim < other else kept).reshape(shape)
        if factor != rows:  # not certain which row: a place counts where any row has it
            kept = kept.any(0).expand(factor, -1)
        shape[dim] = tensor.shape[dim]
        return (kept.t() if together else kept).reshape(shape)


def orders(where: Axes) -> tuple[bool, ...]:
    """The orders to try: with one element a row there is no difference."""
    return (True, False) if any(axis.factor > 1 for axis in where) else (True,)


def twin(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with the same strides, where no two elements share memory.

    Which kernel runs depends on strides, and `torch.clone` closes gaps.
    """
    plain = tensor.detach()
    if any(step == 0 and size > 1 for size, step in zip(plain.shape, plain.stride())):
        once = plain
        for dim, step in enumerate(plain.stride()):
            once = once.narrow(dim, 0, 1) if step == 0 and plain.shape[dim] > 1 else once
        return once.clone().expand(plain.shape)
    found = torch.empty_strided(plain.shape, plain.stride(), dtype=plain.dtype, device=plain.device)
    return found.copy_(plain)


def same_bits(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two tensors have one dtype, one shape and the same bits."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return bool(torch.equal(bits_of(one), bits_of(two)))


def bits_of(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's elements as integers (a NaN equals itself, and -0 is not 0), or as bools.

    A complex number becomes two, in a dimension of their own.
    """
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if tensor.dtype is torch.bool:
        return tensor
    return tensor.resolve_neg().contiguous().view(_INTS[tensor.element_size()])
