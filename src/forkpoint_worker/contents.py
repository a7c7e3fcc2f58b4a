"""What a file of ``torch.save`` holds: tensors by name, and everything else as plain JSON."""

from __future__ import annotations

from typing import Any

import torch

from . import memory
from ._compat import has_plain_memory
from .digest import dtype_name
from .unpack import MAX_DEPTH, MAX_VALUES, Refused

_PLAIN = (bool, int, float, str, type(None))
_NAMED = (torch.dtype, torch.device, complex)


class Contents:
    """An object taken apart.

    ``tensors``: contiguous CPU tensors by their place in the object, ``layer.weight`` or
    ``blocks[2]``; the object itself is called "". Raises `Refused` where they would take more
    than ``limit`` bytes, or the object is too large or too deep to write down.
    """

    def __init__(self, value: object, *, limit: int) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._skipped: dict[str, str] = {}
        self._bytes = limit
        self._values = MAX_VALUES
        self._value = self._plain(value, "", 0)

    def document(self) -> dict[str, Any]:
        """What ``content.json`` holds."""
        tensors = {
            name: {"dtype": dtype_name(tensor.dtype), "shape": list(tensor.shape)}
            for name, tensor in self.tensors.items()
        }
        return {"tensors": tensors, "value": self._value, "skipped": self._skipped}

    def _plain(self, value: object, name: str, depth: int) -> Any:
        self._values -= 1
        if self._values < 0 or depth > MAX_DEPTH:
            raise Refused(
                "it holds more than %d values, or nests them more than %d deep"
                % (MAX_VALUES, MAX_DEPTH)
            )
        if isinstance(value, torch.Tensor):
            return self._tensor(value, name)
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, dict):
            items = {
                _key(key): self._plain(item, _join(name, key), depth + 1)
                for key, item in value.items()
            }
            return {"dict": items}
        if isinstance(value, (list, tuple)):
            return [
                self._plain(item, "%s[%d]" % (name, number), depth + 1)
                for number, item in enumerate(value)
            ]
        return self._other(value, name)

    def _other(self, value: object, name: str) -> Any:
        if isinstance(value, (set, frozenset)):
            return {"set": sorted(map(repr, value))}
        if isinstance(value, (bytes, bytearray)):
            return {"bytes": value.hex()}
        if isinstance(value, _NAMED):
            return {type(value).__name__: str(value)}
        self._skipped[name] = "a %s" % type(value).__name__
        return {"skipped": type(value).__name__}

    def _tensor(self, tensor: torch.Tensor, name: str) -> dict[str, str]:
        if not has_plain_memory(tensor):
            kind = str(tensor.layout).rpartition(".")[2]
            self._skipped[name] = "a tensor without plain memory (%s, %s)" % (
                "quantized" if tensor.is_quantized else kind, dtype_name(tensor.dtype)
            )  # fmt: skip
            return {"skipped": "tensor"}
        self._bytes -= tensor.numel() * tensor.element_size()
        if self._bytes < 0:
            raise Refused(
                "its tensors claim far more bytes than the file has: it looks like a bomb"
            )
        while name in self.tensors:  # {"a.b": x} and {"a": {"b": x}} are two places
            name += "'"
        self.tensors[name] = memory.plain(tensor)
        return {"tensor": name}


def _key(key: object) -> str:
    """``[1]`` for the key 1, which is not the key "1", nor "[1]"."""
    plain = isinstance(key, str) and not key.startswith("[")
    return str(key) if plain else "[%r]" % (key,)


def _join(name: str, key: object) -> str:
    if not isinstance(key, str):
        return "%s[%r]" % (name, key)
    return "%s.%s" % (name, key) if name else key
