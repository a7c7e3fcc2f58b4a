"""How a tensor lies in memory at another size: order of axes, gaps and offset as recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from forkpoint.store import Layout

MADE = ("contiguous", "transposed", "offset by one", "not aligned")
"""Layouts that a tensor of any shape can be given."""

_MOST_OFFSET = 1 << 12  # elements before a tensor that are made, too


def like(layout: Layout, shape: Sequence[int]) -> list[int]:
    """Strides for another shape: what was expanded stays so, and gaps between rows are kept."""
    stride, step = [0] * len(shape), 1
    inner = 1  # what the recorded axis would have as its stride without a gap
    for axis in reversed(_order(layout)):
        if _expanded(layout, axis):
            continue
        gap = layout.stride[axis] - inner if layout.shape[axis] > 1 else 0
        stride[axis] = step + max(0, gap)
        step = stride[axis] * max(1, shape[axis])
        if layout.shape[axis] > 1:  # a stride over one element says nothing
            inner = max(inner, layout.stride[axis]) * layout.shape[axis]
    return stride


def offset(layout: Layout) -> int:
    """Elements before the tensor: as recorded, less whole thousands of them."""
    return layout.offset % _MOST_OFFSET


def dense(shape: Sequence[int], order: Sequence[int]) -> list[int]:
    """Strides without gaps, for axes in this order from the outermost on."""
    stride, step = [0] * len(shape), 1
    for axis in reversed(order):
        stride[axis] = step
        step *= max(1, shape[axis])
    return stride


def span(shape: Sequence[int], stride: Sequence[int]) -> int:
    """Elements from the first to the last, both included."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))


def is_contiguous(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether the elements lie one behind the other in the order of the axes, as torch says."""
    step = 1
    for size, own in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and own != step:
            return math.prod(shape) == 0
        step *= size
    return True


def _order(layout: Layout) -> list[int]:
    axes = range(len(layout.shape))
    return sorted(axes, key=lambda axis: (-layout.stride[axis], axis))


def _expanded(layout: Layout, axis: int) -> bool:
    return layout.stride[axis] == 0 and layout.shape[axis] > 1
