"""Digests of tensors wherever they lie, without waiting for the device.

A CPU tensor's sum is there at once. On other devices it is written to a slot of a buffer on
that device, and `Hasher.fetch` brings all slots over in one copy a buffer, once a step.
"""

from __future__ import annotations

from typing import Protocol, Sequence, Union

import torch

from . import memory
from .digest import Digester, finish, generic_raw, signed, weights
from .kernels import CudaKernel, KernelUnavailable

_SLOTS = 4096
_current_device = getattr(torch._C, "_cuda_getDevice", torch.cuda.current_device)


class Hasher:
    """Hands out sums over columns (`digest`); one for a recording, made before the script runs."""

    def __init__(self) -> None:
        self._cpu = Digester()
        self._devices: dict[torch.device, _Device] = {}
        self.methods = {"cpu": "integer products"}

    def submit(self, tensor: torch.Tensor) -> Raw:
        """The sum as an int, or a `Pending` that is one after the next `fetch`."""
        if tensor.device.type == "cpu":
            return self._cpu.raw(tensor)
        device = self._devices.get(tensor.device)
        if device is None:
            device = self._devices[tensor.device] = self._open(tensor.device)
        return device.submit(tensor)

    def fetch(self) -> None:
        """Bring over what is pending; the only place that waits for a device."""
        for device in self._devices.values():
            device.fetch()

    def _open(self, device: torch.device) -> _Device:
        method, described = _choose(device)
        self.methods[str(device)] = described
        return _Device(device, method)


def _choose(device: torch.device) -> tuple[_Method, str]:
    """How to compute sums on a device, and that in words."""
    described = "torch operations"
    if device.type == "cuda" and torch.version.cuda:
        try:
            return _Launched(device), "one kernel a tensor"
        except KernelUnavailable as error:
            described += " (%s)" % error
    return _Generic(device), described


class Pending:
    """A sum that is still on its device."""

    __slots__ = ("_buffer", "_slot")

    def __init__(self, buffer: _Buffer, slot: int) -> None:
        self._buffer = buffer
        self._slot = slot

    @property
    def value(self) -> int:
        """The sum; only after `Hasher.fetch`."""
        return self._buffer.values[self._slot]


Raw = Union[int, Pending]


def final(raw: Raw, dtype: str, shape: Sequence[int]) -> int:
    """The digest from a sum that is an int or a fetched `Pending`."""
    return finish(raw.value if isinstance(raw, Pending) else raw, dtype, shape)


class _Buffer:
    def __init__(self, device: torch.device) -> None:
        with torch.inference_mode(False):
            self.slots = torch.zeros(_SLOTS, dtype=torch.int64, device=device)
        self.address = self.slots.data_ptr()
        self.used = 0
        self.values: Sequence[int] = ()


class _Method(Protocol):
    def write(self, tensor: torch.Tensor, buffer: _Buffer, slot: int) -> None:
        """Put the sum of a tensor that is not empty into a slot of a buffer."""


class _Device:
    """The buffers of one device, and how a sum gets into a slot."""

    def __init__(self, device: torch.device, method: _Method) -> None:
        self._device = device
        self._method = method
        self._open: list[_Buffer] = []

    def submit(self, tensor: torch.Tensor) -> Pending:
        if not self._open or self._open[-1].used == _SLOTS:
            self._open.append(_Buffer(self._device))
        buffer = self._open[-1]
        slot = buffer.used
        buffer.used += 1
        if tensor.numel():
            self._method.write(tensor, buffer, slot)
        return Pending(buffer, slot)

    def fetch(self) -> None:
        for buffer in self._open:
            buffer.values = buffer.slots[: buffer.used].tolist()
        self._open = []  # a Pending keeps its buffer; a new step starts with zeroed slots


class _Launched:
    """By our own kernel, on torch's current stream."""

    def __init__(self, device: torch.device) -> None:
        self._kernel = CudaKernel(device)
        self._index = device.index

    def write(self, tensor: torch.Tensor, buffer: _Buffer, slot: int) -> None:
        flat = tensor
        if not tensor.is_contiguous() or tensor.is_conj() or tensor.is_neg():
            flat = memory.plain(tensor)
        pointer = flat.data_ptr()
        if pointer % 8:
            flat = memory.plain(tensor).clone(memory_format=torch.contiguous_format)
            pointer = flat.data_ptr()
        count = flat.numel() * flat.element_size()
        out = buffer.address + 8 * slot
        if _current_device() == self._index:
            self._kernel.launch(pointer, count, out)
        else:
            with torch.cuda.device(self._index):
                self._kernel.launch(pointer, count, out)


class _Generic:
    """By torch operations on the device."""

    def __init__(self, device: torch.device) -> None:
        with torch.inference_mode(False):
            self._w = torch.tensor([signed(n) for n in weights()], device=device)

    def write(self, tensor: torch.Tensor, buffer: _Buffer, slot: int) -> None:
        buffer.slots[slot] = generic_raw(tensor, self._w)
