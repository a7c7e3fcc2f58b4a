"""The other side's recording: tensors that it kept, read where they lie on disk."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Any, Mapping, Tuple

import torch

from . import GO, metrics, schema
from .digest import dtype_name
from .guard import Enough
from .mapped import Maps

_QUERY = (
    "SELECT e.kind, m.text, o.text, e.call, v.slot, e.id, t.digest, d.text, s.text, "
    "st.file, st.key "
    "FROM event e JOIN value v ON v.event = e.id AND v.role = ? "
    "JOIN stored st ON st.tensor = v.tensor JOIN tensor t ON t.id = v.tensor "
    "JOIN name m ON m.id = e.module LEFT JOIN name o ON o.id = e.op "
    "JOIN name d ON d.id = t.dtype JOIN name s ON s.id = t.shape "
    "WHERE e.step = ? AND e.inside = 1"
)

_CALLS = (
    "SELECT o.text, e.call, e.id, e.digest FROM event e JOIN name o ON o.id = e.op WHERE e.kind = ?"
)
_RETURNED = (
    "SELECT n.text, t.digest, d.text, s.text, r.text, st.file, st.key FROM value v "
    "JOIN tensor t ON t.id = v.tensor LEFT JOIN stored st ON st.tensor = v.tensor "
    "JOIN name n ON n.id = v.name JOIN name d ON d.id = t.dtype JOIN name s ON s.id = t.shape "
    "JOIN name r ON r.id = t.stride WHERE v.event = ? AND v.role = ? ORDER BY v.slot"
)
_PLAIN = (
    "SELECT n.text, t.text FROM plain p JOIN name n ON n.id = p.name JOIN name t ON t.id = p.text "
    "WHERE p.event = ? AND p.role = ? AND p.slot >= 0 ORDER BY p.slot"
)

Place = Tuple[int, str, str, int, int]  # kind, module, op, call, slot

_POLL = 0.01


class Kept:
    """One output that the reference kept."""

    __slots__ = ("_place", "_shards", "digest", "dtype", "event", "shape")

    def __init__(
        self,
        event: int,
        digest: int,
        layout: tuple[str, str],
        place: tuple[str, str],
        shards: Maps,
    ) -> None:
        self.event = event
        self.digest = digest
        self.dtype, self.shape = layout
        self._place = place
        self._shards = shards

    def fits(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor has the dtype and shape of this one."""
        shape = ",".join(map(str, tensor.shape))
        return (self.dtype, self.shape) == (dtype_name(tensor.dtype), shape)

    def tensor(self) -> torch.Tensor:
        """The tensor, on the CPU, mapped from the file (not to be written to)."""
        return self._shards.tensor(*self._place, getattr(torch, self.dtype), numbers(self.shape))


class ReturnedTensor:
    """A tensor in a watched function's result; ``kept`` is None where its bytes were not kept."""

    __slots__ = ("digest", "dtype", "kept", "name", "stride")

    def __init__(self, name: str, digest: int | None, dtype: str, stride: str) -> None:
        self.name = name
        self.digest = digest
        self.dtype = dtype
        self.stride = stride
        self.kept: Kept | None = None


class Returned:
    """What one call of a watched function returned: ``digest`` of all, ``plain`` [(name, text)]."""

    __slots__ = ("digest", "plain", "tensors")

    def __init__(
        self, digest: int | None, plain: list[tuple[str, str]], tensors: list[ReturnedTensor]
    ) -> None:
        self.digest = digest
        self.plain = plain
        self.tensors = tensors


class Reference:
    """Kept outputs by step; metrics of this side's tensors against them.

    With a ``gate`` the recording may still be under way: the first question waits until the file
    of that name is there, and raises `Enough` where it says that there is nothing to compare
    with.
    """

    def __init__(self, folder: str, tolerance: Mapping[str, Any], gate: str | None = None) -> None:
        self._index = os.path.abspath(os.path.join(folder, "index.sqlite"))
        self._gate = gate
        self._connection = None if gate else _open(self._index)
        self._shards = Maps(os.path.join(folder, "tensors"))
        self._calls: dict[tuple[str, int], tuple[int, int | None]] | None = None
        self._limits: Mapping[str, metrics.Limits] = tolerance.get("limits") or {}
        self._by_name: Mapping[str, metrics.Limits] = tolerance.get("outputs") or {}

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            if self._gate is not None:
                _pass(self._gate)
            self._connection = _open(self._index)
        return self._connection

    def step(self, number: int) -> dict[Place, Kept]:
        """{(kind, module, op, call, slot): Kept} of one step."""
        kept: dict[Place, Kept] = {}
        for row in self._opened().execute(_QUERY, (schema.ROLE_OUT, number)):
            kind, module, op, call, slot, event, digest, dtype, shape, file, key = row
            entry = Kept(event, digest, (dtype, shape), (file, key), self._shards)
            kept[kind, module, op or "", call, slot] = entry
        return kept

    def returned(self, function: str, call: int) -> Returned | None:
        """The result of a watched function's call; None where no such call was recorded."""
        if self._calls is None:
            rows = self._opened().execute(_CALLS, (schema.KIND_WATCH,))
            self._calls = {(op, n): (event, digest) for op, n, event, digest in rows}
        found = self._calls.get((function, call))
        if found is None:
            return None
        event, digest = found
        plain = self._opened().execute(_PLAIN, (event, schema.ROLE_OUT)).fetchall()
        rows = self._opened().execute(_RETURNED, (event, schema.ROLE_OUT))
        tensors = [self._tensor(event, *row) for row in rows]
        return Returned(digest, plain, tensors)

    def _tensor(
        self, event: int, name: str, digest: int | None, dtype: str, shape: str, *rest: Any
    ) -> ReturnedTensor:
        stride, file, key = rest
        tensor = ReturnedTensor(name, digest, dtype, stride)
        if file is not None and digest is not None:
            tensor.kept = Kept(event, digest, (dtype, shape), (file, key), self._shards)
        return tensor

    def measure(self, kept: Kept, name: str, tensor: torch.Tensor) -> str | None:
        """Metrics as JSON text, or None where shapes or dtypes differ or are not numbers."""
        if not kept.fits(tensor) or not metrics.measurable(tensor.dtype):
            return None
        limits = self._by_name.get(name, self._limits.get(kept.dtype))
        return metrics.compare(kept.tensor(), tensor, limits)


def numbers(text: str) -> list[int]:
    """A shape or stride as the index writes it."""
    return [int(n) for n in text.split(",")] if text else []


def _open(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        "file:%s?mode=ro" % path.replace("?", "%3f").replace("#", "%23"),
        uri=True,
        check_same_thread=False,
    )


def _pass(gate: str) -> None:
    """Wait for the gate's file; also given up where the host is gone, which would write it."""
    host = os.getppid()
    while not os.path.exists(gate):
        if os.getppid() != host:
            raise Enough
        time.sleep(_POLL)
    with open(gate) as stream:
        if stream.read().strip() != GO:
            raise Enough
