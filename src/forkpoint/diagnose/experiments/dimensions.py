"""What can be varied about the sizes of a call: dimensions, and what has to go with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forkpoint.diagnose.experiments.naming import argument_names, arguments
from forkpoint.store import Layout, RecordedCall


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
        return resized_shape(tensor, layout, {self: size})

    def resize_arguments(self, document: dict[str, Any], size: int) -> None:
        """Give list arguments of a document this dimension's other size."""
        resize_arguments(document, {self: size})

    @property
    def rows(self) -> bool:
        """Whether it is the first dimension of every tensor that has it: rows, as they lie."""
        return all(axis == 0 for _, axis in self.places)


Sizes = Mapping[Dimension, int]
"""Other sizes of some dimensions; those that are not named keep the recorded one."""


def resized_shape(tensor: int, layout: Layout, sizes: Sizes) -> list[int]:
    """A tensor's shape with these sizes."""
    shape = list(layout.shape)
    for dimension, size in sizes.items():
        for number, axis in dimension.places:
            if number == tensor:
                shape[axis] = size
    return shape


def resize_arguments(document: dict[str, Any], sizes: Sizes) -> None:
    """Give list arguments of a document the other sizes, all at once."""
    other = {one.size: size for one, size in sizes.items() if one.in_lists}
    document["args"] = [_resized(value, other) for value in document["args"]]
    document["kwargs"] = {n: _resized(value, other) for n, value in document["kwargs"].items()}


def _resized(value: Mapping[str, Any], other: Mapping[int, int]) -> Mapping[str, Any]:
    """A list with some sizes replaced: a shape to view as, a normalized shape."""
    if "list" not in value:
        return value
    found = [
        {"int": other[one["int"]]} if one.get("int") in other else one for one in value["list"]
    ]
    return {"list": found}


def dimensions(call: RecordedCall, varying: Sequence[int]) -> list[tuple[Dimension, ...]]:
    """What can be varied: for each size, ways to change it, the likeliest first.

    ``varying`` are axes of the first tensor that differed between the recorded calls: these
    come first. Which way is possible has to be tried: dimensions may have one size by chance.
    """
    names = argument_names(call)
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
            tuple(Dimension(_named(names, way), size, way, both) for way in ways for both in lists)
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
    return any({"int": size} in value.get("list", ()) for _, value in arguments(call))


def _named(names: Sequence[str], places: Sequence[tuple[int, int]]) -> str:
    tensor, axis = places[0]
    others = dict.fromkeys(names[other] for other, _ in places if other != tensor)
    more = f" (and of {', '.join(others)} with it)" if others else ""
    return f"dimension {axis} of {names[tensor]}{more}"
