"""Calls like a recorded one, with another size, dtype or memory layout.

What the change does not touch keeps its recorded bytes: a sweep over the rows of a linear layer
uses the layer's own weights. What it touches is filled with random numbers that have the mean
and the spread of the recorded ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from forkpoint.store import DTYPES, Layout, RecordedCall, read_call

_SAMPLE = 1 << 20  # elements that are looked at for a mean and a spread


@dataclass(frozen=True, slots=True)
class Dimension:
    """A size that several dimensions share: (tensor, axis) places that change together.

    ``in_lists``: whether the same number in list arguments (a normalized shape, a shape to view
    as) is this size, too, and not another one that is equal by chance.
    """

    name: str
    size: int
    places: tuple[tuple[int, int], ...]
    in_lists: bool = True

    def shape(self, tensor: int, layout: Layout, size: int) -> list[int]:
        """A tensor's shape where this dimension has another size."""
        places = self.places
        return [size if (tensor, a) in places else n for a, n in enumerate(layout.shape)]

    def resize_arguments(self, document: dict[str, Any], size: int) -> None:
        """Give list arguments of a document this dimension's other size."""
        if self.in_lists:
            _over_arguments(document, partial(_resized, old=self.size, new=size))

    @property
    def rows(self) -> bool:
        """Whether it is the first dimension of every tensor that has it: rows, as they lie."""
        return all(axis == 0 for _, axis in self.places)


@dataclass(frozen=True, slots=True)
class Template:
    """A recorded call, to make others of."""

    call: RecordedCall
    fills: tuple[Mapping[str, Any], ...]

    def sized(self, dimension: Dimension, size: int, seed: int) -> dict[str, Any]:
        """The call with another size of a dimension, and random values where it changes."""
        document = deepcopy(dict(self.call.document))
        for tensor in sorted({tensor for tensor, _ in dimension.places}):
            shape = dimension.shape(tensor, self.call.tensors[tensor], size)
            self._replace(document, tensor, shape, seed)
        dimension.resize_arguments(document, size)
        return document

    def refilled(self, seed: int, factor: float = 1.0) -> dict[str, Any]:
        """The call at its own sizes, with all floating values random, times ``factor``."""
        document = deepcopy(dict(self.call.document))
        for tensor, layout in enumerate(self.call.tensors):
            if layout.dtype in _FLOATS and 0 not in layout.shape:
                self._replace(document, tensor, list(layout.shape), seed, factor=factor)
        return document

    def converted(self, dtype: str, seed: int) -> dict[str, Any] | None:
        """The call in another floating dtype; None where it has floats of several dtypes."""
        own = {layout.dtype for layout in self.call.tensors if layout.dtype in _FLOATS}
        if len(own) != 1:
            return None
        (recorded,) = own
        document = deepcopy(dict(self.call.document))
        for tensor, layout in enumerate(self.call.tensors):
            if layout.dtype in _FLOATS:
                self._replace(document, tensor, list(layout.shape), seed, dtype=dtype)
        _over_arguments(document, partial(_retyped, old=recorded, new=dtype))
        return document

    def argued(self, seed: int) -> dict[str, dict[str, Any]]:
        """The call with another value of one plain argument, by a label; the recorded one first.

        Floating numbers and switches are varied; whole numbers are mostly dimensions.
        """
        found = {}
        for place, value in _plain_arguments(self.call):
            name = _argument_name(self.call, place)
            for other in _values_like(value):
                document = self.refilled(seed)
                part, key = place
                document[part][key] = other
                found[f"{name}={_spelled(other)}"] = document
        return found

    def laid_out(self, tensor: int, layout: str, seed: int) -> dict[str, Any]:
        """The call with one tensor ``contiguous``, ``transposed`` or ``offset`` by one."""
        document = deepcopy(dict(self.call.document))
        shape = list(self.call.tensors[tensor].shape)
        self._replace(document, tensor, shape, seed)
        placed = document["tensors"][tensor]
        order = list(range(len(shape)))
        if layout == "transposed":
            order[-2:] = order[:-3:-1]
        placed["stride"] = _dense(shape, order)
        if layout == "offset":
            item = DTYPES[placed["dtype"]].itemsize
            placed["offset"] = 1
            placed["alignment"] = item % 64
            document["storages"][placed["storage"]]["bytes"] += item
        else:
            placed["alignment"] = 0
        return document

    def elements(self, dimension: Dimension, size: int) -> int:
        """How many elements all tensors have together at this size."""
        tensors = enumerate(self.call.tensors)
        return sum(math.prod(dimension.shape(tensor, one, size)) for tensor, one in tensors)

    def _replace(
        self,
        document: dict[str, Any],
        tensor: int,
        shape: list[int],
        seed: int,
        *,
        dtype: str | None = None,
        factor: float = 1.0,
    ) -> None:
        """Give one tensor a dense storage of its own, of random numbers."""
        layout = self.call.tensors[tensor]
        dtype = dtype or layout.dtype
        stride = _like(layout, shape)
        span = 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        count = 0 if 0 in shape else span
        recipe = dict(self.fills[tensor])
        if recipe["kind"] == "normal":
            recipe["scale"] = recipe["scale"] * factor
        if "seed" in recipe:
            # tensors over one memory (a tensor given twice) stay equal to each other
            recipe["seed"] = seed * 1000 + layout.storage * 10 + layout.offset % 7
        document["storages"].append({"fill": recipe, "bytes": count * DTYPES[dtype].itemsize})
        document["tensors"][tensor].update(
            dtype=dtype,
            shape=shape,
            stride=stride,
            offset=0,
            storage=len(document["storages"]) - 1,
            alignment=layout.alignment if dtype == layout.dtype else 0,
        )


