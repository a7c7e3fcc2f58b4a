"""What a reproducer is, and what it said where it was run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the script said in one environment: its exit status and its output."""

    environment: str
    status: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproducer:
    """A folder with a reproducer.

    ``shown`` is what it said where it was run, baseline first; ``verified`` is whether it gave
    the same bits in the baseline and others in the candidate, null where it was not run.
    ``shapes`` are the inputs' shapes, ``recorded`` those of the capsule; ``tried`` counts the
    calls that the reduction tried.
    """

    folder: Path
    op: str
    shapes: tuple[tuple[int, ...], ...]
    recorded: tuple[tuple[int, ...], ...]
    tried: int
    shown: tuple[Shown, ...] = ()
    verified: bool | None = None
