"""numpy's ``.npy`` files, and the ``.npz`` archives that hold them."""

from __future__ import annotations

import errno
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO

import numpy as np
from numpy.lib import format as npy_format

from forkpoint.artifacts.arrays import Stored, compare_named, compare_stored
from forkpoint.artifacts.comparer import Context, File, Found, Refused

MAX_UNPACKED = 1 << 30
MAX_RATIO = 100
"""An archive may claim 1 GiB, or a hundred times its own size: more is taken for a bomb."""

MAX_DIMENSIONS = 64
"""As many as numpy has."""

MAX_MEMBERS = 100_000
_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 64 * 1024
# numpy reads a header as a Python literal, and tokenizes one that looks as Python 2 wrote it
NO_HEADER = (
    ValueError, SyntaxError, tokenize.TokenError, OverflowError, RecursionError, TypeError,
    KeyError,
    MemoryError,  # what Python's parser raises where a literal nests too deeply
)  # fmt: skip
_NO_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, ValueError, struct.error,
    NotImplementedError, RuntimeError, EOFError,
)  # fmt: skip
_HINT = "Write the file again; if it came from elsewhere, do not trust it."


class Npy:
    """One array without pickled objects."""

    kind = "npy"

    def recognises(self, file: File) -> bool:
        """By the magic bytes."""
        return file.head.startswith(_MAGIC)

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """The array of each file, element by element."""
        one, two = (stored_array(file.open, file.size) for file in (baseline, candidate))
        yield compare_stored("", one, two, context)


class Npz:
    """Named arrays in a zip archive, unpacked block by block in memory and never to disk."""

    kind = "npz"

    def recognises(self, file: File) -> bool:
        """A zip archive that is called ``.npz``, or begins with an array."""
        return file.head.startswith(b"PK\x03\x04") and (
            file.suffix == ".npz" or b".npy" in file.head[:256]
        )

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Arrays by name; times and compression of the archive do not matter."""
        try:
            with _archive(baseline) as one, _archive(candidate) as two:
                yield from compare_named(_members(one), _members(two), context)
        except _NO_ARCHIVE as error:
            raise Refused(f"The archive is damaged or encrypted: {error}.", hint=_HINT) from error
        except OSError as error:
            if error.errno != errno.EINVAL:  # a member that lies before the file's beginning
                raise
            raise Refused(
                "The archive is damaged: a member lies outside of it.", hint=_HINT
            ) from error


def most_unpacked(size: int) -> int:
    """Bytes that a file of so many bytes may claim to hold before it is taken for a bomb."""
    return max(MAX_UNPACKED, MAX_RATIO * size)


def _archive(file: File) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(file.open())
    members = archive.infolist()
    claimed = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or claimed > most_unpacked(file.size):
        archive.close()
        raise Refused(
            f"The archive claims {len(members):,} members and {claimed:,} bytes out of "
            f"{file.size:,}: it looks like a zip bomb and was not unpacked.",
            hint="If it is yours, save it without compression (numpy.savez).",
        )
    return archive


def _members(archive: zipfile.ZipFile) -> dict[str, Stored]:
    found: dict[str, Stored] = {}
    for member in archive.infolist():
        _require_plain(member)
        name = member.filename.removesuffix(".npy")
        if not name or name in found:
            problem = f"Two members are named '{name[:60]}'" if name else "A member has no name"
            raise Refused(f"{problem}: which one is meant is not known.", hint=_HINT)
        if not member.is_dir():
            found[name] = stored_array(partial(archive.open, member), member.file_size)
    return found


def _require_plain(member: zipfile.ZipInfo) -> None:
    """Refuse what numpy never writes, and what zipfile would read as something else."""
    if "\0" in member.orig_filename:
        raise Refused("The name of a member has a zero byte in it.", hint=_HINT)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Refused(
            f"Members are compressed by method {member.compress_type}, which numpy never does.",
            hint="Save it with numpy.savez or numpy.savez_compressed.",
        )


def stored_array(open_at_start: Callable[[], IO[bytes]], size: int) -> Stored:
    """The array behind a header that is checked against the file's size."""
    try:
        with open_at_start() as stream:
            shape, fortran, dtype = _read_header(stream)
            offset = stream.tell()
    except NO_HEADER as error:
        raise Refused(
            f"The header of the array is wrong: {str(error) or type(error).__name__}.", hint=_HINT
        ) from error
    if dtype.hasobject:
        raise Refused(
            "The array holds Python objects, which only unpickling can read; that could run code.",
            hint="Save it with a number type, or as JSON.",
        )
    if len(shape) > MAX_DIMENSIONS:
        raise Refused(
            f"The header claims {len(shape):,} dimensions; arrays have {MAX_DIMENSIONS} at most.",
            hint=_HINT,
        )
    absurd = any(not 0 <= length < 1 << 63 for length in shape)
    if absurd or math.prod(shape) * dtype.itemsize != size - offset:
        raise Refused(
            f"The header claims {dtype}{list(shape)}, but {size - offset:,} bytes follow it.",
            hint=_HINT,
        )
    return Stored(dtype, shape, partial(_at, open_at_start, offset), fortran and len(shape) > 1)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    version = npy_format.read_magic(stream)
    read = {
        (1, 0): npy_format.read_array_header_1_0,
        (2, 0): npy_format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format is not known here")
    shape, fortran, dtype = read(stream, max_header_size=_MAX_HEADER)
    return shape, fortran, dtype


def _at(open_at_start: Callable[[], IO[bytes]], offset: int) -> IO[bytes]:
    stream = open_at_start()
    stream.seek(offset)
    return stream
