"""Writing tensors as safetensors files, by the standard library alone.

A shard's header has a fixed room at its start, padded with spaces as the format allows, and is
rewritten after each step: what an earlier commit names is readable whatever happens next.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
from typing import Any, Mapping, Sequence

import torch

from . import memory
from .digest import digest_text, dtype_name

SHARD_BYTES = 256 << 20
_HEADER = 128 << 10
_ENTRY = 400  # bytes of header that an entry may take at most
_NAMES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
    "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip


class Shards:
    """The ``tensors`` folder: equal bits are stored once, up to ``limit`` bytes in all."""

    def __init__(self, folder: str, limit: int) -> None:
        os.makedirs(folder)
        self._folder = folder
        self._limit = limit
        self._places: dict[str, tuple[str, str]] = {}
        self._shard: _Shard | None = None
        self._count = 0
        self.bytes = 0
        self.full = False
        self.refusals: list[str] = []  # of the disk, until somebody takes them

    def put(self, digest: int, tensor: torch.Tensor, spare: int = 0) -> tuple[str, str] | None:
        """Write a tensor unless its bits are here; (file, key), or None where there is no room.

        ``spare`` bytes of the limit are left for others.
        """
        tensor = memory.plain(tensor).cpu()
        dtype = dtype_name(tensor.dtype)
        shape = "x".join(map(str, tensor.shape))
        key = "%s.%s.%s" % (digest_text(digest), dtype, shape)
        if key in self._places:
            return self._places[key]
        size = tensor.numel() * tensor.element_size()
        if self.bytes + size + spare > self._limit:
            self.full = True
            return None
        try:
            place = self._append(key, dtype, tensor, size)
        except OSError as error:  # the disk is full: what is there stays valid, and that is said
            self.full = True
            self.refusals.append(error.strerror or str(error))
            return None
        self._places[key] = place
        self.bytes += size
        return place

    def take(self, size: int) -> bool:
        """Count ``size`` bytes that are written elsewhere in the recording, if they fit."""
        if self.bytes + size > self._limit:
            self.full = True
            return False
        self.bytes += size
        return True

    def _append(self, key: str, dtype: str, tensor: torch.Tensor, size: int) -> tuple[str, str]:
        if self._shard is None or not self._shard.fits(size):
            self.flush()
            self._count += 1
            self._shard = _Shard(self._folder, "%05d.safetensors" % self._count)
        name, shape = file_dtype(dtype, tensor.shape, tensor.element_size())
        self._shard.append(key, name, shape, memory.view_bytes(tensor))
        return self._shard.name, key

    def flush(self) -> None:
        """Make everything put so far readable."""
        if self._shard is not None:
            self._shard.flush()

    def close(self) -> None:
        """Flush and close the last shard."""
        if self._shard is not None:
            self._shard.flush()
            self._shard.file.close()
            self._shard = None


class _Shard:
    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self.file = open(os.path.join(folder, name), "w+b", buffering=0)  # noqa: SIM115
        self._entries: dict[str, Any] = {}
        self._size = 0
        self._dirty = True

    def fits(self, size: int) -> bool:
        room = (len(self._entries) + 1) * _ENTRY < _HEADER
        return room and (not self._entries or self._size + size <= SHARD_BYTES)

    def append(self, key: str, dtype: str, shape: list[int], data: memoryview) -> None:
        start = self._size
        self.file.seek(8 + _HEADER + start)
        try:
            _write_all(self.file, data)
        except OSError:
            self.file.truncate(8 + _HEADER + start)
            raise
        self._size += len(data)
        offsets = [start, self._size]
        self._entries[key] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        self._dirty = True

    def flush(self) -> None:
        if self._dirty:
            text = json.dumps(self._entries).encode().ljust(_HEADER)
            self.file.seek(0)
            _write_all(self.file, struct.pack("<Q", len(text)) + text)
            self._dirty = False


def file_dtype(dtype: str, shape: Sequence[int], element: int) -> tuple[str, list[int]]:
    """A header's dtype and shape; complex and newer dtypes are raw bytes, others know better."""
    if dtype in _NAMES:
        return _NAMES[dtype], list(shape)
    return _NAMES["uint8"], [math.prod(shape) * element]


def write_tensors(path: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write contiguous CPU tensors as one safetensors file."""
    header, start = {}, 0
    for key, tensor in tensors.items():
        end = start + tensor.numel() * tensor.element_size()
        name, shape = file_dtype(dtype_name(tensor.dtype), tensor.shape, tensor.element_size())
        header[key] = {"dtype": name, "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    with open(path, "wb", buffering=0) as file:
        _write_all(file, struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            _write_all(file, memory.view_bytes(tensor))


def _write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
