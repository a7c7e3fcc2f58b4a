"""Parquet and Arrow, column by column, by pyarrow (the extra ``tables``).

A column is taken apart into *leaves*: the numbers of a list, or of a field of a structure, and
the lengths of the lists. Leaves of numbers get the metrics of arrays; of all others (text,
times, decimals) values are equal or not. A null is a value of its own. Row numbers pair up
values, so tables of other lengths, or columns of other types, have nothing to pair up.
"""

from __future__ import annotations

import importlib
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.version import Version

from forkpoint.artifacts.arrays import MAX_WHERE, Array, measured, share
from forkpoint.artifacts.changes import Changes
from forkpoint.artifacts.comparer import Context, File, Found, Refused, Side
from forkpoint.artifacts.npy import most_unpacked
from forkpoint.compare import bits, compare_stream, limits_for
from forkpoint.model import Verdict
from forkpoint_worker.limits import memory_limit

ROWS = 1 << 16
"""Rows of one column that are read at a time, before lists in it are taken apart."""

MAX_MEMORY = 4 << 30
"""Bytes that reading may take: what unpacks to more at a time is taken for a bomb."""

_SAFE_SINCE = Version("14.0.1")  # pyarrow before could be made to unpickle (CVE-2023-47248)
_PARQUET = b"PAR1"
_FILE = b"ARROW1"
_STREAM = b"\xff\xff\xff\xff"
_ARROW_SUFFIXES = frozenset({".arrow", ".arrows", ".feather", ".ipc"})

Batches = Callable[[], Iterator[Any]]
Bools = NDArray[np.bool_]
Source = Callable[[], Iterator[tuple[Array, Array]]]


class Parquet:
    """Parquet files."""

    kind = "parquet"

    def recognises(self, file: File) -> bool:
        """By the magic bytes."""
        return file.head.startswith(_PARQUET)

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Columns by name."""
        yield from _compare(_parquet(baseline), _parquet(candidate), context)


class Arrow:
    """Arrow files (also Feather, version 2) and streams."""

    kind = "arrow"

    def recognises(self, file: File) -> bool:
        """By the magic bytes; a stream by its suffix, too."""
        is_stream = file.head.startswith(_STREAM) and file.suffix in _ARROW_SUFFIXES
        return is_stream or file.head.startswith(_FILE)

    def compare(self, baseline: File, candidate: File, context: Context) -> Iterator[Found]:
        """Columns by name."""
        yield from _compare(_arrow(baseline), _arrow(candidate), context)


@dataclass(frozen=True, slots=True)
class _Table:
    """A table that can be read again and again; ``column(number)`` starts at its first row."""

    rows: int
    types: dict[str, Any]
    column: Callable[[int], Iterator[Any]]
    described: dict[str, Any]


def _parquet(file: File) -> _Table:
    parquet = _pyarrow("pyarrow.parquet")
    with _refusing():
        # open until all columns are read: of a wide table, the footer is most of the file
        opened = parquet.ParquetFile(_source(file))
        rows, schema = opened.metadata.num_rows, opened.schema_arrow
        types = _types(schema)
    _require_likely(rows, types, file.size)

    def column(number: int) -> Iterator[Any]:
        # by name, parquet would take all leaves below a name that has a dot in it
        name = schema.field(number).name
        for batch in opened.iter_batches(batch_size=ROWS, columns=[name]):
            yield batch.column(batch.schema.get_field_index(name))

    return _Table(rows, types, column, _described(schema))


def _arrow(file: File) -> _Table:
    pyarrow = _pyarrow("pyarrow")
    of_file = file.head.startswith(_FILE)

    @contextmanager
    def opened(number: int | None) -> Iterator[Any]:
        options = pyarrow.ipc.IpcReadOptions(included_fields=None if number is None else [number])
        with _source(file) as source:
            kind = pyarrow.ipc.open_file if of_file else pyarrow.ipc.open_stream
            with kind(source, options=options) as reader:
                yield reader

    def batches(number: int | None) -> Iterator[Any]:
        with opened(number) as reader:
            numbers = range(reader.num_record_batches) if of_file else ()
            for batch in map(reader.get_batch, numbers) if of_file else reader:
                batch.validate(full=True)  # offsets of lists and text may point anywhere
                yield batch

    def column(number: int) -> Iterator[Any]:
        for batch in batches(number):
            for start in range(0, batch.num_rows, ROWS):
                yield batch.column(0).slice(start, ROWS)

    with _refusing():
        with opened(None) as reader:
            schema = reader.schema
            types = _types(schema)
        rows = sum(batch.num_rows for batch in batches(0 if types else None))
    return _Table(rows, types, column, _described(schema))


def _source(file: File) -> Any:
    """The file's bytes for pyarrow, which opens nothing by its name."""
    pyarrow = _pyarrow("pyarrow")
    with file.open() as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    # it is unmapped when the last array that lies in it is gone
    return pyarrow.BufferReader(pyarrow.py_buffer(mapping))


