"""Changes to inputs: byte by byte, value by value, and page by page; by a seeded generator."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "MARK_OF_A_RUN"
"""Stands in inputs for the path of the file that must never appear."""

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 63, 64, 65, 255, 65536, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63),
    *(-(2**63), 2**64, 10**30, 0.5, -0.0, 1e308, 5e-324),
)
TEXTS = (
    *("", "\0", "\n", "..", "../../../etc/passwd", "/dev/zero", "x" * 5000, "\ud800", "\u202e"),
    *("aten.neg.default", "aten.from_file.default", "import_module.__call__.__call__", "os.system"),
    *(
        "aten.__class__.mro",
        "profiler.x.y",
        "1,2",
        "-1",
        "9" * 30,
        "1," * 500,
        "0",
        "NaN",
        "float32",
    ),
    *("meta", "cuda:0", "load", "hub", "')\n", '"""', "${HOME}", "-r /etc/passwd", "a\nb", "1e999"),
    f"__import__('os').mkdir('{MARK}')",
    f'"""\n__import__("os").mkdir("{MARK}")\n"""',
    f"`mkdir {MARK}`",
)
_LARGEST = 1 << 20
TOKENS = tuple(
    text.encode(errors="surrogatepass")
    for text in (*TEXTS, "{", "[", "]", "}", ",", ":", "null", "true", "[" * 2000, '"', "'''", "=")
)


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """A few changes anywhere: flipped, cut, doubled, put in, moved."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        at = rng.randrange(len(found) + 1)
        length = min(len(found) - at, rng.choice((1, 1, 2, 4, 16, 200)))
        kind = rng.randrange(6)
        if kind == 0 and at < len(found):
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del found[at : at + length]
        elif kind == 2:
            found[at:at] = found[at : at + length] * rng.choice((1, 2, 50))
        elif kind == 3:
            found[at : at + length] = rng.choice(TOKENS)
        elif kind == 4:
            found[at : at + length] = rng.randbytes(length)
        else:
            del found[at:]
    return bytes(found)


def changed_value(value: Any, rng: random.Random) -> Any:
    """JSON with one place changed; what it is changed to may be anything."""
    places = list(_places(value, ()))
    place = rng.choice(places)
    if not place:
        return _other(value, rng)
    parent = value
    for step in place[:-1]:
        parent = parent[step]
    last = place[-1]
    kind = rng.randrange(6)
    if kind == 0 and isinstance(parent, dict):
        del parent[last]
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice(TEXTS)] = parent[last]
    elif kind == 2 and isinstance(parent, list):
        parent[last:last] = [parent[last]] * rng.choice((1, 3, 300))
    else:
        parent[last] = _other(parent[last], rng)
    return value


def changed_json(data: bytes, rng: random.Random) -> bytes:
    """A JSON text changed as values mostly, else as bytes."""
    if rng.random() < 0.3:
        return changed_bytes(data, rng)
    value = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = changed_value(value, rng)
        text = json.dumps(value).encode(errors="surrogatepass")
        if len(text) > _LARGEST:  # doubled more than once: larger inputs are for other tests
            return data
    return text


def changed_index(path: Path, rng: random.Random) -> None:
    """A SQLite file with pages or rows changed, in place."""
    if rng.random() < 0.5:
        _change_rows(path, rng)
        return
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[16:18], "big") or 4096
    pages = max(1, len(data) // size)
    for _ in range(rng.choice((1, 1, 2, 8))):
        page = rng.randrange(pages) * size
        kind = rng.randrange(4)
        if kind == 0:
            other = rng.randrange(pages) * size
            data[page : page + size] = data[other : other + size]
        elif kind == 1:
            at = page + rng.randrange(min(120, size))  # headers of pages and of the file
            data[at : at + 1] = rng.randbytes(1)
        elif kind == 2:
            at = page + rng.randrange(size)
            data[at : at + 4] = rng.randbytes(4)
        else:
            data = bytearray(changed_bytes(bytes(data), rng))
    path.write_bytes(data)


_SCHEMA: tuple[str, ...] = (
    "CREATE TRIGGER t AFTER INSERT ON event BEGIN SELECT 1; END",
    "CREATE VIEW v AS SELECT * FROM event",
    "CREATE TABLE more (a INTEGER, b AS (a * 2))",
    "CREATE INDEX i ON event (digest)",
    "DROP TABLE stored",
    "ALTER TABLE event ADD COLUMN more",
)


def _change_rows(path: Path, rng: random.Random) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master") if row[0]]
        for _ in range(rng.choice((1, 1, 2, 5))):
            if rng.random() < 0.05:
                database.execute(rng.choice(_SCHEMA))
                continue
            table = rng.choice([name for name in tables if not name.startswith("event_step")])
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            column = rng.choice(columns or ["text"])
            value: Any = rng.choice((*NUMBERS, *TEXTS, b"\xff" * 9, None))
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                value = str(value)
            if isinstance(value, str):
                value = value.encode(errors="surrogatepass").decode(errors="replace")
            where = "" if rng.random() < 0.3 else "WHERE rowid = 1" if table == "name" else ""
            database.execute(f"UPDATE OR IGNORE {table} SET {column} = ? {where}", (value,))
    except sqlite3.Error:
        pass  # this change is none that SQLite allows: the file stays as it is
    finally:
        database.close()


def _places(value: Any, place: tuple[Any, ...]) -> Any:
    yield place
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value[:50]):
            yield from _places(item, (*place, number))


def _other(value: Any, rng: random.Random) -> Any:
    kinds: list[Callable[[], Any]] = [
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(NUMBERS),
        lambda: rng.choice(TEXTS),
        list,
        dict,
        lambda: None,
        lambda: [value] * rng.choice((2, 300)),
        lambda: [rng.choice(NUMBERS) for _ in range(rng.choice((1, 3, 80)))],
        lambda: not value,
    ]
    return rng.choice(kinds)()
