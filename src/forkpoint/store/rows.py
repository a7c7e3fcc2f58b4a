"""The rows of a recording as values; texts are looked up, shapes are parsed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forkpoint.model import Metrics
from forkpoint.store.dtypes import DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One outermost module call; ``level`` and ``state`` as `forkpoint_worker.schema` has them."""

    id: int
    module: str
    level: int
    state: int
    thread: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One event; ``digest`` is None where nothing has a digest of its own."""

    id: int
    step: int
    inside: bool
    kind: int
    module: str
    op: str
    call: int
    signature: str
    digest: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRow:
    """One content of one tensor; ``base`` is set for a view that was not hashed."""

    id: int
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    device: str
    source: int
    base: int | None
    digest: int | None

    @property
    def nbytes(self) -> int | None:
        """Bytes of its elements, or None for a dtype that numpy cannot hold."""
        dtype = DTYPES.get(self.dtype)
        return None if dtype is None else math.prod(self.shape) * dtype.itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRow:
    """One tensor that an event took (role in) or gave (role out)."""

    event: int
    role: int
    slot: int
    name: str
    tensor: TensorRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRow:
    """A value of an event that is no tensor; ``text`` is exact, or a start and a digest.

    ``slot`` is `forkpoint_worker.schema.STRUCTURE` (-1) for the structure of all values of a role.
    """

    event: int
    role: int
    slot: int
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadRow:
    """A value of an event that could not be read: its place, and why, with its type."""

    event: int
    role: int
    slot: int
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRow:
    """Metrics that the worker measured; ``other`` is the event of the other side."""

    other: int
    metrics: Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class UncoveredRow:
    """Something that ran and could not be seen."""

    kind: str
    detail: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """All events, one array a column, in the order of ``id``.

    ``module``, ``op`` and ``signature`` are ids of texts (`Recording.text`); ``digest`` is
    meaningful only where ``hashed``.
    """

    id: NDArray[np.int64]
    step: NDArray[np.int64]
    inside: NDArray[np.bool_]
    kind: NDArray[np.int8]
    module: NDArray[np.int32]
    op: NDArray[np.int32]
    call: NDArray[np.int32]
    signature: NDArray[np.int32]
    digest: NDArray[np.int64]
    hashed: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.id)
