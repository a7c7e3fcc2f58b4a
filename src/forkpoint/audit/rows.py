"""Reading what the worker wrote of its variants: it comes from a foreign process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from forkpoint.audit.model import Break, Property, Refusal, Rows, Trial, TrialState
from forkpoint.compare import moves_values
from forkpoint.errors import WorkerFailed
from forkpoint.model import Metrics, StepInput

MAX_BYTES = 256 * 1024 * 1024
UNCHANGED = "unchanged"
"""The variant that is none: the step's own inputs again."""

Given = tuple[str, str, tuple[str, ...]]
"""What a module (no op) or an op in it gave: (module path, op, digests)."""


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
    size: int | None = None
    shared: str | None = None
    rows: Rows | None = None
    mixing: tuple[Break, ...] = ()
    left_out: tuple[str, ...] = ()
    fills: dict[str, str] = {}
    unmatched: str | None = None
    digests: tuple[Given, ...] = ()


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
    """What modules returned and ops computed in one variant of one step, in their order.

    ``reason`` says why there is nothing; ``inputs`` are names of the step's tensors.
    """

    step: int
    variant: str
    inputs: tuple[str, ...]
    given: tuple[Given, ...] = ()
    reason: str | None = None


def read_digests(path: Path) -> tuple[Varied, ...]:
    """What was given, where digests were asked for. Raises `WorkerFailed` for rubbish."""
    return tuple(
        Varied(
            step=row.step,
            variant=row.variant,
            inputs=tuple(one.name for one in row.inputs),
            given=row.digests,
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
        reason=row.not_tried or row.unmatched,
        metrics=row.metrics,
        calls=row.calls,
        breaks=tuple(one for one in row.breaks if computes(one)),
        size=row.size,
        whole_size=None if row.size is None else _whole_size(row, prompt),
        shared=row.shared,
        rows=row.rows,
        mixing=tuple(one for one in row.mixing if computes(one)),
        left_out=row.left_out,
        fills=row.fills,
    )


def computes(one: Break) -> bool:
    """Whether the op makes numbers: what only puts them elsewhere is no cause."""
    return not moves_values(one.op, slots=(0,))


def _whole_size(row: _Row, prompt: Property) -> int | None:
    """The size of the script's own call in the dimension that the property is about."""
    dim = 1 if prompt == "padding" else 0
    return max((one.shape[dim] for one in row.inputs if len(one.shape) > dim), default=None)


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
