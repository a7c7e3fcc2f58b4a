"""Is an op itself the cause? Its call is made again, alone, with what it was given.

An op that was given equal rows (or places) and gave others is the cause only if, alone, it gives
the same other bits again; if what it makes of one row does not depend on what the other rows
hold; and if the difference is one of rounding: in float64 it is gone. Where it is not gone,
the op must have been given another number (a size, say). All else is no cause: a sort, a mean
over the batch, a table that belongs to places.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import torch

from .layouts import same_bits
from .trace import Tensors

ROUNDING, NUMBER, ALONE = "rounding", "number", "alone"
"""What was shown: gone in float64; given another number; or float64 could not be tried."""

MIXES = "rows are mixed or put elsewhere"
STAYS = "an input belongs to the place, not to the row"
ANEW = "alone it gave other bits than in the model"

_MOST_LEFT = 1e-3  # of the difference, in float64; its epsilon is 2e-9 of float32's

Many = Sequence[torch.Tensor]
Distance = Callable[[Many, Many], float]


class Side(NamedTuple):
    """One call of the op: ``altered`` are inputs in which what should not matter is another, each
    with a check whether the outputs that should stay are the same."""

    tensors: Tensors
    altered: Sequence[tuple[Many, Callable[[Many, Many], bool]]]


def prove(whole: Side, varied: Side, distance: Distance, rows: bool) -> tuple[str, bool]:
    """(what was shown, True), or (why the op is no cause, False).

    ``distance`` gives the largest difference of outputs where inputs are equal. With ``rows``,
    what mixes them is never the cause; of places, some do matter to all (what is masked).
    """
    sides = whole, varied
    if not all(_repeats(side.tensors) for side in sides):
        return ANEW, False
    alone = all(_alone(side) for side in sides)
    if rows and not alone:
        return MIXES, False
    gone = _gone(whole.tensors, varied.tensors, distance)
    if gone:
        return ROUNDING, True
    if not alone:
        return MIXES, False
    if whole.tensors.plain != varied.tensors.plain:
        return NUMBER, True
    return (STAYS, False) if gone is False else (ALONE, True)


def _repeats(tensors: Tensors) -> bool:
    return _same(tensors.again(tensors.inputs), tensors.outputs)


def _alone(side: Side) -> bool:
    """Whether what should not matter does not."""
    try:
        return all(
            kept(side.tensors.outputs, side.tensors.again(inputs)) for inputs, kept in side.altered
        )
    except Exception:  # noqa: BLE001 - an op may refuse other numbers: then it is not shown
        return False


def _gone(whole: Tensors, varied: Tensors, distance: Distance) -> bool | None:
    """Whether float64 makes the difference vanish; None where that cannot be tried."""
    if any(t.dtype in (torch.float64, torch.complex128) for t in whole.outputs):
        return None
    if not any(t.is_floating_point() for t in whole.outputs):
        return False  # whole numbers are not rounded
    try:
        one, two = (tensors.again(list(map(_wide, tensors.inputs))) for tensors in (whole, varied))
    except Exception:  # noqa: BLE001 - an op need not be made for float64
        return None
    if not any(t.dtype is torch.float64 for t in one):
        return None
    left, all_of_it = distance(one, two), distance(whole.outputs, varied.outputs)
    return left <= _MOST_LEFT * all_of_it


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.float64) if tensor.is_floating_point() else tensor


def _same(one: Many, two: Many) -> bool:
    return len(one) == len(two) and all(map(same_bits, one, two))


def other_numbers(tensor: torch.Tensor, generator: Any) -> torch.Tensor:
    """The tensor with other numbers of the same kind: noise for floats, the same numbers at
    other places for the rest (an index must stay one)."""
    if not tensor.is_floating_point() and not tensor.is_complex():
        flat = tensor.reshape(-1)
        return flat.roll(1 + flat.numel() // 3).reshape(tensor.shape)
    noise = torch.rand(tensor.shape, generator=generator).to(tensor.device)
    return (noise * 2 + 0.5).to(tensor.dtype)
