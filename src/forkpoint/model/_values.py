"""What every part speaks of: verdicts, tolerances, and how far two tensors lie apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


class Verdict(StrEnum):
    """What is known about a step, or about a whole comparison."""

    IDENTICAL = "identical"
    WITHIN_TOLERANCE = "within_tolerance"
    DIVERGENT = "divergent"
    NOT_COMPARABLE = "not_comparable"
    NOT_REPEATABLE = "not_repeatable"
    INCOMPLETE = "incomplete"


class Outcome(StrEnum):
    """How an experiment ended."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Which differences are acceptable: ``|b - c| <= atol + rtol * |b|`` by dtype.

    ``limits`` maps a dtype name (``float32``) to ``(atol, rtol)``; a dtype that is absent
    must be equal bit for bit. ``outputs`` does the same for single outputs by name and
    goes first.
    """

    name: str
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    outputs: dict[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainDifference:
    """A value that is no tensor and is not the same on both sides, as text; null: not there.

    ``structure`` says that it is the skeleton of a container: its types, keys and lengths.
    """

    role: Literal["input", "output"]
    name: str
    baseline: str | None
    candidate: str | None
    structure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A value that could not be read, so that nothing is known of it: its place, and its type."""

    side: Literal["baseline", "candidate"]
    role: Literal["input", "weight", "output"]
    name: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The element with the largest absolute difference; values as text, so NaN survives."""

    index: tuple[int, ...]
    baseline: str
    candidate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """How far two tensors of one shape and dtype lie apart.

    Differences and ULP distances are over the pairs in which both elements are finite;
    ``nonfinite_mismatches`` counts the pairs in which exactly one is NaN, or in which an
    infinity meets anything but itself. ``equal_fraction`` compares bits: -0 differs from
    +0, and a NaN equals a NaN with the same payload only. ``close_count`` is the number of
    pairs within the tolerance in force, two NaNs counting as close.
    """

    count: int
    bit_equal: bool
    equal_fraction: float
    max_abs: float
    mean_abs: float
    max_rel: float
    max_ulp: int | None
    p99_ulp: int | None
    close_count: int
    nonfinite_mismatches: int
    worst: Worst | None