def _described(schema: Any) -> dict[str, Any]:
    """All that a schema says beside the types: the order, what may be null, and notes of both."""
    return {
        "columns": list(schema.names),
        "nullable": {field.name: field.nullable for field in schema},
        "metadata": _texts(schema.metadata),
        "column metadata": {field.name: _texts(field.metadata) for field in schema},
    }


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {
        key.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
        for key, value in (metadata or {}).items()
    }


def _require_likely(rows: int, types: dict[str, Any], size: int) -> None:
    """Refuse a file of repeated values that would take for ever: each reads as its own."""
    claimed = rows * sum(_width(kind) for kind in types.values())
    if claimed > most_unpacked(size):
        raise Refused(
            f"The table claims {rows:,} rows, {claimed:,} bytes or more, out of {size:,}: it looks "
            "like a bomb and was not unpacked.",
            hint="If it is yours, compare smaller files.",
        )


def _width(kind: Any) -> int:
    """Bytes of a value, 1 where values have no width of their own."""
    try:
        return max(1, int(kind.bit_width) // 8)
    except ValueError:  # text, lists: pyarrow says so only by raising
        return 1


def _types(schema: Any) -> dict[str, Any]:
    if len(set(schema.names)) != len(schema.names):
        raise Refused("Two columns have one name.", hint="Rename one of them.")
    return {field.name: field.type for field in schema}


def _compare(one: _Table, two: _Table, context: Context) -> Iterator[Found]:
    for name in sorted(one.types.keys() | two.types.keys()):
        yield from _column(name, one, two, context)
    changes = Changes(context)
    changes.walk("", one.described, two.described)
    found = changes.found()
    if found.verdict is not Verdict.IDENTICAL:
        yield replace(found, part="schema")


def _column(name: str, one: _Table, two: _Table, context: Context) -> Iterator[Found]:
    types = one.types.get(name), two.types.get(name)
    there = [kind for kind in types if kind is not None]
    if len(there) == 1:
        side: Side = "baseline" if types[0] is not None else "candidate"
        yield Found(
            part=name,
            verdict=Verdict.DIVERGENT,
            summary=f"{there[0]} only in the {side}",
            side=side,
        )
    elif one.rows != two.rows or not there[0].equals(there[1]):
        kinds = f"{types[0]}[{one.rows}] and {types[1]}[{two.rows}]"
        yield Found(part=name, verdict=Verdict.DIVERGENT, summary=f"{kinds}: nothing to pair up")
    else:
        at = [list(table.types).index(name) for table in (one, two)]
        sides = partial(one.column, at[0]), partial(two.column, at[1])
        with _refusing():
            yield from _leaves(name, sides, context)


def _leaves(name: str, sides: tuple[Batches, Batches], context: Context) -> Iterator[Found]:
    """First what all leaves are and whether they pair up, then the metrics of those of numbers."""
    leaves: dict[str, _Leaf] = {}
    start = 0
    for one, two in _aligned(sides):
        for path, b, c in _pairs(name, one, two):
            leaves.setdefault(path, _Leaf(path)).add(b, c, start)
        start += len(one)
    for path, leaf in leaves.items():
        if leaf.dtype is None or leaf.unpaired or not leaf.changed:
            yield leaf.found()
        else:
            yield _measured(leaf, partial(_values, name, path, sides), context)


@dataclass(slots=True)
class _Leaf:
    """Counts over one leaf.

    ``dtype`` is that of numbers, of which ``numbers`` pairs have no null; ``nulls`` pairs have
    one null. ``unpaired``: lists of other lengths left values without their neighbour.
    """

    path: str
    dtype: np.dtype[np.generic] | None = None
    total: int = 0
    numbers: int = 0
    changed: int = 0
    nulls: int = 0
    unpaired: bool = False
    where: list[str] = field(default_factory=list)

    def add(self, one: Any, two: Any, start: int) -> None:
        """Take in the values of one block of rows, which begins at row ``start``."""
        self.total += max(len(one), len(two))
        if len(one) != len(two):
            self.unpaired = True
            self.changed += abs(len(one) - len(two))
            self._note(f"from row {start} on: {len(one)} and {len(two)} values")
            return
        unlike = _unlike_nulls(one, two)
        self.nulls += int(unlike.sum())
        if _is_number(one.type):
            b, c = _numbers(one, two)
            self.dtype = b.dtype
            self.numbers += b.size
            self.changed += int((bits(b) != bits(c)).sum())
        else:
            unlike |= _unlike(one, two)
        at = np.flatnonzero(unlike)
        self.changed += at.size
        if at.size:
            place = f"in rows from {start}" if "[]" in self.path else f"row {start + at[0]}"
            self._note(f"{place}: {one[int(at[0])]} and {two[int(at[0])]}")

    def found(self) -> Found:
        """The counts as a result."""
        fraction = self.changed / self.total if self.total else 0.0
        return Found(
            part=self.path,
            verdict=Verdict.DIVERGENT if self.changed else Verdict.IDENTICAL,
            summary=f"{share(fraction)} of {self.total:,} values changed"
            + (", and lists have other lengths" if self.unpaired else ""),
            elements=self.total,
            changed_fraction=fraction,
            where=tuple(self.where),
        )

    def _note(self, text: str) -> None:
        if len(self.where) < MAX_WHERE:
            self.where.append(text[:240])


def _measured(leaf: _Leaf, source: Source, context: Context) -> Found:
    """The metrics of numbers; a null on one side only is divergent, whatever the numbers are."""
    assert leaf.dtype is not None
    limits = limits_for(context.tolerance, leaf.path, leaf.dtype.name)
    metrics = compare_stream(source, dtype=leaf.dtype, shape=(leaf.numbers,), limits=limits)
    found = measured(leaf.path, f"{leaf.dtype}[{leaf.numbers}]", metrics)
    if leaf.numbers < leaf.total:  # nulls are left out, so places are not those of the rows
        found = replace(found, where=tuple(leaf.where))
    if not leaf.nulls:
        return found
    summary = f"{found.summary}; {leaf.nulls:,} nulls on one side"
    return replace(found, verdict=Verdict.DIVERGENT, summary=summary)


def _values(name: str, path: str, sides: tuple[Batches, Batches]) -> Iterator[tuple[Array, Array]]:
    """The numbers of one leaf, block by block, where neither side is null."""
    for one, two in _aligned(sides):
        for where, b, c in _pairs(name, one, two):
            if where == path:
                yield _numbers(b, c)


def _aligned(sides: tuple[Batches, Batches]) -> Iterator[tuple[Any, Any]]:
    """Blocks of equal rows of both sides, however each file cuts its own."""
    one, two = (side() for side in sides)
    b, c = next(one, None), next(two, None)
    while b is not None and c is not None:
        size = min(len(b), len(c))
        if size:
            yield b.slice(0, size), c.slice(0, size)
        b = b.slice(size) if len(b) > size else next(one, None)
        c = c.slice(size) if len(c) > size else next(two, None)
    if b is not None or c is not None:
        raise Refused("The table ends before the rows that it claims.", hint="Write it again.")


def _pairs(path: str, one: Any, two: Any) -> Iterator[tuple[str, Any, Any]]:
    """Both sides' leaves, by the path of each."""
    types = _pyarrow("pyarrow.types")
    kind = one.type
    if isinstance(one, _pyarrow("pyarrow").ExtensionArray):
        yield from _pairs(path, one.storage, two.storage)
    elif types.is_dictionary(kind):
        yield from _pairs(path, one.dictionary_decode(), two.dictionary_decode())
    elif types.is_struct(kind):
        yield f"{path} (there)", one.is_valid(), two.is_valid()
        # flattened, so that what lies below a null is null
        for number, (b, c) in enumerate(zip(one.flatten(), two.flatten(), strict=True)):
            yield from _pairs(f"{path}.{kind.field(number).name}", b, c)
    elif types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        compute = _pyarrow("pyarrow.compute")
        yield f"{path} (lengths)", *(compute.list_value_length(side) for side in (one, two))
        yield from _pairs(f"{path}[]", one.flatten(), two.flatten())
    else:
        yield path, one, two


def _is_number(kind: Any) -> bool:
    types = _pyarrow("pyarrow.types")
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _numbers(one: Any, two: Any) -> tuple[Array, Array]:
    """The numbers where neither side is null, as arrays."""
    if one.null_count or two.null_count:
        both = _pyarrow("pyarrow.compute").and_(one.is_valid(), two.is_valid())
        one, two = one.filter(both), two.filter(both)
    return one.to_numpy(zero_copy_only=True), two.to_numpy(zero_copy_only=True)


def _unlike_nulls(one: Any, two: Any) -> Bools:
    """Where one side alone is null."""
    if not one.null_count and not two.null_count:
        return np.zeros(len(one), dtype=np.bool_)
    return _as_bools(_pyarrow("pyarrow.compute").xor(one.is_null(), two.is_null()))


def _unlike(one: Any, two: Any) -> Bools:
    """Where two values differ that are no numbers, and both are there."""
    compute = _pyarrow("pyarrow.compute")
    differ = compute.not_equal(_comparable(one), _comparable(two))
    return _as_bools(compute.fill_null(differ, False))


def _as_bools(column: Any) -> Bools:
    found: Bools = column.to_numpy(zero_copy_only=False)
    return found


def _comparable(column: Any) -> Any:
    """The column, or its text where Arrow cannot compare values of its type."""
    pyarrow = _pyarrow("pyarrow")
    try:
        _pyarrow("pyarrow.compute").not_equal(column.slice(0, 1), column.slice(0, 1))
    except pyarrow.ArrowNotImplementedError:
        values = column.to_pylist()
        return pyarrow.array([None if v is None else repr(v) for v in values], pyarrow.string())
    return column


@contextmanager
def _refusing() -> Iterator[None]:
    """Limit memory, and turn what pyarrow says of a damaged file into `Refused`."""
    pyarrow = _pyarrow("pyarrow")
    try:
        with memory_limit(MAX_MEMORY):
            yield
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        first = (str(error).splitlines() or ["no reason given"])[0]
        raise Refused(
            f"It cannot be read as a table: {first[:300]}.", hint="Write the file again."
        ) from error


@cache
def _pyarrow(name: str) -> Any:
    # its own allocator takes a GiB beforehand, which no limit on memory leaves room for
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        pyarrow = importlib.import_module("pyarrow")
        found = importlib.import_module(name)
    except ImportError as error:
        raise Refused(
            "Not compared: tables need a package that is not installed. "
            "Install it where forkpoint is: pip install 'forkpoint[tables]'",
            hint="pip install 'forkpoint[tables]'",
        ) from error
    if Version(pyarrow.__version__) < _SAFE_SINCE:
        raise Refused(
            f"Not compared: pyarrow {pyarrow.__version__} can be made to run code by the file that "
            "it reads. Update it: pip install 'forkpoint[tables]'",
            hint="pip install 'forkpoint[tables]'",
        )
    return found
