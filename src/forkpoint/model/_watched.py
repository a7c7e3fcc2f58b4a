"""Calls of functions that were watched from outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from forkpoint.model._values import Metrics, PlainDifference, Unread, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedValue:
    """A tensor that a watched function took (``argument``) or gave (``result``).

    ``equal`` is null where it could not be hashed; ``metrics`` where it was not measured.
    """

    role: Literal["argument", "result"]
    name: str
    shape: tuple[int, ...]
    dtype: str
    equal: bool | None
    metrics: Metrics | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCall:
    """One call of a function that was watched; calls are matched by their number.

    ``step`` is the step it lies in or comes after in the baseline (-1: before the first), or
    in the candidate where only that made it (``side``). ``arguments_equal`` and
    ``results_equal`` count plain values, too, and are null where nothing could be compared.
    ``baseline`` and ``candidate`` are the plain values as text, ``arguments -> results``;
    ``plain`` are those that differ, ``unread`` what could not be read. ``verdict`` is that of the
    results, which are outputs like those of a step (null in results of older versions).
    """

    function: str
    call: int
    step: int
    inside: bool
    side: Literal["both", "baseline", "candidate"]
    arguments_equal: bool | None
    results_equal: bool | None
    values: tuple[WatchedValue, ...]
    baseline: str = ""
    candidate: str = ""
    plain: tuple[PlainDifference, ...] = ()
    unread: tuple[Unread, ...] = ()
    verdict: Verdict | None = None
