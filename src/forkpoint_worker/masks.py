"""What in a call's inputs reads like a mask, and which of its values may mean "leave it out"."""

from __future__ import annotations

from typing import List, Union

import torch

Value = Union[bool, int, float]

_WORDS = ("mask", "pad", "ignore", "keep", "valid")
_VERY_NEGATIVE = -1e3


def reads_as_mask(name: str, tensor: torch.Tensor) -> bool:
    """By its name and type, or because its numbers are 0 and very negative ones."""
    if tensor.dtype is torch.bool:
        return True
    named = any(word in name.rpartition(".")[2].lower() for word in _WORDS)
    if tensor.is_floating_point():
        return named or (tensor.dim() > 1 and _additive(tensor))
    return named and not tensor.is_complex()


def _additive(tensor: torch.Tensor) -> bool:
    low = tensor <= _VERY_NEGATIVE
    return bool(low.any()) and bool(((tensor == 0) | low).all())


def ignoring(tensor: torch.Tensor) -> List[Value]:
    """Values that may mean "leave it out", the likeliest first.

    A row that holds one value only cannot be left out whole: that value means "keep".
    """
    many: List[Value]
    if tensor.dtype is torch.bool:
        many = [False, True]
    elif tensor.is_floating_point():
        many = _of_floats(tensor)
    else:
        many = [0, 1]
    kept = _kept(tensor)
    left = [value for value in many if value not in kept]
    return left or many


def _of_floats(tensor: torch.Tensor) -> List[Value]:
    least = float(tensor.min()) if tensor.numel() else 0.0
    lowest = float(torch.finfo(tensor.dtype).min)
    if least <= _VERY_NEGATIVE:
        return [least]
    zero_one = bool(((tensor == 0) | (tensor == 1)).all())
    return [0.0, 1.0, lowest, float("-inf")] if zero_one else [lowest, float("-inf")]


def _kept(tensor: torch.Tensor) -> List[Value]:
    """The values of which whole rows consist, where that is one value."""
    rows = tensor.reshape(-1, tensor.shape[-1])
    alike = (rows == rows[:, :1]).all(1)
    values = set(rows[alike][:, 0].tolist())
    return list(values) if len(values) == 1 else []


def very_negative(value: Value) -> bool:
    """Whether a value is one to be added to scores, so that nothing is left of them."""
    return not isinstance(value, bool) and value <= _VERY_NEGATIVE


def left_out(tensor: torch.Tensor, value: Value) -> torch.Tensor:
    """Where a mask says to leave out, if ``value`` says it."""
    if very_negative(value):
        return tensor <= _VERY_NEGATIVE
    return tensor == value


def leading(tensor: torch.Tensor, value: Value) -> bool:
    """Whether some rows begin with places that are left out."""
    kept = kept_places(tensor, value)
    return kept is not None and not bool(kept[:, 0].all())


def trailing(tensor: torch.Tensor, value: Value) -> bool:
    """Whether some rows end with places that are left out."""
    kept = kept_places(tensor, value)
    return kept is not None and not bool(kept[:, -1].all())


def kept_places(tensor: torch.Tensor, value: Value) -> torch.Tensor | None:
    """[rows, places] of a mask: which are not left out by all that look at them."""
    if tensor.dim() < 2:
        return None
    kept = ~left_out(tensor, value)
    return kept.reshape(kept.shape[0], -1, kept.shape[-1]).any(1)


def between_places(tensor: torch.Tensor) -> bool:
    """Whether it is a square in which each place sees itself and what is before it."""
    if tensor.dim() != 2 or tensor.shape[0] != tensor.shape[1] or len(tensor) < 2:
        return False
    above = torch.ones(tensor.shape, dtype=torch.bool, device=tensor.device).triu(1)
    return bool(((tensor == tensor[0, -1]) == above).all())
