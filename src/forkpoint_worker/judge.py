"""Comparing the op calls of a varied call with those of the whole call, rows with equal rows."""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping, Sequence, Union

import torch

from . import metrics
from .causes import ALONE, BREAKS, Found, of_places, of_rows
from .layouts import Axes, Part, Real, axes, orders, same_bits, take
from .pairs import CARRIES, EQUAL, MADE, SHAPES
from .proof import MIXES
from .trace import Key, Listener, Survey, Tensors
from .variants import Variant

ORDER = "rows whose order in a flattened dimension is not certain"
UNFIT = "tensors of a kind that cannot be compared by rows or places"
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
        order for order in orders(where) if same_bits(*both(variant, whole, varied, where, order))
    }


def both(
    variant: Variant, whole: torch.Tensor, varied: torch.Tensor, where: Axes, order: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """The parts of the whole call's and the varied call's tensor that hold the same input."""
    return (
        data_of(variant, whole, where, variant.whole, order),
        data_of(variant, varied, where, variant.varied, order),
    )


def data_of(
    variant: Variant, tensor: torch.Tensor, where: Axes, part: Part, order: bool
) -> torch.Tensor:
    """A part of a tensor; of padded calls, what was padding in the script's own call is zero."""
    found = take(tensor, where, part, order)
    if variant.real is None or not where:
        return found
    mask = variant.real.mask(found, where, order)
    return torch.where(mask, found, torch.zeros((), dtype=found.dtype, device=found.device))


def _mask(
    variant: Variant, tensor: torch.Tensor, where: Axes, part: Part, order: bool
) -> torch.Tensor:
    """True for the elements of a tensor that are data, and no padding."""
    real = variant.real or Real(torch.ones((1, variant.whole.size), dtype=torch.bool))
    return real.spread(part).mask(tensor, where, order)


def distance(variant: Variant, whole: torch.Tensor, varied: torch.Tensor, where: Axes) -> Figures:
    """Metrics of those parts; None for what is no number."""
    found = [measured(*both(variant, whole, varied, where, order)) for order in orders(where)]
    # of two orders the wrong one compares other rows, which lie further apart
    return min(filter(None, found), key=_max_abs, default=None)


def measured(one: torch.Tensor, two: torch.Tensor) -> Figures:
    """Metrics of two tensors (`metrics.compare`); None for what is no number."""
    if one.dtype != two.dtype or one.shape != two.shape or not metrics.measurable(one.dtype):
        return None
    found: dict[str, Any] = json.loads(metrics.compare(one, two, None))
    return found


def largest(many: Iterable[Figures]) -> Figures:
    """The metrics with the largest difference; None where nothing was measured."""
    return max(filter(None, many), key=_max_abs, default=None)


def _max_abs(figures: Mapping[str, Any]) -> float:
    return float(figures["max_abs"])


class Judge(Listener):
    """What became of each op call in one variant.

    A call *breaks* the property where its inputs are equal, row by row, its outputs are not, and
    the op is shown to be the cause (`proof`); it *carries* a difference where inputs differ, too.
    Where shapes and contents do not tell how rows lie, it is not compared, and counted by the
    reason. ``mixing`` are the calls that make rows of other rows.
    """

    def __init__(self, variant: Variant, whole: Survey, places: Places) -> None:
        self._variant = variant
        self._whole = whole
        self._places = places
        self.wanted: Mapping[Key, Tensors] = {}  # the whole call's tensors that are at hand
        self.verdicts: dict[Key, str] = {}
        self.findings: dict[Key, dict[str, Any]] = {}
        self.mixing: dict[Key, dict[str, Any]] = {}

    def computed(self, key: Key, tensors: Tensors) -> None:
        """Judge one call, if the whole call's tensors are at hand."""
        whole = self.wanted.get(key)
        if whole is None:
            return
        found = Found(EQUAL)
        if not self._as_they_lie(key, whole, tensors):
            found = self._closely(key, whole, tensors)
        self.verdicts[key] = found.verdict
        if found.verdict == BREAKS:
            self.findings[key] = _finding(whole, tensors, found)
        elif found.verdict in (MIXES, ALONE):
            self.mixing[key] = _finding(whole, tensors, found)

    def _closely(self, key: Key, whole: Tensors, varied: Tensors) -> Found:
        try:
            if self._variant.dim == 0:
                return of_rows(whole, varied)
            return self._by_place(key, whole, varied)
        except Exception:  # noqa: BLE001 - of a kind of tensor that cannot be compared like this
            return Found(UNFIT)

    def finish(self, whole: Counts, varied: Counts) -> None:
        """Take back what was said of ops that were not called equally often in both."""
        for key in self._whole.calls:
            like = key.module, key.op
            if whole.get(like) != varied.get(like):
                self.verdicts[key] = OTHER
                self.findings.pop(key, None)
                self.mixing.pop(key, None)
            else:
                self.verdicts.setdefault(key, ROOM)

    def _as_they_lie(self, key: Key, whole: Tensors, varied: Tensors) -> bool:
        """Whether outputs are equal where shapes say that the rows (or places) lie."""
        if len(whole.outputs) != len(varied.outputs):
            return False
        found = self._where(key, OUT, varied.outputs)
        return found is not None and all(
            matching(self._variant, one, two, where)
            for one, two, where in zip(whole.outputs, varied.outputs, found)
        )

    def _where(self, key: Key, role: int, many: Sequence[torch.Tensor]) -> list[Axes] | None:
        found = [self._places.find(key, role, slot, one.shape) for slot, one in enumerate(many)]
        known = [where for where in found if where is not None]
        return known if len(known) == len(found) else None

    def _by_place(self, key: Key, whole: Tensors, varied: Tensors) -> Found:
        """Of places: where outputs are not equal."""
        given, made = self._where(key, IN, varied.inputs), self._where(key, OUT, varied.outputs)
        if given is None or made is None or len(whole.inputs) != len(given):
            return Found(SHAPES)
        certain: set[tuple[int, int]] = set()  # flattened dimensions whose order an input shows
        together = set(orders(tuple(axis for where in (*given, *made) for axis in where)))
        for one, two, where in zip(whole.inputs, varied.inputs, given):
            found = matching(self._variant, one, two, where)
            if not found:
                return Found(CARRIES)
            together &= found if len(found) < len(orders(where)) else together
            certain.update((one.shape[axis.dim], axis.factor) for axis in where)
        if not certain:
            return Found(MADE)
        if not all(made):
            return Found(ALONE)
        flattened = {
            (one.shape[axis.dim], axis.factor)
            for one, where in zip(whole.outputs, made)
            for axis in where
            if axis.factor > 1
        }
        if not together or not flattened <= certain:
            return Found(ORDER)
        return self._places_proven((whole, varied), given, made, min(together))

    def _places_proven(
        self, calls: tuple[Tensors, Tensors], given: list[Axes], made: list[Axes], order: bool
    ) -> Found:
        variant = self._variant
        parts = variant.whole, variant.varied

        def data(number: int, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
            some = zip(outputs, made)
            return [data_of(variant, t, where, parts[number], order) for t, where in some]

        masks = tuple(
            [_mask(variant, t, where, part, order) for t, where in zip(call.inputs, given)]
            for call, part in zip(calls, parts)
        )
        return of_places(calls, (masks[0], masks[1]), data)


def _finding(whole: Tensors, varied: Tensors, found: Found) -> dict[str, Any]:
    return {
        "signature": varied.signature,
        "whole": [list(tensor.shape) for tensor in whole.inputs],
        "varied": [list(tensor.shape) for tensor in varied.inputs],
        "metrics": largest(measured(*both) for both in found.parts),
        "proof": found.proof or None,
    }
