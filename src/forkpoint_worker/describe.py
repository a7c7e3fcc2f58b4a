"""One op call as plain data (the protocol's DOCUMENT), and the bytes that its tensors span."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Mapping, Sequence

import torch

from ._compat import has_plain_memory
from .digest import dtype_name

ALIGNMENT = 64
"""Bytes: addresses are recorded modulo this, the width of the widest CPU vectors."""

_GRAIN = 16  # bytes of the largest element: memory is cut at its multiples


class Unsupported(ValueError):
    """A call that cannot be written down as plain data; the text says why."""


class _Memory:
    """The part of one storage that tensors of the call span, in bytes from its start."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.owner = tensor
        self.begin, self.end = span(tensor)

    def widen(self, tensor: torch.Tensor) -> None:
        begin, end = span(tensor)
        self.begin, self.end = min(self.begin, begin), max(self.end, end)

    @property
    def start(self) -> int:
        """Where the stored bytes begin: at a multiple of every element's size."""
        return self.begin - self.begin % _GRAIN

    @property
    def bytes(self) -> int:
        return self.end - self.start

    def content(self) -> torch.Tensor:
        """The bytes, as a uint8 tensor on the CPU that shares no memory with the call."""
        owner = self.owner.detach()
        view = torch.empty(0, dtype=torch.uint8, device=owner.device)
        view.set_(owner.untyped_storage(), self.start, (self.bytes,), (1,))
        return view.cpu() if owner.device.type != "cpu" else view.clone()


def span(tensor: torch.Tensor) -> tuple[int, int]:
    """The first byte of a tensor's memory and the one after the last, within its storage."""
    size = tensor.element_size()
    begin = int(tensor.storage_offset()) * size
    if not tensor.numel():
        return begin, begin
    steps = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride()))
    return begin, begin + (steps + 1) * size


class Description:
    """A call under description; made before the op runs, for it may write to its inputs."""

    def __init__(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self.reason: str | None = None
        self._tensors: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}
        self._memory: dict[int, _Memory] = {}
        self._op = str(func)
        self._schema = str(getattr(func, "_schema", ""))
        self._args = [self._value(value) for value in args]
        self._kwargs = {name: self._value(value) for name, value in kwargs.items()}

    @property
    def bytes(self) -> int:
        """How many bytes `contents` has in all."""
        return sum(memory.bytes for memory in self._memory.values())

    def contents(self) -> Iterator[tuple[str, torch.Tensor]]:
        """(key, bytes) of each storage, as they are now."""
        for number, memory in enumerate(self._memory.values()):
            yield str(number), memory.content()

    def document(self) -> dict[str, Any]:
        """The DOCUMENT; its storages name the keys of `contents`."""
        places = {key: number for number, key in enumerate(self._memory)}
        return {
            "op": self._op,
            "schema": self._schema,
            "args": self._args,
            "kwargs": self._kwargs,
            "tensors": [self._layout(tensor, places) for tensor in self._tensors],
            "storages": [
                {"key": str(number), "bytes": memory.bytes}
                for number, memory in enumerate(self._memory.values())
            ],
        }

    def _layout(self, tensor: torch.Tensor, places: Mapping[int, int]) -> dict[str, Any]:
        key = _storage_key(tensor)
        skipped = self._memory[key].start // tensor.element_size()
        return {
            "dtype": dtype_name(tensor.dtype),
            "shape": list(tensor.shape),
            "stride": list(tensor.stride()),
            "offset": int(tensor.storage_offset()) - skipped,
            "storage": places[key],
            "conj": bool(tensor.is_conj()),
            "neg": bool(tensor.is_neg()),
            "alignment": tensor.data_ptr() % ALIGNMENT,
            "device": str(tensor.device),
            "requires_grad": bool(tensor.requires_grad),
        }

    def _value(self, value: object) -> dict[str, Any]:
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, (list, tuple)):
            return {"list": [self._value(item) for item in value]}
        found = plain_value(value)
        if "unsupported" in found:
            self.reason = "an argument is a %s" % found["unsupported"]
        return found

    def _tensor(self, tensor: torch.Tensor) -> dict[str, Any]:
        if not has_plain_memory(tensor):
            kind = "%s (%s)" % (type(tensor).__name__, tensor.layout)
            self.reason = "an argument is a tensor without plain memory: %s" % kind
            return {"unsupported": kind}
        number = self._numbers.get(id(tensor))
        if number is None:
            number = self._numbers[id(tensor)] = len(self._tensors)
            self._tensors.append(tensor)
            key = _storage_key(tensor)
            if key in self._memory:
                self._memory[key].widen(tensor)
            else:
                self._memory[key] = _Memory(tensor)
        return {"tensor": number}


def _storage_key(tensor: torch.Tensor) -> int:
    """What tells storages apart: the address, or the object where there is no memory."""
    return int(tensor.untyped_storage().data_ptr()) if tensor.numel() else -id(tensor)


def plain_value(value: object) -> dict[str, Any]:
    """A VALUE for anything but tensors and lists; ``unsupported`` names the type."""
    for kind, describe in _PLAIN:
        if isinstance(value, kind):
            return describe(value)
    return {"unsupported": type(value).__name__}


def _short(value: object) -> str:
    """``float32`` for ``torch.float32``."""
    return str(value).rpartition(".")[2]


# in this order: a bool is an int, too
_PLAIN: tuple[tuple[type, Callable[[Any], dict[str, Any]]], ...] = (
    (type(None), lambda _: {"none": True}),
    (bool, lambda value: {"bool": value}),
    (int, lambda value: {"int": value}),
    (torch.SymInt, lambda value: {"int": int(value)}),
    (float, lambda value: {"float": value.hex()}),
    (torch.SymFloat, lambda value: {"float": float(value).hex()}),
    (complex, lambda value: {"complex": [value.real.hex(), value.imag.hex()]}),
    (str, lambda value: {"str": value}),
    (torch.dtype, lambda value: {"dtype": _short(value)}),
    (torch.layout, lambda value: {"layout": _short(value)}),
    (torch.memory_format, lambda value: {"memory_format": _short(value)}),
    (torch.device, lambda value: {"device": str(value)}),
)
