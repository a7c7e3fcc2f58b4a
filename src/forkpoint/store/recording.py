"""A recording, opened for reading: `Recording`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from forkpoint.errors import RecordingError
from forkpoint.model import Metrics
from forkpoint.store.columns import read_columns, read_texts
from forkpoint.store.dtypes import DTYPES, parse_shape
from forkpoint.store.index import Index, open_index, reading
from forkpoint.store.manifest import Manifest, read_manifest
from forkpoint.store.rows import (
    EventColumns,
    EventRow,
    MetricRow,
    PlainRow,
    StepRow,
    TensorRow,
    UncoveredRow,
    UnreadRow,
    ValueRow,
)
from forkpoint.store.tensors import Shards
from forkpoint_worker.schema import ROLE_IN, ROLE_OUT, STRUCTURE

R = TypeVar("R", PlainRow, UnreadRow)

_MAX_VIEWS = 64
_DAMAGED = "The index is damaged. Record it again."
_TENSOR = "t.id, t.dtype, t.shape, t.stride, t.device, t.source, t.base, t.digest"
_VALUES = (
    f"SELECT v.event, v.role, v.slot, v.name, {_TENSOR} "  # noqa: S608 - fixed text
    "FROM {source} LEFT JOIN tensor t ON t.id = v.tensor "
)


class Recording:
    """One recording on disk, read as untrusted input; nothing in its folder is written.

    Use it as a context manager, or call `close`. Every method raises `RecordingError` where
    it meets damage; the message names the file and what is wrong with it.
    """

    def __init__(self, path: Path, manifest: Manifest, index: Index) -> None:
        self.path = path
        self.manifest = manifest
        self._index = index
        self._texts = read_texts(index)
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._shards = Shards(path / "tensors")

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the recording in folder ``path``; checks manifest, schema and sizes.

        Raises `RecordingError` where it is not a recording, of another format, or damaged.
        """
        folder = Path(path)
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise RecordingError(
                f"{folder} {what}", hint="Name a folder that `forkpoint record --out` wrote."
            )
        manifest = read_manifest(folder)
        index = open_index(folder)
        try:
            return cls(folder, manifest, index)
        except BaseException:
            index.close()
            raise

    def close(self) -> None:
        """Close the index; the recording cannot be read afterwards."""
        self._index.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Recording({str(self.path)!r})"

    @property
    def complete(self) -> bool:
        """Whether the workload was recorded to its end."""
        return self.manifest.complete

    @property
    def texts(self) -> dict[int, str]:
        """All interned texts by id: module paths, op names, signatures."""
        return self._texts

    def text(self, key: int) -> str:
        """The interned text with this id; 0 is no text."""
        if key in self._texts:
            return self._texts[key]
        if key == 0:
            return ""
        raise self._damage(f"text {key} is not there")

    @cached_property
    def columns(self) -> EventColumns:
        """All events as arrays, in the order in which they ended."""
        return read_columns(self._index, self._texts)

    def steps(self) -> tuple[StepRow, ...]:
        """All steps in order."""
        sql = "SELECT id, module, level, state, thread FROM step ORDER BY id"
        rows = (_whole(row, self._index.path) for row in self._index.rows(sql))
        return tuple(
            StepRow(id=row[0], module=self.text(row[1]), level=row[2], state=row[3], thread=row[4])
            for row in rows
        )

    def events(self, step: int) -> tuple[EventRow, ...]:
        """The events of one step (and those that follow it, ``inside`` false), in order."""
        return tuple(self.event(int(at)) for at in np.flatnonzero(self.columns.step == step))

    def event(self, position: int) -> EventRow:
        """The event at a position of `columns`."""
        c = self.columns
        return EventRow(
            id=int(c.id[position]),
            step=int(c.step[position]),
            inside=bool(c.inside[position]),
            kind=int(c.kind[position]),
            module=self.text(int(c.module[position])),
            op=self.text(int(c.op[position])),
            call=int(c.call[position]),
            signature=self.text(int(c.signature[position])),
            digest=int(c.digest[position]) if c.hashed[position] else None,
        )

    def values(self, event: int) -> tuple[ValueRow, ...]:
        """The tensors of one event: inputs, then outputs, by slot."""
        sql = _VALUES.format(source="value v") + "WHERE v.event = ? ORDER BY v.role, v.slot"
        return tuple(self._value(row) for row in self._index.rows(sql, (event,)))

    def values_of_kind(self, kind: int) -> dict[int, tuple[ValueRow, ...]]:
        """The tensors of all events of a kind (input, weights), by event."""
        return self._group("e.kind = ?", (kind,))

    def root_values(self) -> dict[int, tuple[ValueRow, ...]]:
        """The tensors that each step's outermost module returned, by event."""
        roots = [key for key, text in self._texts.items() if not text]
        marks = ",".join("?" * len(roots))
        return self._group(f"e.kind = 0 AND e.module IN ({marks})", tuple(roots))

    def values_of_step(self, step: int) -> dict[int, tuple[ValueRow, ...]]:
        """The tensors of all events of a step, by event."""
        return self._group("e.step = ?", (step,))

    def plain(self, event: int) -> tuple[PlainRow, ...]:
        """The values of one event that are no tensors, the structure of each role first."""
        return self._plain_rows("WHERE event = ?", (event,))

    def plain_by_event(self) -> dict[int, tuple[PlainRow, ...]]:
        """`plain` of all events that have any, by event."""
        return _by_event(self._plain_rows())

    def unread(self, event: int) -> tuple[UnreadRow, ...]:
        """The values of one event that could not be read: inputs, then outputs."""
        return self._unread_rows("WHERE event = ?", (event,))

    def unread_by_event(self) -> dict[int, tuple[UnreadRow, ...]]:
        """`unread` of all events that have any, by event."""
        return _by_event(self._unread_rows())

    def tensor(self, key: int) -> TensorRow:
        """One tensor by id."""
        sql = f"SELECT {_TENSOR} FROM tensor t WHERE t.id = ?"  # noqa: S608 - fixed text
        for row in self._index.rows(sql, (key,)):
            return self._tensor(row)
        raise self._damage(f"tensor {key} is not there")

    def hashed(self, tensor: TensorRow) -> TensorRow | None:
        """The tensor itself, or the one with a digest whose memory it is a view of, or None."""
        for _ in range(_MAX_VIEWS):  # a damaged index may go round in circles
            if tensor.digest is not None:
                return tensor
            if tensor.base is None:
                return None
            tensor = self.tensor(tensor.base)
        return None

    def stored(self, key: int) -> bool:
        """Whether the bytes of a tensor were kept."""
        return self._place(key) is not None

    def load(self, key: int) -> NDArray[np.generic]:
        """The elements of a kept tensor, in its own dtype (`ml_dtypes` for bfloat16, float8).

        Raises `RecordingError` where it was not kept, or has a dtype that numpy cannot hold.
        """
        tensor, place = self.tensor(key), self._place(key)
        if place is None:
            raise RecordingError(
                f"{self.path} did not keep tensor {key}", hint="Raise --max-storage."
            )
        if tensor.dtype not in DTYPES:
            raise RecordingError(f"{self.path}: tensor {key} has dtype {tensor.dtype[:40]!r}")
        return self._shards.load(tensor, *place)

    def metric(self, event: int, slot: int) -> MetricRow | None:
        """What the worker measured of an output against the other side's recording."""
        sql = "SELECT other, metrics FROM metric WHERE event = ? AND slot = ?"
        for other, text in self._index.rows(sql, (event, slot)):
            if not isinstance(other, int) or not isinstance(text, str):
                raise self._damage(f"the metrics of event {event} are not text")
            try:
                return MetricRow(other=other, metrics=msgspec.json.decode(text, type=Metrics))
            except (msgspec.MsgspecError, RecursionError) as error:
                raise self._damage(f"the metrics of event {event}: {error}") from error
        return None

    def uncovered(self) -> tuple[UncoveredRow, ...]:
        """What ran and could not be seen."""
        rows = self._index.rows("SELECT kind, detail, count FROM uncovered ORDER BY kind, detail")
        return tuple(
            UncoveredRow(kind=str(kind), detail=str(detail), count=count)
            for kind, detail, count in rows
            if isinstance(count, int)
        )

    def _group(self, where: str, parameters: tuple[int, ...]) -> dict[int, tuple[ValueRow, ...]]:
        sql = (
            _VALUES.format(source="event e JOIN value v ON v.event = e.id")
            + f"WHERE {where} ORDER BY v.event, v.role, v.slot"
        )
        groups: dict[int, list[ValueRow]] = {}
        for row in self._index.rows(sql, parameters):
            value = self._value(row)
            groups.setdefault(value.event, []).append(value)
        return {event: tuple(values) for event, values in groups.items()}

    def _plain_rows(
        self, where: str = "", parameters: tuple[int, ...] = ()
    ) -> tuple[PlainRow, ...]:
        return tuple(
            PlainRow(event=event, role=role, slot=slot, name=name, text=text)
            for event, role, slot, name, text in self._texts_of("plain", "text", where, parameters)
        )

    def _unread_rows(
        self, where: str = "", parameters: tuple[int, ...] = ()
    ) -> tuple[UnreadRow, ...]:
        return tuple(
            UnreadRow(event=event, role=role, slot=slot, name=name, why=why)
            for event, role, slot, name, why in self._texts_of("unread", "why", where, parameters)
        )

    def _texts_of(
        self, table: str, column: str, where: str, parameters: tuple[int, ...]
    ) -> Iterator[tuple[int, int, int, str, str]]:
        """The rows of a table of texts; none where an older recording lacks it."""
        if table not in self._index.tables:
            return
        sql = f"SELECT event, role, slot, name, {column} FROM {table} {where} "  # noqa: S608
        for row in self._index.rows(sql + "ORDER BY event, role, slot", parameters):
            event, role, slot, name, text = _whole(row, self._index.path)
            if role not in (ROLE_IN, ROLE_OUT) or slot < STRUCTURE:
                raise self._damage(f"a row of {table} has role {role} and slot {slot}")
            yield event, role, slot, self.text(name), self.text(text)

    def _place(self, key: int) -> tuple[str, str] | None:
        sql = "SELECT file, key FROM stored WHERE tensor = ?"
        for file, name in self._index.rows(sql, (key,)):
            if not isinstance(file, str) or not isinstance(name, str):
                raise self._damage(f"the place of tensor {key} is not text")
            return file, name
        return None

    def _value(self, row: tuple[object, ...]) -> ValueRow:
        event, role, slot, name = _whole(row[:4], self._index.path)
        if row[4] is None:
            raise self._damage(f"event {event} names a tensor that is not there")
        return ValueRow(
            event=event,
            role=role,
            slot=slot,
            name=self.text(name),
            tensor=self._tensor(row[4:]),
        )

    def _tensor(self, row: tuple[object, ...]) -> TensorRow:
        key, dtype, shape, stride, device, source = _whole(row[:6], self._index.path)
        base, digest = row[6:8]
        if not isinstance(base, int | None) or not isinstance(digest, int | None):
            raise self._damage(f"tensor {key} has a base or a digest that is no number")
        return TensorRow(
            id=key,
            dtype=self.text(dtype),
            shape=self._shape(shape),
            stride=self._shape(stride),
            device=self.text(device),
            source=source,
            base=base,
            digest=digest,
        )

    def _shape(self, key: int) -> tuple[int, ...]:
        if key not in self._shapes:
            with reading(self._index.path):
                self._shapes[key] = parse_shape(self.text(key))
        return self._shapes[key]

    def _damage(self, what: str) -> RecordingError:
        return RecordingError(f"{self._index.path}: {what}", hint=_DAMAGED)


def _by_event(rows: Iterable[R]) -> dict[int, tuple[R, ...]]:
    groups: dict[int, list[R]] = {}
    for row in rows:
        groups.setdefault(row.event, []).append(row)
    return {event: tuple(found) for event, found in groups.items()}


def _whole(row: tuple[object, ...], path: Path) -> tuple[int, ...]:
    """The row, checked to hold whole numbers only: SQLite columns can hold anything."""
    if set(map(type, row)) != {int}:
        wrong = next(value for value in row if type(value) is not int)
        raise RecordingError(f"{path}: {str(wrong)[:40]!r} where a number belongs", hint=_DAMAGED)
    return cast(tuple[int, ...], row)
