"""Reading stored tensors out of ``tensors/*.safetensors`` as untrusted input.

The safetensors library refuses a file with bytes after its last tensor. A worker that was
killed while it wrote leaves just that, with everything before it whole, so the header (JSON
behind its length) is read here, and each entry is checked against the file and the index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from forkpoint.errors import RecordingError
from forkpoint.store.dtypes import DTYPES, header_agrees
from forkpoint.store.manifest import regular_file_size
from forkpoint.store.rows import TensorRow
from forkpoint.untrusted import open_file

_NAME = re.compile(r"[0-9]{1,12}\.safetensors")
_LENGTH_BYTES = 8
_MAX_HEADER = 100_000_000  # the format's own limit
_DAMAGED = "The file is damaged. Record it again with tensors kept."


class Entry(msgspec.Struct):
    """One tensor of a safetensors header; offsets count from the end of the header."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Header:
    """A safetensors header: where the data begins, and the tensors by name."""

    data: int
    entries: dict[str, Entry]


@dataclass(slots=True)
class Shards:
    """The shards of one recording; each header is checked and read once."""

    folder: Path
    _headers: dict[str, Header] = field(default_factory=dict)

    def load(self, tensor: TensorRow, file: str, key: str) -> NDArray[np.generic]:
        """Read one tensor as a new array of its own dtype and shape.

        Raises `RecordingError` where the file name leaves the folder, the shard is damaged, or
        its header disagrees with the index.
        """
        path = self._path(file)
        if file not in self._headers:
            self._headers[file] = read_header(path)
        header = self._headers[file]
        if key not in header.entries:
            raise RecordingError(f"{path} holds no tensor {key[:80]!r}", hint=_DAMAGED)
        entry = header.entries[key]
        size = _checked_size(path, tensor, key, entry)
        data = read_entry(path, header, key, size)
        return np.frombuffer(data, dtype=DTYPES[tensor.dtype]).reshape(tensor.shape)

    def _path(self, file: str) -> Path:
        if not _NAME.fullmatch(file):
            raise RecordingError(
                f"{self.folder.parent / 'index.sqlite'} names {file[:80]!r} as a file of tensors",
                hint="Files of tensors are named like 00000.safetensors and lie in tensors/.",
            )
        if self.folder.is_symlink():
            raise RecordingError(
                f"{self.folder} is a link", hint="Links in a recording are not followed."
            )
        return self.folder / file


def read_header(path: Path) -> Header:
    """The header of a safetensors file, each entry checked to lie inside the file.

    Raises `RecordingError` where the file is not one, was cut off, or points outside itself.
    """
    size = regular_file_size(path)
    try:
        with open_file(path, refusal=RecordingError) as stream:
            length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
            text = stream.read(min(length, size, _MAX_HEADER))
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        entries = {key: msgspec.json.decode(entry, type=Entry) for key, entry in raw.items()}
    except (msgspec.MsgspecError, OSError, ValueError, RecursionError) as error:
        reason = str(error)[:500]
        raise RecordingError(
            f"{path} is not a safetensors file: {reason}", hint=_DAMAGED
        ) from error
    data = _LENGTH_BYTES + length
    for key, entry in entries.items():
        start, end = entry.data_offsets
        if not 0 <= start <= end <= size - data:
            raise RecordingError(
                f"{path} was cut off, or its header is wrong: tensor {key[:80]!r} lies at "
                f"{start} to {end} of {size - data} bytes",
                hint=_DAMAGED,
            )
    return Header(data, entries)


def read_entry(path: Path, header: Header, key: str, size: int) -> bytes:
    """The ``size`` bytes of one entry of a file whose header was read."""
    with open_file(path, refusal=RecordingError) as stream:
        stream.seek(header.data + header.entries[key].data_offsets[0])
        data = stream.read(size)
    if len(data) != size:
        raise RecordingError(f"{path} ends inside tensor {key[:80]!r}", hint=_DAMAGED)
    return data


def _checked_size(path: Path, tensor: TensorRow, key: str, entry: Entry) -> int:
    start, end = entry.data_offsets
    size = tensor.nbytes
    assert size is not None  # `Recording.load` refuses other dtypes before
    agrees = header_agrees(tensor.dtype, tensor.shape, (entry.dtype, entry.shape))
    if not agrees or end - start != size:
        raise RecordingError(
            f"{path}: tensor {key[:80]!r} is {entry.dtype[:20]}{str(entry.shape)[:200]} of "
            f"{end - start} bytes, "
            f"but the index says {tensor.dtype}{list(tensor.shape)} of {size} bytes",
            hint=_DAMAGED,
        )
    return size
