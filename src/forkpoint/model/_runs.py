"""The two runs: their environments, and what the verdict on them rests on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One environment of a comparison: what was asked for, what ran."""

    name: str
    spec: str
    fingerprint: dict[str, str]
    recording: str
    status: str
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDifference:
    """A fingerprint entry that is not the same on both sides; null: not there."""

    key: str
    baseline: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Neutral:
    """Whether recording changed the numbers, and what that was checked on.

    ``equal`` is null where nothing was checked, and ``evidence`` says why or how. ``covered`` steps
    were run both recorded and bare in each environment.
    """

    equal: bool | None
    evidence: str
    covered: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """Something that ran and could not be seen."""

    side: str
    kind: str
    detail: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What the verdict rests on. ``notes`` are whole sentences for people."""

    steps: int
    op_level_steps: tuple[int, ...]
    measured_steps: tuple[int, ...]
    events: int
    uncovered: tuple[Uncovered, ...] = ()
    notes: tuple[str, ...] = ()
