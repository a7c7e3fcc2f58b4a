"""Writing ``index.sqlite``: rows are gathered in lists and committed step by step.

What was committed survives the death of the process: SQLite's write-ahead log needs no
flush to disk for that (a power cut may cost the last steps, and leaves an older state).
"""

from __future__ import annotations

import itertools
import sqlite3
from typing import Callable, Dict, Mapping, Tuple, Union

from . import schema

_INSERT = {
    "name": "INSERT INTO name VALUES (?, ?)",
    "step": "INSERT OR REPLACE INTO step VALUES (?, ?, ?, ?, ?)",
    "event": "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "value": "INSERT INTO value VALUES (?, ?, ?, ?, ?)",
    "plain": "INSERT INTO plain VALUES (?, ?, ?, ?, ?)",
    "unread": "INSERT INTO unread VALUES (?, ?, ?, ?, ?)",
    "tensor": "INSERT INTO tensor VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "stored": "INSERT INTO stored VALUES (?, ?, ?)",
    "metric": "INSERT INTO metric VALUES (?, ?, ?, ?)",
    "uncovered": "INSERT OR REPLACE INTO uncovered VALUES (?, ?, ?)",
}


Row = Tuple[Union[int, str, None], ...]


class _Names(Dict[str, int]):
    """Ids of texts; a text that has none yet gets one, and a row."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__()
        self._rows = rows

    def __missing__(self, text: str) -> int:
        found = self[text] = len(self) + 1
        self._rows.append((found, text))
        return found


class Index:
    """A recording's database; ids are handed out here.

    ``names`` has the id of any text, ``tensors`` and ``events`` the next ones: ids of events
    ascend in the order in which they end.
    """

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # read and written through one connection by whichever thread holds the recorder's lock
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "temp_store=MEMORY"):
            self._connection.execute("PRAGMA " + pragma)
        for statement in list(schema.TABLES.values()) + list(schema.INDEXES.values()):
            self._connection.execute(statement)
        self._rows: dict[str, list[Row]] = {table: [] for table in _INSERT}
        self.names: Mapping[str, int] = _Names(self._rows["name"])
        self.tensors = itertools.count(1)
        self.events = itertools.count(1)

    def add(self, table: str, row: Row) -> None:
        """Queue a row for the next commit."""
        self._rows[table].append(row)

    def adder(self, table: str) -> Callable[[Row], None]:
        """`add` for one table, for those who call it thousands of times a second."""
        return self._rows[table].append

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
