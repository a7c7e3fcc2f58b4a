"""Tensors and plain values in what modules take and return, with names."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
from typing import Any, Callable, Mapping, Sequence

import torch

_PLAIN = (
    *(bool, int, float, complex, str, bytes, type(None)),
    *(torch.dtype, torch.device, torch.Size, torch.layout),
)


class Flat:
    """``tensors``: [(name, tensor)]; ``plain``: ["name=value"]; ``opaque``: type names."""

    __slots__ = ("opaque", "plain", "tensors")

    def __init__(self) -> None:
        self.tensors: list[tuple[str, torch.Tensor]] = []
        self.plain: list[str] = []
        self.opaque: list[str] = []

    def add(self, name: str, value: object, depth: int = 0) -> None:
        """Take in a value and what it holds (tuples, lists, dicts, dataclasses)."""
        if isinstance(value, torch.Tensor):
            self.tensors.append((name, value))
        elif isinstance(value, _PLAIN):
            self.plain.append("%s=%s" % (name, _text(value)))
        elif depth > 8:
            self.opaque.append(type(value).__name__)
        elif isinstance(value, collections.abc.Mapping):
            for key, item in value.items():
                self.add("%s.%s" % (name, key) if name else str(key), item, depth + 1)
        elif isinstance(value, (tuple, list)):
            names = getattr(value, "_fields", None)
            for i, item in enumerate(value):
                part = ".%s" % names[i] if names else "[%d]" % i
                self.add((name + part).lstrip("."), item, depth + 1)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                inner = getattr(value, field.name, None)
                part = "%s.%s" % (name, field.name) if name else field.name
                self.add(part, inner, depth + 1)
        else:
            self.opaque.append(type(value).__name__)

    def add_arguments(
        self, names: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Take in a call's arguments; ``names`` are those of the positional parameters."""
        for i, value in enumerate(args):
            self.add(names[i] if i < len(names) else "args[%d]" % (i - len(names)), value)
        for name, value in kwargs.items():
            self.add(name, value)


def _text(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def outputs(value: object) -> Flat:
    """A module's result, flattened; a lone tensor is called ``out``."""
    flat = Flat()
    if isinstance(value, torch.Tensor):
        flat.tensors.append(("out", value))
    else:
        flat.add("", value)
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
