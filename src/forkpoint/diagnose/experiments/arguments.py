"""Other values of plain arguments: numbers, switches, dimensions, lists, how many tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from forkpoint.diagnose.experiments.naming import Place, argument_name, arguments
from forkpoint.store import RecordedCall

Value = Mapping[str, Any]

_DIMENSIONS = frozenset(("dim", "dims", "dim0", "dim1", "axis", "start_dim", "end_dim"))
_MOST_OTHERS = 8  # other values of one argument that are tried
_LARGEST = 1 << 16  # a whole number beyond it is a count of elements, or a mark, and stays


def others(call: RecordedCall) -> Iterator[tuple[Place, str, str, Value]]:
    """(place, name, label, value): each plain argument's own value first, then others.

    Which of them the op takes has to be tried.
    """
    for place, value in arguments(call):
        name = argument_name(call, place)
        found = _values(call, name, value)
        if len(found) > 1:
            for other in found[: 1 + _MOST_OTHERS]:
                yield place, name, f"{name}={spelled(other)}", other


def tensor_lists(call: RecordedCall) -> Iterator[tuple[Place, str, Sequence[int]]]:
    """(place, name, tensors) of each argument that is a list of tensors."""
    for place, value in arguments(call):
        items = value.get("list", ())
        if items and all("tensor" in item for item in items):
            yield place, argument_name(call, place), [item["tensor"] for item in items]


def spelled(value: Value) -> str:
    """A value as it is written in a rule."""
    if "list" in value:
        return "[" + ", ".join(spelled(item) for item in value["list"]) + "]"
    if "float" in value:
        return f"{float.fromhex(value['float']):g}"
    (content,) = value.values()
    return str(content)


def _values(call: RecordedCall, name: str, value: Value) -> list[Value]:
    if "bool" in value:
        return [value, {"bool": not value["bool"]}]
    if "float" in value:
        number = float.fromhex(value["float"])
        floats = dict.fromkeys((number, 2 * number, number / 2, 100 * number, 0.0, 1.0))
        return [{"float": other.hex()} for other in floats]
    rank = max(len(layout.shape) for layout in call.tensors)
    if "int" in value:
        return [{"int": other} for other in _whole(name, value["int"], rank)]
    items = value.get("list", ())
    if items and all("int" in item for item in items):
        lists = _lists(name, tuple(item["int"] for item in items), rank)
        return [{"list": [{"int": one} for one in other]} for other in lists]
    return [value]


def _whole(name: str, number: int, rank: int) -> list[int]:
    """A whole number and others like it; for a dimension, all that the tensors have."""
    if name in _DIMENSIONS:
        twin = number - rank if number >= 0 else number + rank
        axes = range(rank) if number >= 0 else range(-rank, 0)
        return list(dict.fromkeys((number, *axes, twin)))
    if abs(number) > _LARGEST:
        return [number]
    near = (number, number + 1, number - 1, 2 * number, number // 2, 0, 1, 2, 3)
    return [other for other in dict.fromkeys(near) if other >= 0 or other == number]


def _lists(name: str, numbers: tuple[int, ...], rank: int) -> list[tuple[int, ...]]:
    """A list of whole numbers and others of its length; of dimensions, any number of them."""
    if name in _DIMENSIONS:
        axes = tuple(range(rank)) if min(numbers) >= 0 else tuple(range(-rank, 0))
        return list(dict.fromkeys((numbers, *((axis,) for axis in axes), axes)))
    if any(abs(number) > _LARGEST for number in numbers):
        return [numbers]
    found = [numbers, *(tuple(n + step for n in numbers) for step in (1, -1, 2))]
    found.append(tuple(2 * n for n in numbers))
    if len(numbers) > 1:
        found.append((numbers[0] + 1, *numbers[1:]))
        found.append((*numbers[:-1], numbers[-1] + 1))
    return [other for other in dict.fromkeys(found) if min(other) >= 0 or other == numbers]