def read_template(folder: Path) -> Template | None:
    """A capsule as a template; None where it has a dtype that no number can be put into."""
    call = read_call(folder)
    if any(layout.dtype not in DTYPES for layout in call.tensors) or not call.tensors:
        return None
    return Template(call, tuple(_fill(call, number) for number in range(len(call.tensors))))


def dimensions(call: RecordedCall, varying: Sequence[int]) -> list[tuple[Dimension, ...]]:
    """What can be varied: for each size, ways to change it, the likeliest first.

    ``varying`` are axes of the first tensor that differed between the recorded calls: these
    come first. Which way is possible has to be tried: dimensions may have one size by chance.
    """
    found = []
    for number, axis in _axes(call, varying):
        size = call.tensors[number].shape[axis]
        every = [
            (tensor, place)
            for tensor, layout in enumerate(call.tensors)
            for place, other in enumerate(layout.shape)
            if other == size
        ]
        aligned = [(t, a) for t, a in every if a == axis]
        across = [(t, a) for t, a in every if t != number or a == axis]
        ways = dict.fromkeys((tuple(aligned), tuple(across), tuple(every), ((number, axis),)))
        lists = (True, False) if _listed(call, size) else (True,)
        found.append(
            tuple(Dimension(_named(call, way), size, way, both) for way in ways for both in lists)
        )
    return found


