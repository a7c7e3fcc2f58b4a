"""From a DOCUMENT back to the arguments of a call: bits, strides, offsets and alignment."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Sequence

import torch

from .describe import ALIGNMENT
from .fills import fill
from .memory import view_bytes

Stored = Callable[[str, int], torch.Tensor]
"""From a storage's key and its size to its bytes (uint8, on the CPU)."""

_MEMORY_LIMIT = 1 << 36  # bytes of one storage; a document that asks for more is nonsense
_GROWTH = 1 << 12  # elements that a tensor may have for each byte of its storage
_FREE = 1 << 28  # elements that are always allowed
_MAX_DIMS = 64
_MAX_DEPTH = 8


class Malformed(ValueError):
    """A document that no call can be made of; the text says what is wrong with it."""


class Arguments:
    """The arguments of one call; made anew for each run, since ops may write to them.

    ``raised``: all floating tensors and dtype arguments are float64 (complex128), with the
    values and strides they have. ``device`` is where to put everything, or None for where the
    document says.
    """

    def __init__(
        self,
        document: Mapping[str, Any],
        stored: Stored,
        *,
        device: str | None = None,
        raised: bool = False,
    ) -> None:
        self._document = document
        self._stored = stored
        self._device = device
        self._raised = raised
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._starts: dict[int, int] = {}
        self._tensors = [self._tensor(layout) for layout in document["tensors"]]
        self.positional = [self._value(value) for value in document["args"]]
        self.keywords = {name: self._value(value) for name, value in document["kwargs"].items()}

    def _value(self, value: Mapping[str, Any], depth: int = 0) -> Any:
        if depth > _MAX_DEPTH or not isinstance(value, dict) or len(value) != 1:
            raise Malformed("an argument that no call has")
        ((kind, content),) = value.items()
        if kind == "tensor":
            return self._tensors[content]
        if kind == "list":
            return [self._value(item, depth + 1) for item in content]
        if kind == "device":
            return torch.device(self._device or content)
        if kind == "dtype" and self._raised:
            return _raised(_named(torch.dtype, content))
        return _plain(kind, content)

    def _tensor(self, layout: Mapping[str, Any]) -> torch.Tensor:
        dtype = _named(torch.dtype, layout["dtype"])
        number, shape, stride = layout["storage"], layout["shape"], layout["stride"]
        _require_inside(layout, self._document["storages"][number]["bytes"], dtype)
        storage = self._storage(number, layout, dtype)
        start = self._starts[number]
        size = _element(dtype)
        if start % size:
            raise Malformed("memory on %s cannot lie at this alignment" % layout["device"])
        tensor = torch.empty(0, dtype=dtype, device=storage.device)
        tensor.set_(storage, layout["offset"] + start // size, shape, stride)
        if layout.get("conj"):
            tensor = torch._conj(tensor)
        if layout.get("neg"):
            tensor = torch._neg_view(tensor)
        return _double(tensor) if self._raised else tensor

    def _storage(
        self, number: int, layout: Mapping[str, Any], dtype: torch.dtype
    ) -> torch.UntypedStorage:
        if number in self._storages:
            return self._storages[number]
        recipe = self._document["storages"][number]
        count = int(recipe["bytes"])
        if not 0 <= count <= _MEMORY_LIMIT:
            raise Malformed("a storage of %d bytes" % count)
        size = _element(dtype)
        if "fill" in recipe:
            content = fill(recipe["fill"], dtype, -(-count // size))
            content = content.view(-1).view(torch.uint8)[:count] if count else _bytes(0)
        else:
            content = self._stored(recipe["key"], count)
        device = torch.device(self._device or layout["device"])
        wanted = (layout["alignment"] - layout["offset"] * size) % ALIGNMENT
        storage, start = _aligned(content, wanted, device)
        self._storages[number], self._starts[number] = storage, start
        return storage


def _element(dtype: torch.dtype) -> int:
    """Bytes of one element."""
    return int(torch.empty(0, dtype=dtype).element_size())


def _bytes(count: int) -> torch.Tensor:
    return torch.empty(count, dtype=torch.uint8, device="cpu")


def _aligned(
    content: torch.Tensor, wanted: int, device: torch.device
) -> tuple[torch.UntypedStorage, int]:
    """A copy whose first byte lies at ``wanted`` modulo 64: its storage, and where it starts.

    On a CPU the storage itself begins there, so that any alignment is possible; memory of other
    devices comes aligned, and the copy starts some bytes into it.
    """
    count = content.numel()
    if not count:
        return torch.empty(0, dtype=torch.uint8, device=device).untyped_storage(), 0
    if device.type == "cpu":
        buffer = bytearray(count + 2 * ALIGNMENT)
        address = torch.frombuffer(buffer, dtype=torch.uint8).data_ptr()
        skip = (wanted - address) % ALIGNMENT
        tensor = torch.frombuffer(buffer, dtype=torch.uint8, count=count, offset=skip)
        view_bytes(tensor)[:] = view_bytes(content.contiguous())
        return tensor.untyped_storage(), 0
    whole = torch.empty(count + ALIGNMENT, dtype=torch.uint8, device=device)
    skip = (wanted - whole.data_ptr()) % ALIGNMENT
    whole[skip : skip + count].copy_(content)
    return whole.untyped_storage(), skip


def _require_inside(layout: Mapping[str, Any], available: int, dtype: torch.dtype) -> None:
    """Raise `Malformed` where a tensor would reach beyond its storage."""
    shape, stride, offset = layout["shape"], layout["stride"], layout["offset"]
    if len(shape) != len(stride) or len(shape) > _MAX_DIMS:
        raise Malformed("a tensor of %d sizes and %d strides" % (len(shape), len(stride)))
    if set(map(type, [offset, *shape, *stride])) != {int} or min([offset, *shape, *stride]) < 0:
        raise Malformed("a tensor of shape %.200s and strides %.200s" % (shape, stride))
    if 0 in shape:
        return
    count = math.prod(shape)
    if count > _FREE + _GROWTH * available:
        raise Malformed("a tensor of %d elements over %d bytes" % (count, available))
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride))
    if (last + 1) * _element(dtype) > available:
        raise Malformed("a tensor reaches beyond its %d bytes" % available)


def _double(tensor: torch.Tensor) -> torch.Tensor:
    dtype = _raised(tensor.dtype)
    if dtype is tensor.dtype:
        return tensor
    if any(n > 1 and not step for n, step in zip(tensor.shape, tensor.stride())):
        return tensor.to(dtype)  # an expanded one: its strides cannot hold a copy
    copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device=tensor.device)
    return copy.copy_(tensor)


def _raised(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype


def _plain(kind: str, content: Any) -> Any:
    if kind in _READERS:
        return _READERS[kind](content)
    for torch_kind in (torch.dtype, torch.layout, torch.memory_format):
        if kind == torch_kind.__name__:
            return _named(torch_kind, content)
    raise Malformed("an argument of kind %r" % kind)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "none": lambda _: None,
    "bool": bool,
    "int": int,
    "str": str,
    "float": float.fromhex,
    "complex": lambda parts: complex(*map(float.fromhex, parts)),
}


def _named(kind: type, name: str) -> Any:
    """``torch.NAME``, which must be of this type: names come from files."""
    found = getattr(torch, name, None)
    if not isinstance(found, kind):
        raise Malformed("torch %s has no %s %r" % (torch.__version__, kind.__name__, name))
    return found


def tensors_of(values: Sequence[Any]) -> list[torch.Tensor]:
    """All tensors among arguments, lists looked into."""
    found: list[torch.Tensor] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, list):
            found += tensors_of(value)
    return found
