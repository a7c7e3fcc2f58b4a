"""Opening ``index.sqlite`` as untrusted input, without writing to the recording."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from forkpoint.claims import Scratch
from forkpoint.errors import RecordingError
from forkpoint.store.manifest import regular_file_size
from forkpoint_worker.schema import ADDED, INDEXES, TABLES

_QUICK_CHECK_BYTES = 32 << 20
_MAX_TEXT = 16 << 20
_MAX_EVENTS = 20_000_000
_MAX_NAMES = 5_000_000
_OPCODES = 100_000  # of SQLite's machine, between two looks at the clock
_PATIENCE = 20.0  # seconds for one question, and as many more for each
_SPEED = 16 << 20  # bytes of the file
_LEAST_ROW = 4  # bytes that a row takes in a file, at least
_BLOCK = 1 << 14
_AGAIN = "The file is damaged or was not written by forkpoint. Record it again."


@dataclass(slots=True)
class Index:
    """An open index: its connection, its path for messages, a private copy if there is one.

    ``tables`` are the tables that it has: older recordings lack some. Whatever a damaged file of
    ``size`` bytes makes SQLite do ends after a time, and gives no more rows than there is room
    for in it.
    """

    connection: sqlite3.Connection
    path: Path
    copy: Scratch | None
    size: int
    tables: frozenset[str] = frozenset()
    _deadline: float = float("inf")

    def __post_init__(self) -> None:
        self.connection.set_progress_handler(self._late, _OPCODES)

    def close(self) -> None:
        """Close the connection and remove the private copy."""
        self.connection.close()
        if self.copy is not None:
            self.copy.close()

    def rows(self, sql: str, parameters: tuple[int, ...] = ()) -> list[tuple[object, ...]]:
        """The rows of a query; raises `RecordingError` where SQLite finds damage."""
        return [row for block in self.blocks(sql, parameters) for row in block]

    def blocks(
        self, sql: str, parameters: tuple[int, ...] = ()
    ) -> Iterator[list[tuple[object, ...]]]:
        """The rows of a query, some thousands at a time; raises `RecordingError` as `rows` does."""
        left = self.size // _LEAST_ROW + _BLOCK
        self._deadline = time.monotonic() + _PATIENCE * (1 + self.size / _SPEED)
        with reading(self.path):
            cursor = self.connection.execute(sql, parameters)
            while block := cursor.fetchmany(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise ValueError(f"more rows than {self.size} bytes can hold")
                yield block

    def _late(self) -> bool:
        """Whether the question under way has taken too long; SQLite then gives it up."""
        return time.monotonic() > self._deadline


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what damage makes SQLite and conversions raise into a `RecordingError`."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError, OverflowError, MemoryError) as error:
        reason = str(error)[:500] or "it asks for more memory than there is"
        raise RecordingError(f"{path} cannot be read: {reason}", hint=_AGAIN) from error


def open_index(folder: Path) -> Index:
    """Open ``folder/index.sqlite`` read-only and check that it is what forkpoint writes.

    A worker that was killed leaves a write-ahead log; reading it would write beside it, so the
    index is then copied to a temporary folder first. Raises `RecordingError` for a missing,
    truncated, damaged or foreign database.
    """
    path = folder / "index.sqlite"
    size = regular_file_size(path)
    copy = _private_copy(folder) if _has_log(folder) else None
    try:
        with reading(path):
            connection = _connect(copy.path / path.name if copy else path, bool(copy))
    except RecordingError:
        if copy:
            copy.close()
        raise
    index = Index(connection, path, copy, size + _log_size(folder) if copy else size)
    try:
        _harden(index)
        index.tables = _check_schema(index)
        _check_pages(index, size)
        _check_counts(index)
    except RecordingError:
        index.close()
        raise
    return index


def _has_log(folder: Path) -> bool:
    journal, log = folder / "index.sqlite-journal", folder / "index.sqlite-wal"
    if journal.exists() or journal.is_symlink():
        # playing one back can delete files that it names; the worker never writes one
        raise RecordingError(
            f"{journal} is a rollback journal, which forkpoint does not write", hint=_AGAIN
        )
    return log.is_symlink() or log.exists()


def _log_size(folder: Path) -> int:
    log = folder / "index.sqlite-wal"
    return regular_file_size(log) if log.exists() else 0


def _private_copy(folder: Path) -> Scratch:
    copy = Scratch()
    try:
        sources = [folder / f"index.sqlite{suffix}" for suffix in ("", "-wal")]
        _require_room(sum(map(regular_file_size, sources)), copy.path)
        for source in sources:
            shutil.copyfile(source, copy.path / source.name, follow_symlinks=False)
    except RecordingError:
        copy.close()
        raise
    except OSError as error:
        copy.close()
        raise RecordingError(
            f"{folder / 'index.sqlite'} cannot be copied to {copy.path}: {error.strerror}",
            hint="Its worker was killed, so it is read from a copy: free some space there.",
        ) from error
    return copy


def _require_room(size: int, folder: Path) -> None:
    if size > shutil.disk_usage(folder).free // 2:  # also where a file has holes in place of bytes
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _connect(path: Path, copied: bool) -> sqlite3.Connection:
    # immutable: no lock and no -shm file, so a read-only folder is as good as any
    mode = "rw" if copied else "ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode={mode}", uri=True)


def _harden(index: Index) -> None:
    connection = index.connection
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_TEXT)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    with reading(index.path):
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA query_only = ON")


def _check_schema(index: Index) -> frozenset[str]:
    """The names of the tables; raises `RecordingError` for others than forkpoint writes."""
    expected = {("table", name, sql) for name, sql in TABLES.items()}
    expected |= {("index", name, sql) for name, sql in INDEXES.items()}
    found = {row[:3] for row in index.rows("SELECT type, name, sql FROM sqlite_master LIMIT 1000")}
    optional = {("table", name, TABLES[name]) for name in ADDED}
    if found | optional == expected:
        return frozenset(str(name) for _, name, _ in found)
    extra = sorted(f"{row[0]} {row[1]}" for row in found - expected)
    lacking = sorted(f"{row[0]} {row[1]}" for row in expected - optional - found)
    parts = []
    if lacking:
        parts.append(f"lacks {', '.join(lacking[:4])}")
    if extra:
        parts.append(f"has an unexpected {', '.join(extra[:4])[:200]}")
    raise RecordingError(
        f"{index.path} is not the index of a recording: it {' and '.join(parts)}", hint=_AGAIN
    )


def _check_pages(index: Index, size: int) -> None:
    with reading(index.path):
        (pages,) = index.connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = index.connection.execute("PRAGMA page_size").fetchone()
    if index.copy is None and pages * page_size != size:
        raise RecordingError(
            f"{index.path} has {size} bytes where its header says {pages * page_size}: "
            "it was cut off",
            hint="Copy it again, or record it again.",
        )
    if size <= _QUICK_CHECK_BYTES:
        found = [str(row[0]) for row in index.rows("PRAGMA quick_check(3)")]
        if found != ["ok"]:
            problems = "; ".join(found)[:500]
            raise RecordingError(f"{index.path} is damaged: {problems}", hint=_AGAIN)


def _check_counts(index: Index) -> None:
    for table, most in (("event", _MAX_EVENTS), ("step", _MAX_EVENTS), ("name", _MAX_NAMES)):
        ((count,),) = index.rows(f"SELECT count(*) FROM {table}")  # noqa: S608 - fixed names
        if not isinstance(count, int) or count > most:
            raise RecordingError(
                f"{index.path} has {count} rows in table {table}; at most {most} can be read",
                hint="Record fewer steps at op level (--steps), or at module level.",
            )
