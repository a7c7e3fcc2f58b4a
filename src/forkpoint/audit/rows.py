"""Reading what the worker wrote of its variants: it comes from a foreign process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from forkpoint.audit.model import Break, Property, Refusal, Trial, TrialState
from forkpoint.errors import WorkerFailed
from forkpoint.model import Metrics, StepInput

MAX_BYTES = 256 * 1024 * 1024


class _Input(msgspec.Struct, frozen=True):
    name: str
    shape: tuple[int, ...]
    dtype: str


class _Row(msgspec.Struct, frozen=True):
    step: int
    module: str
    inputs: tuple[_Input, ...]
    refused: str | None = None
    property: Property | Literal["crop"] | None = None
    variant: str = ""
    not_tried: str | None = None
    equal: bool | None = None
    metrics: Metrics | None = None
    calls: dict[str, int] = {}
    breaks: tuple[Break, ...] = ()
    digests: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Answers:
    """The trials of a run, the steps that could not be called again, and all that were chosen."""

    trials: tuple[Trial, ...]
    refusals: tuple[Refusal, ...]
    steps: tuple[int, ...]


def read_answers(path: Path) -> Answers:
    """Read a worker's lines; no file, no answers. Raises `WorkerFailed` for rubbish."""
    rows = _read(path)
    refusals = [
        Refusal(step=row.step, module=row.module, reason=row.refused) for row in rows if row.refused
    ]
    trials = (_trial(row, row.property) for row in rows if row.property and row.property != "crop")
    steps = sorted({row.step for row in rows})
    return Answers(tuple(trials), tuple(refusals), tuple(steps))


@dataclass(frozen=True, slots=True)
class Varied:
    """What the modules of one step returned in one variant: (path, digests), in their order.

    ``reason`` says why there is nothing; ``inputs`` are names of the step's tensors.
    """

    step: int
    variant: str
    inputs: tuple[str, ...]
    modules: tuple[tuple[str, tuple[str, ...]], ...] = ()
    reason: str | None = None


def read_digests(path: Path) -> tuple[Varied, ...]:
    """What modules returned, where digests were asked for. Raises `WorkerFailed` for rubbish."""
    return tuple(
        Varied(
            step=row.step,
            variant=row.variant,
            inputs=tuple(one.name for one in row.inputs),
            modules=row.digests,
            reason=row.refused or row.not_tried,
        )
        for row in _read(path)
        if row.variant or row.refused or row.not_tried
    )


def _trial(row: _Row, prompt: Property) -> Trial:
    return Trial(
        property=prompt,
        step=row.step,
        module=row.module,
        inputs=tuple(
            StepInput(name=one.name, shape=one.shape, dtype=one.dtype, equal=True)
            for one in row.inputs
        ),
        variant=row.variant,
        state=_state(row),
        reason=row.not_tried,
        metrics=row.metrics,
        calls=row.calls,
        breaks=row.breaks,
    )


def _state(row: _Row) -> TrialState:
    if row.not_tried is not None:
        return "not_tried"
    if row.equal is None:
        return "unmatched"
    return "equal" if row.equal else "differs"


def _read(path: Path) -> list[_Row]:
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return []
    if len(data) > MAX_BYTES:
        raise _unreadable(path, f"it is longer than {MAX_BYTES:,} bytes")
    try:
        return msgspec.json.Decoder(_Row).decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> WorkerFailed:
    return WorkerFailed(
        f"The worker's answer in {path} cannot be read: {why}.",
        hint="Was the disk full, or does the script write into that folder? Run it again.",
    )
