"""Calls like a recorded one, with other sizes, another dtype, memory layout or argument.

What the change does not touch keeps its recorded bytes: a sweep over the rows of a linear layer
uses the layer's own weights. What it touches is filled with random numbers that have the mean
and the spread of the recorded ones, in memory that is laid out as the recorded one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forkpoint.diagnose.experiments import layouts
from forkpoint.diagnose.experiments.arguments import others, tensor_lists
from forkpoint.diagnose.experiments.dimensions import Sizes, resize_arguments, resized_shape
from forkpoint.diagnose.experiments.recipes import FLOATS, recipe
from forkpoint.store import DTYPES, Layout, RecordedCall, read_call

_KEPT = 8  # elements that are read as recorded take this much less time than filled ones


@dataclass(frozen=True, slots=True)
class Template:
    """A recorded call, to make others of."""

    call: RecordedCall
    fills: tuple[Mapping[str, Any], ...]

    def sized(self, sizes: Sizes, seed: int) -> dict[str, Any]:
        """The call with other sizes, and random values in each tensor that has one of them."""
        document = deepcopy(dict(self.call.document))
        for tensor in self._touched(sizes):
            shape = resized_shape(tensor, self.call.tensors[tensor], sizes)
            self._replace(document, tensor, seed, self._layout(tensor, shape))
        resize_arguments(document, sizes)
        return document

    def refilled(self, seed: int, factor: float = 1.0) -> dict[str, Any]:
        """The call in the very memory layout it had, its floating values random, times ``factor``.

        Constants (masks) keep their recorded bytes.
        """
        document = deepcopy(dict(self.call.document))
        for number in range(len(self.call.document["storages"])):
            over = [i for i, one in enumerate(self.call.tensors) if one.storage == number]
            kinds = {self.call.tensors[i].dtype for i in over}
            if len(kinds) != 1 or self.fills[over[0]]["kind"] != "normal":
                continue
            content = self._fill(over[0], seed, factor)
            size = document["storages"][number]["bytes"]
            document["storages"][number] = {"fill": content, "bytes": size}
        return document

    def converted(self, dtype: str, seed: int) -> dict[str, Any] | None:
        """The call in another floating dtype; None where it has floats of several dtypes."""
        own = {layout.dtype for layout in self.call.tensors if layout.dtype in FLOATS}
        if len(own) != 1:
            return None
        (recorded,) = own
        document = deepcopy(dict(self.call.document))
        for tensor, layout in enumerate(self.call.tensors):
            if layout.dtype in FLOATS:
                self._replace(document, tensor, seed, self._layout(tensor, layout.shape, dtype))
        document["args"] = [_retyped(value, recorded, dtype) for value in document["args"]]
        document["kwargs"] = {
            name: _retyped(value, recorded, dtype) for name, value in document["kwargs"].items()
        }
        return document

    def argued(self, seed: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(argument, label, call): another value of one plain argument; the recorded one first."""
        for (part, key), name, label, value in others(self.call):
            document = self.refilled(seed)
            document[part][key] = value
            yield name, label, document

    def counted(self, seed: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """(argument, label, call): other numbers of tensors in a list; the recorded one first."""
        for (part, key), name, tensors in tensor_lists(self.call):
            own = len(tensors)
            for count in dict.fromkeys((own, 1, 2, 3, 4, own - 1, own + 1)):
                if count < 1:
                    continue
                document = self.refilled(seed)
                items = [{"tensor": tensor} for tensor in tensors[:count]]
                for number in range(count - own):
                    items.append({"tensor": self._another(document, tensors[-1], seed, number)})
                document[part][key] = {"list": items}
                yield f"len({name})", f"len({name})={count}", document

    def laid_out(self, tensor: int, layout: str, seed: int) -> dict[str, Any]:
        """The call with one tensor in a layout of `layouts.MADE`, the others as recorded."""
        document = self.refilled(seed)
        made = self._layout(tensor, self.call.tensors[tensor].shape)
        order = list(range(len(made["shape"])))
        if layout == "transposed":
            order[-2:] = order[:-3:-1]
        item = DTYPES[made["dtype"]].itemsize
        made.update(
            stride=layouts.dense(made["shape"], order),
            offset=1 if layout == "offset by one" else 0,
            alignment=item if layout == "not aligned" else 0,
        )
        self._replace(document, tensor, seed, made)
        return document

    def is_dense(self, tensor: int) -> bool:
        """Whether a tensor was recorded as the first layout of `layouts.MADE`."""
        layout = self.call.tensors[tensor]
        whole = layouts.is_contiguous(layout.shape, layout.stride)
        return whole and not layout.offset and not layout.alignment

    def same_layout(self, tensor: int, sizes: Sizes) -> bool:
        """Whether a tensor is contiguous at these sizes only if it was when it was recorded."""
        layout = self.call.tensors[tensor]
        shape = resized_shape(tensor, layout, sizes)
        return layouts.is_contiguous(layout.shape, layout.stride) == layouts.is_contiguous(
            shape, layouts.like(layout, shape)
        )

    def cost(self, sizes: Sizes) -> int:
        """Elements to be filled at these sizes, and a share of those that are read as recorded."""
        touched = self._touched(sizes)
        made = kept = 0
        for tensor, layout in enumerate(self.call.tensors):
            if tensor in touched:
                made += math.prod(resized_shape(tensor, layout, sizes))
            else:
                kept += math.prod(layout.shape)
        return made + kept // _KEPT

    def _touched(self, sizes: Sizes) -> list[int]:
        return sorted({tensor for dimension in sizes for tensor, _ in dimension.places})

    def _another(self, document: dict[str, Any], tensor: int, seed: int, number: int) -> int:
        """The number of one more tensor like this one, with values of its own."""
        layout = self._layout(tensor, self.call.tensors[tensor].shape)
        content = self._fill(tensor, seed + 100 + number, 1.0)
        document["storages"].append({"fill": content, "bytes": _bytes(layout)})
        storage = len(document["storages"]) - 1
        document["tensors"].append({**document["tensors"][tensor], **layout, "storage": storage})
        return len(document["tensors"]) - 1

    def _fill(self, tensor: int, seed: int, factor: float) -> Mapping[str, Any]:
        layout: Layout = self.call.tensors[tensor]
        content = dict(self.fills[tensor])
        if content["kind"] == "normal":
            content["scale"] = content["scale"] * factor
        if "seed" in content:
            # tensors over one memory (a tensor given twice) stay equal to each other
            content["seed"] = seed * 1000 + layout.storage * 10 + layout.offset % 7
        return content

    def _replace(
        self, document: dict[str, Any], tensor: int, seed: int, layout: Mapping[str, Any]
    ) -> None:
        """Give one tensor a storage of its own, of random numbers, and this layout."""
        size = _bytes(layout)
        document["storages"].append({"fill": self._fill(tensor, seed, 1.0), "bytes": size})
        document["tensors"][tensor].update(layout, storage=len(document["storages"]) - 1)

    def _layout(
        self, tensor: int, shape: Sequence[int], dtype: str | None = None
    ) -> dict[str, Any]:
        """A tensor of another shape or dtype in memory as it was recorded."""
        layout = self.call.tensors[tensor]
        item = DTYPES[dtype or layout.dtype].itemsize
        return {
            "dtype": dtype or layout.dtype,
            "shape": list(shape),
            "stride": layouts.like(layout, shape),
            "offset": layouts.offset(layout),
            "alignment": layout.alignment // item * item,
        }


def read_template(folder: Path) -> Template | None:
    """A capsule as a template; None where it has a dtype that no number can be put into."""
    call = read_call(folder)
    if any(layout.dtype not in DTYPES for layout in call.tensors) or not call.tensors:
        return None
    return Template(call, tuple(recipe(call, number) for number in range(len(call.tensors))))


def _bytes(layout: Mapping[str, Any]) -> int:
    """Bytes of the memory that a tensor needs in this layout."""
    count = layout["offset"] + layouts.span(layout["shape"], layout["stride"])
    return int(count * DTYPES[layout["dtype"]].itemsize)


def _retyped(value: Mapping[str, Any], old: str, new: str) -> Mapping[str, Any]:
    return {"dtype": new} if value == {"dtype": old} else value
