"""Words for the arguments of a call, from the op's schema as torch writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forkpoint.store import RecordedCall

Place = tuple[str, Any]
"""Where an argument is: ``args`` and its number, or ``kwargs`` and its name."""


def arguments(call: RecordedCall) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """All arguments of a call, the positional ones first."""
    for number, value in enumerate(call.document["args"]):
        yield ("args", number), value
    for name, value in call.document["kwargs"].items():
        yield ("kwargs", name), value


def argument_name(call: RecordedCall, place: Place) -> str:
    """The name of an argument; its number where the schema does not tell."""
    part, key = place
    if part == "kwargs":
        return str(key)
    names = _schema_names(call)
    return names[key] if key < len(names) else f"argument {key}"


def argument_names(call: RecordedCall) -> list[str]:
    """A word for each tensor: the name of its argument, ``tensors[1]`` within a list."""
    names = [f"tensor {number}" for number in range(len(call.tensors))]
    for place, value in arguments(call):
        word = argument_name(call, place)
        if "tensor" in value:
            names[value["tensor"]] = word
        for number, item in enumerate(value.get("list", ())):
            if "tensor" in item:
                names[item["tensor"]] = f"{word}[{number}]"
    return names


def _schema_names(call: RecordedCall) -> list[str]:
    """The names of the op's arguments, in their order."""
    inside = call.schema.partition("(")[2].rpartition(" -> ")[0].rpartition(")")[0]
    names = [part.partition("=")[0].strip().rpartition(" ")[2] for part in _split(inside)]
    return [name for name in names if name not in ("*", "")]


def _split(inside: str) -> Iterator[str]:
    """Parts between commas that stand in no bracket: a default may be a list."""
    depth, part = 0, ""
    for letter in inside:
        depth += (letter in "[(") - (letter in "])")
        if letter == "," and not depth:
            yield part
            part = ""
        else:
            part += letter
    yield part
