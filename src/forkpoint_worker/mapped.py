"""Reading tensors of safetensors files where they lie on disk."""

from __future__ import annotations

import json
import mmap
import os
import stat
import struct
from typing import IO, Any, Dict, Sequence, Tuple

import torch

_MAX_HEADER = 100000000  # the format's own limit
_Mapped = Tuple[mmap.mmap, Dict[str, Any], int]  # bytes, header, where tensors start


class Maps:
    """The safetensors files of one folder, mapped into memory."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[str, _Mapped] = {}

    def tensor(self, file: str, key: str, dtype: torch.dtype, shape: Sequence[int]) -> torch.Tensor:
        """A tensor on the CPU, not to be written to; dtype and shape are the caller's to know.

        Raises `KeyError` where the file has no such key, `ValueError` where the bytes there are
        not as many as the shape says.
        """
        view, entries, start = self._shard(file)
        begin, end = entries[key]["data_offsets"]
        if not 0 <= begin <= end <= len(view) - start:
            raise ValueError("%s: %r lies outside of the file" % (file, key[:80]))
        if begin == end:
            return torch.empty(0, dtype=dtype, device="cpu").view(shape)
        count = (end - begin) // torch.empty(0, dtype=dtype).element_size()
        flat = torch.frombuffer(view, dtype=dtype, count=count, offset=start + begin)
        return flat.view(shape)

    def entries(self, file: str) -> dict[str, Any]:
        """The header of a file: {key: {"dtype", "shape", "data_offsets"}}."""
        return self._shard(file)[1]

    def _shard(self, file: str) -> _Mapped:
        found = self._open.get(file)
        if found is None:
            with open_file(os.path.join(self._folder, os.path.basename(file))) as stream:
                # private and writable, because torch warns of memory that cannot be written to
                view = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            (size,) = struct.unpack("<Q", view[:8])
            if size > min(len(view) - 8, _MAX_HEADER):
                raise ValueError("%s has a header of %d bytes" % (file, size))
            found = self._open[file] = (view, _decoded(view[8 : 8 + size], file), 8 + size)
        return found


def open_file(path: str) -> IO[bytes]:
    """Open a regular file, at once or not at all; raises `OSError`, `ValueError` for others.

    A pipe would block for ever, and a link may lead anywhere.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ValueError("%s is no regular file" % path)


def read_json(path: str, most: int) -> Any:
    """The content of a JSON file of at most so many bytes; raises as `open_file` does."""
    with open_file(path) as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise ValueError("%s has more than %d bytes" % (path, most))
    return _decoded(data, path)


def _decoded(data: bytes, name: str) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("%s nests too deeply" % name) from None
