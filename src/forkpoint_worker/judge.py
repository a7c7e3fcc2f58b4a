"""Comparing the op calls of a varied call with those of the whole call, rows with equal rows."""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping, Sequence, Union

import torch

from . import metrics
from .layouts import Axes, axes, orders, same_bits, take
from .trace import Key, Listener, Survey, Tensors
from .variants import Variant

EQUAL, BREAKS, CARRIES = "equal", "breaks", "carries"
SHAPES = "a shape that rows or places do not explain"
MIXES = "a result without rows, made of rows"
MADE = "made from sizes alone"
ORDER = "rows whose order in a flattened dimension is not certain"
OTHER = "other ops ran"
ROOM = "larger than the storage limit"

Counts = Mapping["tuple[str, str]", int]
Figures = Union["dict[str, Any]", None]
IN, OUT = 0, 1


class Places:
    """In which dimensions of each op call's tensors the rows (or places) of a variant lie.

    Shapes of two sizes show it. A variant of the whole call's size shows nothing: then those of
    a ``probe`` do, a call with ``rows`` rows.
    """

    def __init__(
        self, variant: Variant, whole: Survey, probe: Survey | None = None, rows: int = 0
    ) -> None:
        self._variant = variant
        self._whole = whole
        self._probe = probe
        self._rows = rows

    def find(self, key: Key, role: int, slot: int, shape: Sequence[int]) -> Axes | None:
        """The axes of a tensor of a call; None where its shape does not tell them."""
        known = self._whole.find(key)
        if known is None or slot >= len(known.slots[role]):
            return None
        whole = known.slots[role]
        one, two = self._variant.sizes
        if one != two:
            found = axes(whole[slot], shape, (one, two))
        elif tuple(shape) == whole[slot]:
            found = self._probed(key, role, slot, whole[slot])
        else:
            found = None
        rows = self._variant.dim == 0
        return None if rows and found is not None and len(found) > 1 else found

    def _probed(self, key: Key, role: int, slot: int, whole: Sequence[int]) -> Axes | None:
        probe = self._probe.find(key) if self._probe is not None else None
        if probe is None or slot >= len(probe.slots[role]):
            return None
        return axes(whole, probe.slots[role][slot], (self._variant.whole.size, self._rows))


def matching(variant: Variant, whole: torch.Tensor, varied: torch.Tensor, where: Axes) -> set[bool]:
    """The orders (`layouts`) in which the parts that hold the same input are equal."""
    return {
        order
        for order in orders(where)
        if same_bits(
            take(whole, where, variant.whole, order), take(varied, where, variant.varied, order)
        )
    }


def distance(variant: Variant, whole: torch.Tensor, varied: torch.Tensor, where: Axes) -> Figures:
    """Metrics of those parts (`metrics.compare`); None for what is no number."""
    if whole.dtype != varied.dtype or not metrics.measurable(whole.dtype):
        return None
    found = []
    for order in orders(where):
        one = take(whole, where, variant.whole, order)
        two = take(varied, where, variant.varied, order)
        if one.shape == two.shape:
            found.append(json.loads(metrics.compare(one, two, None)))
    # of two orders the wrong one compares other rows, which lie further apart
    return min(found, key=_max_abs, default=None)


def largest(many: Iterable[Figures]) -> Figures:
    """The metrics with the largest difference; None where nothing was measured."""
    return max(filter(None, many), key=_max_abs, default=None)


def _max_abs(figures: Mapping[str, Any]) -> float:
    return float(figures["max_abs"])


class Judge(Listener):
    """What became of each op call in one variant.

    A call *breaks* the property where its inputs are equal, row by row, and its outputs are not;
    it *carries* a difference where inputs differ, too. Where shapes and contents do not tell how
    rows lie, it is not compared, and counted by the reason.
    """

    def __init__(self, variant: Variant, whole: Survey, places: Places) -> None:
        self._variant = variant
        self._whole = whole
        self._places = places
        self.wanted: Mapping[Key, Tensors] = {}  # the whole call's tensors that are at hand
        self.verdicts: dict[Key, str] = {}
        self.findings: dict[Key, dict[str, Any]] = {}

    def computed(self, key: Key, tensors: Tensors) -> None:
        """Judge one call, if the whole call's tensors are at hand."""
        whole = self.wanted.get(key)
        if whole is None:
            return
        verdict, unequal = self._outputs(key, whole, tensors)
        if unequal:
            verdict = self._cause(key, whole, tensors, unequal)
        self.verdicts[key] = verdict
        if verdict == BREAKS:
            self.findings[key] = self._finding(whole, tensors, unequal)

    def finish(self, whole: Counts, varied: Counts) -> None:
        """Take back what was said of ops that were not called equally often in both."""
        for key in self._whole.calls:
            like = key.module, key.op
            if whole.get(like) != varied.get(like):
                self.verdicts[key] = OTHER
                self.findings.pop(key, None)
            else:
                self.verdicts.setdefault(key, ROOM)

    def _outputs(self, key: Key, whole: Tensors, varied: Tensors) -> tuple[str, dict[int, Axes]]:
        """A verdict, and the slots of outputs that are not equal, with their axes."""
        if (len(whole.inputs), len(whole.outputs)) != (len(varied.inputs), len(varied.outputs)):
            return SHAPES, {}
        unequal = {}
        for slot, (one, two) in enumerate(zip(whole.outputs, varied.outputs)):
            where = self._places.find(key, OUT, slot, two.shape)
            if where is None:
                return SHAPES, {}
            if not matching(self._variant, one, two, where):
                unequal[slot] = where
        return EQUAL, unequal

    def _cause(self, key: Key, whole: Tensors, varied: Tensors, unequal: Mapping[int, Axes]) -> str:
        """Why outputs are not equal."""
        certain: set[tuple[int, int]] = set()  # flattened dimensions whose order an input shows
        for slot, (one, two) in enumerate(zip(whole.inputs, varied.inputs)):
            where = self._places.find(key, IN, slot, two.shape)
            if where is None:
                return SHAPES
            if not matching(self._variant, one, two, where):
                return CARRIES
            certain.update((one.shape[axis.dim], axis.factor) for axis in where)
        if not certain:
            return MADE
        if not all(unequal.values()):
            return MIXES
        flattened = {
            (whole.outputs[slot].shape[axis.dim], axis.factor)
            for slot, where in unequal.items()
            for axis in where
            if axis.factor > 1
        }
        return BREAKS if flattened <= certain else ORDER

    def _finding(
        self, whole: Tensors, varied: Tensors, unequal: Mapping[int, Axes]
    ) -> dict[str, Any]:
        measured = [
            distance(self._variant, whole.outputs[slot], varied.outputs[slot], where)
            for slot, where in unequal.items()
        ]
        return {
            "signature": varied.signature,
            "whole": [list(tensor.shape) for tensor in whole.inputs],
            "varied": [list(tensor.shape) for tensor in varied.inputs],
            "metrics": largest(measured),
        }
