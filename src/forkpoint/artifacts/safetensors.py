"""safetensors files: no code in them, and every range is checked before it is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any

from forkpoint.artifacts.arrays import Stored, compare_named, read_exactly
from forkpoint.artifacts.changes import Changes
from forkpoint.artifacts.comparer import Context, File, Found, Refused
from forkpoint.artifacts.documents import parse
from forkpoint.artifacts.numbers import Number
from forkpoint.inert import name as inert
from forkpoint.model import Verdict
from forkpoint.store import DTYPES, SAFETENSORS

METADATA = "__metadata__"
MAX_HEADER = 100_000_000
"""Bytes of a header, as the format itself has it."""

MAX_DIMENSIONS = 64
_DIGITS = 20
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
        """Tensors by name, then what else the header says."""
        one, two = (contents(file) for file in (baseline, candidate))
        yield from compare_named(one.tensors, two.tensors, context)
        changes = Changes(context)
        changes.walk("", one.metadata, two.metadata)
        found = changes.found()
        if found.verdict is not Verdict.IDENTICAL:
            yield replace(found, part=METADATA)


@dataclass(frozen=True, slots=True)
class Contents:
    """A file's tensors by name, and its text about them."""

    tensors: dict[str, Stored]
    metadata: Any


def tensors_of(file: File) -> dict[str, Stored]:
    """The tensors of a file by name; raises `Refused` for a file that is damaged or unsafe."""
    return contents(file).tensors


def contents(file: File) -> Contents:
    """What a file holds; raises `Refused` where it is damaged, unsafe or ambiguous."""
    with file.open() as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > min(MAX_HEADER, max(file.size - 8, 0)):
            raise Refused(f"The header claims {length:,} bytes.", hint=_HINT)
        header = parse(read_exactly(stream, length))
    if not isinstance(header, dict):
        raise Refused("The header is no JSON object.", hint=_HINT)
    metadata = header.pop(METADATA, None)
    start = 8 + length
    entries = {name: _entry(name, entry) for name, entry in header.items()}
    _require_whole(sorted(entry.data_offsets for entry in entries.values()), file.size - start)
    tensors = {name: _stored(file, start, name, entry) for name, entry in entries.items()}
    return Contents(tensors, metadata)


@dataclass(frozen=True, slots=True)
class _Entry:
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def _entry(name: str, raw: Any) -> _Entry:
    """The description of one tensor, nothing of it said twice."""
    try:
        shape = _wholes(raw["shape"])
        start, end = _wholes(raw["data_offsets"])
        return _Entry(_text(raw["dtype"]), shape, (start, end))
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(
            f"Tensor '{inert(name[:80])}' is not described as it must be: {error}.", hint=_HINT
        ) from error


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("the dtype is no text, or is there more than once")
    return value


def _wholes(values: Any) -> list[int]:
    if type(values) is not list or len(values) > MAX_DIMENSIONS:
        raise TypeError(f"a field is no list of {MAX_DIMENSIONS} numbers at most, or there twice")
    return [_whole(value) for value in values]


def _whole(number: Any) -> int:
    if not isinstance(number, Number) or not number.whole or len(number) > _DIGITS:
        raise ValueError("a size or place is no whole number, or far too large")
    return int(number)


def _require_whole(ranges: list[tuple[int, int]], size: int) -> None:
    """Each byte belongs to one tensor: the format allows no holes, which could hide something."""
    at = 0
    for start, end in ranges:
        if start != at or end < start:
            raise Refused(
                "Tensors overlap or leave holes, or point outside of the file.", hint=_HINT
            )
        at = end
    if at != size:
        raise Refused(f"Tensors take {at:,} bytes, and there are {size:,}.", hint=_HINT)


def _stored(file: File, data: int, name: str, entry: _Entry) -> Stored:
    shown = f"Tensor '{inert(name[:80])}'"
    dtype = _BY_CODE.get(entry.dtype)
    if dtype is None:
        raise Refused(
            f"{shown} is of dtype {entry.dtype[:20]!r}, which is not known here.",
            hint="Save it as another dtype.",
        )
    start, end = entry.data_offsets
    absurd = any(not 0 <= size < 1 << 63 for size in entry.shape)
    if absurd or math.prod(entry.shape) * dtype.itemsize != end - start:
        raise Refused(
            f"{shown} is {entry.dtype}{entry.shape[:9]}, but has {end - start:,} bytes.",
            hint=_HINT,
        )
    return Stored(dtype, tuple(entry.shape), partial(_at, file, data + start))


def _at(file: File, offset: int) -> IO[bytes]:
    stream = file.open()
    stream.seek(offset)
    return stream
