"""safetensors files: no code in them, and every range is checked before it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import IO

from forkpoint.artifacts.arrays import Stored, compare_named
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.errors import RecordingError
from forkpoint.store import DTYPES, SAFETENSORS, read_header

_BY_CODE = {code: DTYPES[name] for name, code in SAFETENSORS.items()}
_HINT = "The file is damaged or was made up: write it again."


class Safetensors:
    """Named tensors."""

    kind = "safetensors"

    def recognises(self, file: File) -> bool:
        """By the suffix, or a header length that is followed by JSON."""
        return file.suffix == ".safetensors" or (
            file.head[8:9] == b"{" and int.from_bytes(file.head[:8], "little") < file.size
        )

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Tensors by name."""
        yield from compare_named(tensors_of(baseline), tensors_of(candidate), context)


def tensors_of(file: File) -> dict[str, Stored]:
    """The tensors of a file by name; raises `Refused` for a file that is damaged or unsafe."""
    try:
        header = read_header(file.path)
    except RecordingError as error:
        raise Refused(f"{error.message}.", hint=_HINT) from error
    found = {}
    for name, entry in header.entries.items():
        start, end = entry.data_offsets
        dtype = _BY_CODE.get(entry.dtype)
        if dtype is None:
            raise Refused(
                f"Tensor {name[:80]!r} is of dtype {entry.dtype[:20]!r}, which is not known here.",
                hint="Save it as another dtype.",
            )
        negative = any(size < 0 for size in entry.shape)
        if negative or math.prod(entry.shape) * dtype.itemsize != end - start:
            raise Refused(
                f"Tensor {name[:80]!r} is {entry.dtype}{entry.shape[:9]}, but has "
                f"{end - start:,} bytes.",
                hint=_HINT,
            )
        found[name] = Stored(dtype, tuple(entry.shape), partial(_at, file, header.data + start))
    return found


def _at(file: File, offset: int) -> IO[bytes]:
    stream = file.open()
    stream.seek(offset)
    return stream
