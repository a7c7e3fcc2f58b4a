"""Writing ``index.sqlite``: rows are gathered in lists and committed step by step.

What was committed survives the death of the process: SQLite's write-ahead log needs no
flush to disk for that (a power cut may cost the last steps, and leaves an older state).
"""

from __future__ import annotations

import sqlite3
from typing import Tuple, Union

from . import schema

_INSERT = {
    "name": "INSERT INTO name VALUES (?, ?)",
    "step": "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?)",
    "event": "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "value": "INSERT INTO value VALUES (?, ?, ?, ?, ?)",
    "tensor": "INSERT INTO tensor VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "stored": "INSERT INTO stored VALUES (?, ?, ?)",
    "metric": "INSERT INTO metric VALUES (?, ?, ?, ?)",
    "uncovered": "INSERT OR REPLACE INTO uncovered VALUES (?, ?, ?)",
}


Row = Tuple[Union[int, str, None], ...]


class Index:
    """A recording's database; ids of names and tensors are handed out here."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # read and written through one connection by whichever thread holds the recorder's lock
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "temp_store=MEMORY"):
            self._connection.execute("PRAGMA " + pragma)
        for statement in list(schema.TABLES.values()) + list(schema.INDEXES.values()):
            self._connection.execute(statement)
        self._rows: dict[str, list[Row]] = {table: [] for table in _INSERT}
        self._names: dict[str, int] = {}
        self._tensors = 0
        self._events = 0

    def name(self, text: str) -> int:
        """The id of a text; the same for the same text."""
        found = self._names.get(text)
        if found is None:
            found = self._names[text] = len(self._names) + 1
            self._rows["name"].append((found, text))
        return found

    def next_tensor(self) -> int:
        """A fresh tensor id."""
        self._tensors += 1
        return self._tensors

    def next_event(self) -> int:
        """A fresh event id; ids ascend in the order in which events end."""
        self._events += 1
        return self._events

    def add(self, table: str, row: Row) -> None:
        """Queue a row for the next commit."""
        self._rows[table].append(row)

    def commit(self) -> None:
        """Write all queued rows in one transaction."""
        connection = self._connection
        connection.execute("BEGIN")
        for table, rows in self._rows.items():
            if rows:
                connection.executemany(_INSERT[table], rows)
        connection.execute("COMMIT")
        for rows in self._rows.values():
            rows.clear()

    def close(self) -> None:
        """Fold the write-ahead log into the database and close it; queued rows are dropped."""
        self._connection.execute("PRAGMA journal_mode=DELETE")
        self._connection.close()
