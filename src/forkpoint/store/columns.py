"""Reading a million events into arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from forkpoint.errors import RecordingError
from forkpoint.store.index import Index, reading
from forkpoint.store.rows import EventColumns
from forkpoint_worker.schema import KIND_WATCH

_MAX_TEXT_ID = 1 << 24
_WIDTH = 10
_AGAIN = "The index is damaged. Record it again."
_WRONG = (
    "SELECT id FROM event WHERE typeof(step) || typeof(inside) || typeof(kind) || typeof(module) "
    "|| typeof(op) || typeof(call) || typeof(signature) <> 'integerintegerintegerintegerinteger"
    "integerinteger' OR typeof(digest) NOT IN ('integer', 'null') LIMIT 1"
)
_SQL = (
    "SELECT id, step, inside, kind, module, op, call, signature, "
    "ifnull(digest, 0), digest IS NOT NULL FROM event ORDER BY id"
)


def read_texts(index: Index) -> dict[int, str]:
    """All interned texts by id. Raises `RecordingError` for ids or texts of the wrong type."""
    texts: dict[int, str] = {}
    letters = 0
    for block in index.blocks("SELECT id, text FROM name"):
        for key, text in block:
            if not isinstance(key, int) or not isinstance(text, str) or not 0 <= key < _MAX_TEXT_ID:
                raise RecordingError(f"{index.path}: name {str(key)[:40]} is not a numbered text")
            texts[key] = text
            letters += len(text)
        if letters > index.size:  # pages that several rows share
            raise RecordingError(f"{index.path} has more text in it than bytes", hint=_AGAIN)
    return texts


def read_columns(index: Index, texts: dict[int, str]) -> EventColumns:
    """All events, in order. Raises `RecordingError` for values out of range."""
    ((count,),) = index.rows("SELECT count(*) FROM event")
    assert isinstance(count, int)
    for (key,) in index.rows(_WRONG):
        raise RecordingError(
            f"{index.path}: event {key} has something else where a number belongs", hint=_AGAIN
        )
    table = _read_table(index, count)
    with reading(index.path):
        columns = _columns(table)
    known = np.zeros(_MAX_TEXT_ID, dtype=np.bool_)
    known[[0, *texts]] = True
    for name in ("module", "op", "signature"):
        keys = getattr(columns, name)
        if len(keys) and not known[keys].all():
            raise RecordingError(
                f"{index.path}: an event's {name} is a text that is not there",
                hint=_AGAIN,
            )
    return columns


def _read_table(index: Index, count: int) -> list[NDArray[np.int64]]:
    table = [np.empty(count, dtype=np.int64) for _ in range(_WIDTH)]
    start = 0
    with reading(index.path):
        for rows in index.blocks(_SQL):
            block = np.array(rows, dtype=np.int64)
            for column, values in zip(table, block.T, strict=True):
                column[start : start + len(block)] = values
            start += len(block)
        if start != count:
            raise ValueError(f"{start} events where {count} were counted")
    return table


def _columns(table: list[NDArray[np.int64]]) -> EventColumns:
    key, step, inside, kind, module, op, call, signature, digest, hashed = table
    _require(kind, KIND_WATCH)
    _require(call, 2**31 - 1)
    for texts in (module, op, signature):
        _require(texts, _MAX_TEXT_ID - 1)
    return EventColumns(
        id=key,
        step=step,
        inside=inside.astype(np.bool_),
        kind=kind.astype(np.int8),
        module=module.astype(np.int32),
        op=op.astype(np.int32),
        call=call.astype(np.int32),
        signature=signature.astype(np.int32),
        digest=digest,
        hashed=hashed.astype(np.bool_),
    )


def _require(column: NDArray[np.int64], largest: int) -> None:
    if len(column) and not 0 <= int(column.min()) <= int(column.max()) <= largest:
        raise ValueError(f"an event has {int(column.max())} where 0 to {largest} is allowed")