def _axes(call: RecordedCall, varying: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The (tensor, axis) to vary: those of the first tensor that has a size."""
    seen: set[int] = set()
    for number, layout in enumerate(call.tensors):
        first = [axis for axis in varying if not number and axis < len(layout.shape)]
        rest = [axis for axis in range(len(layout.shape)) if axis not in first]
        for axis in (*first, *rest):
            if layout.shape[axis] > 0 and layout.shape[axis] not in seen:
                yield number, axis
        seen.update(layout.shape)


def _listed(call: RecordedCall, size: int) -> bool:
    """Whether a list argument holds this number."""
    values = (*call.document["args"], *call.document["kwargs"].values())
    return any({"int": size} in value.get("list", ()) for value in values)


Place = tuple[str, Any]
"""Where a plain argument is: ``args`` and its number, or ``kwargs`` and its name."""


def _plain_arguments(call: RecordedCall) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for number, value in enumerate(call.document["args"]):
        if "float" in value or "bool" in value:
            yield ("args", number), value
    for name, value in call.document["kwargs"].items():
        if "float" in value or "bool" in value:
            yield ("kwargs", name), value


def _values_like(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The value itself, then others of its kind."""
    if "bool" in value:
        return [value, {"bool": not value["bool"]}]
    number = float.fromhex(value["float"])
    others = dict.fromkeys((number, 2 * number, number / 2, 100 * number, 0.0, 1.0))
    return [{"float": other.hex()} for other in others]


def _spelled(value: Mapping[str, Any]) -> str:
    return f"{float.fromhex(value['float']):g}" if "float" in value else str(value["bool"])


def _argument_name(call: RecordedCall, place: Place) -> str:
    part, key = place
    if part == "kwargs":
        return str(key)
    names = _schema_names(call)
    return names[key] if key < len(names) else f"argument {key}"


def _named(call: RecordedCall, places: Sequence[tuple[int, int]]) -> str:
    names = argument_names(call)
    tensor, axis = places[0]
    others = dict.fromkeys(names[other] for other, _ in places if other != tensor)
    more = f" (and of {', '.join(others)} with it)" if others else ""
    return f"dimension {axis} of {names[tensor]}{more}"


def argument_names(call: RecordedCall) -> list[str]:
    """A word for each tensor: the name of its argument, where the op's schema tells it."""
    names = [f"tensor {number}" for number in range(len(call.tensors))]
    arguments = _schema_names(call)
    for place, value in enumerate(call.document["args"]):
        if "tensor" in value and place < len(arguments):
            names[value["tensor"]] = arguments[place]
    for name, value in call.document["kwargs"].items():
        if "tensor" in value:
            names[value["tensor"]] = name
    return names


def _schema_names(call: RecordedCall) -> list[str]:
    """The names of the op's arguments, in their order."""
    inside = call.schema.partition("(")[2].rpartition(" -> ")[0]
    names = [part.strip().rpartition(" ")[2].partition("=")[0] for part in inside.split(",")]
    return [name.rstrip(")") for name in names if name not in ("*", "")]


_FLOATS = frozenset(("float16", "bfloat16", "float32", "float64"))


def _fill(call: RecordedCall, number: int) -> Mapping[str, Any]:
    """A recipe for numbers like those recorded."""
    layout = call.tensors[number]
    recorded = call.values(number)
    if recorded is None:  # the capsule has a recipe of its own
        recipe = call.document["storages"][layout.storage].get("fill")
        return dict(recipe) if recipe else _NORMAL
    values = recorded.reshape(-1)[:_SAMPLE]
    if layout.dtype in _FLOATS:
        return _floating(values.astype(np.float64))
    if layout.dtype.startswith("complex"):
        return _NORMAL
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return {"kind": "integers", "seed": 0, "low": low, "high": high + 1}


_NORMAL: Mapping[str, Any] = {"kind": "normal", "seed": 0, "scale": 1.0, "shift": "0x0.0p+0"}


def _floating(values: np.ndarray[Any, np.dtype[np.float64]]) -> Mapping[str, Any]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return _NORMAL
    if finite.size == values.size and finite.min() < finite.max():
        # a power of two and a shift of few digits: both are exact in every dtype
        spread = float(finite.std()) or 1.0
        mean = float(np.float16(np.clip(finite.mean(), -6e4, 6e4)))
        scale = 2.0 ** round(math.log2(spread))
        return {"kind": "normal", "seed": 0, "scale": scale, "shift": mean.hex()}
    # masks: minus infinity beside zeros; values that are all the same
    different, counts = np.unique(finite, return_counts=True)
    most = float(different[counts.argmax()])
    return {"kind": "constant", "value": {"float": most.hex()}}


def _like(layout: Layout, shape: Sequence[int]) -> list[int]:
    """Dense strides in the memory order that the layout has; what was expanded stays so."""
    order = sorted(range(len(shape)), key=lambda axis: (-layout.stride[axis], axis))
    return _dense(shape, order, [axis for axis in order if _expanded(layout, axis)])


def _expanded(layout: Layout, axis: int) -> bool:
    return layout.stride[axis] == 0 and layout.shape[axis] > 1


def _dense(shape: Sequence[int], order: Sequence[int], expanded: Sequence[int] = ()) -> list[int]:
    stride, step = [0] * len(shape), 1
    for axis in reversed(order):
        if axis in expanded:
            continue
        stride[axis] = step
        step *= max(1, shape[axis])
    return stride


def _over_arguments(
    document: dict[str, Any], change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> None:
    document["args"] = [change(value) for value in document["args"]]
    document["kwargs"] = {name: change(value) for name, value in document["kwargs"].items()}


def _resized(value: Mapping[str, Any], old: int, new: int) -> Mapping[str, Any]:
    """A list with one size replaced by another: a shape to view as, a normalized shape."""
    if "list" not in value:
        return value
    return {"list": [{"int": new} if one == {"int": old} else one for one in value["list"]]}


def _retyped(value: Mapping[str, Any], old: str, new: str) -> Mapping[str, Any]:
    return {"dtype": new} if value == {"dtype": old} else value
