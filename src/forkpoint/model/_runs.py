"""The two runs: their environments, and what the verdict on them rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One environment of a comparison: what was asked for, what ran.

    ``complete`` is false for a run that did not reach its end.
    """

    name: str
    spec: str
    fingerprint: dict[str, str]
    recording: str
    status: str
    steps: int
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentDifference:
    """A fingerprint entry that is not the same on both sides; null: not there.

    ``asked`` says that the user set it: a variable, a setting, the script's arguments. Those come
    first.
    """

    key: str
    baseline: str | None
    candidate: str | None
    asked: bool = False


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
    """What the verdict rests on. ``notes`` are whole sentences for people.

    ``paired_by``: steps are matched by their number, or where several threads made them, in no
    fixed order, by module and inputs.
    """

    steps: int
    op_level_steps: tuple[int, ...]
    measured_steps: tuple[int, ...]
    events: int
    uncovered: tuple[Uncovered, ...] = ()
    notes: tuple[str, ...] = ()
    paired_by: Literal["number", "inputs"] = "number"
