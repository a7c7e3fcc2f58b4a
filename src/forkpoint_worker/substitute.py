"""Putting the other side's outputs in place of an op's own, while the script goes on."""

from __future__ import annotations

from typing import Iterable, Mapping, Sequence

import torch

from . import schema
from .ops import Op
from .reference import Kept, Place
from .rows import Event
from .writer import Writer


class Substitution:
    """Replaces the outputs of some ops by those that the reference kept of the same calls."""

    def __init__(self, ops: Iterable[str], writer: Writer) -> None:
        self._ops = frozenset(ops)
        self._writer = writer

    def apply(
        self,
        op: Op,
        event: Event,
        results: Sequence[tuple[int, torch.Tensor]],
        kept: Mapping[Place, Kept],
    ) -> None:
        """Write the reference's content into an op call's results, after they were recorded.

        What cannot be replaced is counted as uncovered: the run proves nothing about it.
        """
        if op.name not in self._ops:
            return
        for (slot, tensor), (_, _, content) in zip(results, event.outputs):
            if content is None or content.raw is None or not tensor.numel():
                continue  # a view, noise or uninitialised memory: nothing was computed
            other = kept.get((schema.KIND_OP, event.module, op.name, event.call, slot))
            if other is None or not other.fits(tensor) or _overlaps(tensor):
                self._writer.uncovered.note("not substituted", op.name)
                continue
            self._replace(tensor, other, written=bool(op.written))

    def _replace(self, tensor: torch.Tensor, other: Kept, *, written: bool) -> None:
        self._writer.known.invalidate(tensor)  # views of this memory, too
        tensor.detach().copy_(other.tensor())  # into the memory as it lies: strides stay
        self._writer.fresh(tensor, schema.SOURCE_OP, mutated=written)


def _overlaps(tensor: torch.Tensor) -> bool:
    """Whether an element lies upon another, as in expanded tensors."""
    return any(n > 1 and not step for n, step in zip(tensor.shape, tensor.stride()))
