"""Single op calls to run again in an environment: what is asked, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ReplayStatus = Literal[
    "ran", "random", "no_such_op", "no_such_device", "unsupported", "raised", "crashed"
]
"""How one call ended; ``crashed`` is the host's word: the process died in it."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How far calls are trusted.

    ``trust`` lets ops of any library run. ``limited``: each may take only the memory and the time
    that its inputs are worth, as capsules may that come from elsewhere.
    """

    trust: bool = False
    limited: bool = False


OWN_OPS = Rules()
"""For calls that were recorded just now: torch's own ops, and what they take is not limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One op call: a capsule, or a document of the worker's protocol (``call``).

    ``against`` names folders of kept outputs to measure with ("capsule": the capsule's own);
    ``keep`` is where to write the outputs; ``as_`` raises everything to float64. ``state``:
    whether the capsule's numerics state is restored, or the capsule whose state is. ``rows``
    asks for a digest of each row of the outputs.
    """

    id: str
    capsule: Path | None = None
    call: Mapping[str, Any] | None = None
    repeat: int = 1
    state: bool | Path = True
    as_: Literal["float64"] | None = None
    device: str | None = None
    keep: Path | None = None
    against: tuple[Path | Literal["capsule"], ...] = ()
    rows: bool = False
    profile: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedOutput:
    """One output of a replayed call; ``metrics`` in the order of the call's ``against``."""

    slot: int
    dtype: str
    shape: tuple[int, ...]
    digest: str
    metrics: tuple[dict[str, Any] | None, ...] = ()
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of one call. ``reason`` says why it did not run."""

    id: str
    status: ReplayStatus
    reason: str | None = None
    repeatable: bool = True
    seconds: float = 0.0
    kernels: tuple[str, ...] = ()
    outputs: tuple[ReplayedOutput, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of all outputs, in their order: equal tuples are equal bits."""
        return tuple(output.digest for output in self.outputs)
