"""Reading tensors of safetensors files where they lie on disk."""

from __future__ import annotations

import json
import mmap
import os
import struct
from typing import Any, Dict, Sequence, Tuple

import torch

_Mapped = Tuple[mmap.mmap, Dict[str, Any], int]  # bytes, header, where tensors start


class Maps:
    """The safetensors files of one folder, mapped into memory."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[str, _Mapped] = {}

    def tensor(self, file: str, key: str, dtype: torch.dtype, shape: Sequence[int]) -> torch.Tensor:
        """A tensor on the CPU, not to be written to; dtype and shape are the caller's to know.

        Raises `KeyError` where the file has no such key, `ValueError` where the bytes there are
        not enough.
        """
        view, entries, start = self._shard(file)
        begin, end = entries[key]["data_offsets"]
        if begin == end:
            return torch.empty(shape, dtype=dtype, device="cpu")
        count = (end - begin) // torch.empty(0, dtype=dtype).element_size()
        flat = torch.frombuffer(view, dtype=dtype, count=count, offset=start + begin)
        return flat.view(shape)

    def entries(self, file: str) -> dict[str, Any]:
        """The header of a file: {key: {"dtype", "shape", "data_offsets"}}."""
        return self._shard(file)[1]

    def _shard(self, file: str) -> _Mapped:
        found = self._open.get(file)
        if found is None:
            with open(os.path.join(self._folder, os.path.basename(file)), "rb") as stream:
                # private and writable, because torch warns of memory that cannot be written to
                view = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            (size,) = struct.unpack("<Q", view[:8])
            found = self._open[file] = (view, json.loads(view[8 : 8 + size]), 8 + size)
        return found
