"""Tensors and plain values in what modules take and return, with names."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
from typing import Any, Callable, Mapping, Sequence

import torch

from .digest import digest_text, of_text

PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None)),
    *(torch.dtype, torch.device, torch.Size, torch.layout),
)
"""Types of values that are written down as text."""

MAX_DEPTH = 8
"""Containers inside one another that are looked into."""

MAX_SHOWN = 1000
"""Characters of plain values that are written out, on each side of the arrow."""

MAX_TEXT = 200
"""Characters of one plain value that are written down; of a longer one, this many and a digest."""


class Flat:
    """What a value holds, by the names of the places.

    ``tensors``: [(name, tensor)]; ``plain``: [(name, text)]; ``unread``: [(name, why)];
    ``structure``: types, keys and lengths of the containers, "" for a lone tensor.
    """

    __slots__ = ("plain", "structure", "tensors", "unread")

    def __init__(self) -> None:
        self.tensors: list[tuple[str, torch.Tensor]] = []
        self.plain: list[tuple[str, str]] = []
        self.unread: list[tuple[str, str]] = []
        self.structure = ""

    @property
    def opaque(self) -> list[str]:
        """What kinds of things could not be read."""
        return [why for _, why in self.unread]

    @property
    def shown(self) -> str:
        """The plain values as one line, to be shown."""
        return ", ".join("%s=%s" % pair for pair in self.plain)

    @property
    def exact(self) -> str:
        """All that is no tensor as one text for a digest; "" for a lone tensor."""
        if not self.structure and not self.plain:
            return ""
        return repr((self.structure, self.plain))

    def add(self, name: str, value: object, depth: int = 0) -> str:
        """Take in a value and what it holds (tuples, lists, dicts, dataclasses); its structure."""
        kind = type(value).__name__
        if isinstance(value, torch.Tensor):
            self.tensors.append((name, value))
            return kind
        if isinstance(value, PLAIN):
            self.plain.append((name or "out", text_of(value)))
            return kind
        held = parts(name, value) if depth <= MAX_DEPTH else None
        if held is None:
            self.unread.append((name or "out", kind))
            return kind
        inner = [(part[len(name) :], self.add(part, item, depth + 1)) for part, item in held]
        return "%s(%s)" % (kind, ", ".join("%r: %s" % pair for pair in inner))

    def add_arguments(
        self, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Take in a call's arguments; ``names`` are those of the positional parameters."""
        given = [
            (names[i] if i < len(names) else "args[%d]" % (i - len(names)), value)
            for i, value in enumerate(args)
        ]
        given += kwargs.items()
        inner = ["%s: %s" % (name, self.add(name, value)) for name, value in given]
        self.structure = cut("(%s)" % ", ".join(inner))


def parts(name: str, value: object) -> list[tuple[str, Any]] | None:
    """What a container holds, each with the name of its place; None for what is none."""
    if isinstance(value, collections.abc.Mapping):
        return [("%s.%s" % (name, k) if name else str(k), item) for k, item in value.items()]
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", None)
        places = (".%s" % names[i] if names else "[%d]" % i for i in range(len(value)))
        return [((name + place).lstrip("."), item) for place, item in zip(places, value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [
            ("%s.%s" % (name, field.name) if name else field.name, getattr(value, field.name, None))
            for field in dataclasses.fields(value)
        ]
    return None


def from_numpy(value: Any) -> Any:
    """A scalar as Python's, an array as a tensor of its own; anything else as it is."""
    if not hasattr(value, "__array_interface__"):
        return value
    if value.ndim == 0:
        return value.item()
    try:
        return torch.from_numpy(value.copy())
    except (TypeError, RuntimeError, ValueError):  # a dtype of no tensor, or torch without numpy
        return value


def text_of(value: object) -> str:
    """A plain value as text, or the start of it and a digest of the whole."""
    return _shortened(repr(value), MAX_TEXT)


def outputs(value: object) -> Flat:
    """A module's result, flattened; a lone tensor is called ``out``."""
    flat = Flat()
    if isinstance(value, torch.Tensor):  # nearly all of them
        flat.tensors.append(("out", value))
    else:
        flat.structure = cut(flat.add("", value))
    return flat


class Signatures:
    """Names of a module's arguments, from its ``forward``; looked up once a class."""

    def __init__(self) -> None:
        self._names: dict[type, list[str]] = {}

    def names(self, module: torch.nn.Module) -> list[str]:
        """Names of the arguments that can be given by position."""
        names = self._names.get(type(module))
        if names is None:
            names = self._names[type(module)] = positional(module.forward)
        return names

    def inputs(
        self, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Flat:
        """A call's arguments, flattened and named."""
        names = self.names(module)
        flat = Flat()
        flat.add_arguments(names, args, kwargs)
        return flat


def positional(function: Callable[..., Any]) -> list[str]:
    """Names of the parameters that a function takes by position; none where it does not say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C, or scripted
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in parameters if parameter.kind in kinds]


def cut(text: str) -> str:
    """The text, or its start and a digest of the whole."""
    return _shortened(text, MAX_SHOWN)


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return "%s... (%s)" % (text[:most], digest_text(of_text(text)))
