"""What can be varied about the sizes of a call: dimensions, and what has to go with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from forkpoint.diagnose.experiments.naming import Place, argument_name, argument_names, arguments
from forkpoint.store import Layout, RecordedCall

_NO_SIZES = frozenset(
    ("kernel_size", "stride", "padding", "dilation", "output_padding", "dim", "dims")
)
"""List arguments whose numbers are never sizes of a tensor, even where they are equal to one."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A size that several dimensions share: (tensor, axis) places that change together.

    ``lists`` are list arguments (a normalized shape, a shape to view as) in which the same number
    is taken to be this size, too, and not another one that is equal by chance.
    """

    name: str
    size: int
    places: tuple[tuple[int, int], ...]
    lists: tuple[Place, ...] = ()

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
    for part, key in {place for one in sizes for place in one.lists}:
        other = {one.size: size for one, size in sizes.items() if (part, key) in one.lists}
        items = document[part][key]["list"]
        document[part][key] = {"list": [_resized(item, other) for item in items]}


def _resized(item: Mapping[str, Any], other: Mapping[int, int]) -> Mapping[str, Any]:
    return {"int": other[item["int"]]} if item.get("int") in other else item


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
        lists = dict.fromkeys((_lists(call, size), ()))
        found.append(
            tuple(Dimension(_named(names, way), size, way, some) for way in ways for some in lists)
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


def _lists(call: RecordedCall, size: int) -> tuple[Place, ...]:
    """List arguments that hold this number, and may hold sizes."""
    return tuple(
        place
        for place, value in arguments(call)
        if {"int": size} in value.get("list", ()) and argument_name(call, place) not in _NO_SIZES
    )


def _named(names: Sequence[str], places: Sequence[tuple[int, int]]) -> str:
    tensor, axis = places[0]
    others = dict.fromkeys(names[other] for other, _ in places if other != tensor)
    more = f" (and of {', '.join(others)} with it)" if others else ""
    return f"dimension {axis} of {names[tensor]}{more}"
